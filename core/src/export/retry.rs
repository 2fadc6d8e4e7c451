//! When to try again.

use std::time::{Duration, SystemTime};

const FIRST: Duration = Duration::from_secs(1);
/// Half of what the rules allow, so that what waits is delivered soon after a server is back.
const LONGEST: Duration = Duration::from_secs(30);
/// A server may ask for more patience than this; it does not get it.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// The same where what waits is only in memory, which fills up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Many clients are told the same time; they come back spread over so much more of it, and never early.
const SPREAD: f64 = 0.1;

/// Exponential backoff with full jitter: between nothing and 1 s, 2 s, 4 s … 30 s.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = FIRST
            .saturating_mul(1 << self.attempts.min(16))
            .min(LONGEST);
        self.attempts += 1;
        ceiling.mul_f64(fraction())
    }
}

/// From 0 to 1, by 53 random bits.
fn fraction() -> f64 {
    (crate::id::random_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// The longest wait that a server gets, by whether what waits is on disk.
pub(crate) fn patience(spools: bool) -> Duration {
    match spools {
        true => LONGEST_RETRY_AFTER,
        false => PATIENCE,
    }
}

/// A `Retry-After` header (RFC 9110 section 10.2.3): seconds, or an HTTP date, up to `patience` and a little more. Anything else
/// is ignored; so is no time at all, of which servers in trouble send plenty: the backoff knows better.
pub(crate) fn retry_after(header: &str, patience: Duration) -> Option<Duration> {
    let header = header.trim();
    let is_number = !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit());
    let wait = match is_number {
        // Digits that are no number are too many.
        true => Duration::from_secs(header.parse().unwrap_or(u64::MAX)),
        false => httpdate::parse_http_date(header)
            .ok()?
            .duration_since(SystemTime::now())
            .unwrap_or(Duration::ZERO),
    };
    let wait = wait.min(LONGEST_RETRY_AFTER).min(patience);
    (!wait.is_zero()).then(|| wait.mul_f64(1.0 + SPREAD * fraction()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_and_stops_growing() {
        let mut backoff = Backoff::default();
        for attempt in 0..40 {
            let ceiling = FIRST.saturating_mul(1 << attempt.min(6)).min(LONGEST);
            assert!(backoff.next() <= ceiling);
        }
    }

    #[test]
    fn retry_after_in_every_form() {
        let seconds = Duration::from_secs;
        let in_a_minute = httpdate::fmt_http_date(SystemTime::now() + seconds(60));
        for (header, least) in [
            ("20", Some(20)),
            (" 7 ", Some(7)),
            ("1000000000", Some(300)),
            ("99999999999999999999999", Some(300)),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(300)),
            // Whole seconds, one of which may have begun.
            (in_a_minute.as_str(), Some(58)),
            ("0", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("-1", None),
            ("+20", None),
            ("1.5", None),
            ("1e9", None),
            ("0x10", None),
            ("soon", None),
            ("", None),
            ("\u{664}", None),
        ] {
            let wait = retry_after(header, LONGEST_RETRY_AFTER);
            match least.map(seconds) {
                None => assert_eq!(wait, None, "{header}"),
                Some(least) => {
                    let most = (least + seconds(2)).mul_f64(1.0 + SPREAD);
                    assert!(
                        wait.is_some_and(|wait| least <= wait && wait <= most),
                        "{header}: {wait:?}"
                    );
                }
            }
        }
        assert!(retry_after("300", PATIENCE).is_some_and(|wait| wait <= PATIENCE.mul_f64(1.1)));
    }

    #[test]
    fn waits_are_spread_and_never_short() {
        let waits: Vec<Duration> = (0..100)
            .filter_map(|_| retry_after("20", PATIENCE))
            .collect();
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*least >= Duration::from_secs(20) && *most <= Duration::from_secs(22));
        assert!(*most - *least > Duration::from_secs(1));
    }
}
