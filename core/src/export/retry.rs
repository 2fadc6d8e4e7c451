//! When to try again.

use std::time::{Duration, SystemTime};

const FIRST: Duration = Duration::from_secs(1);
/// Half of what the rules allow, so that what waits is delivered soon after a server is back.
const LONGEST: Duration = Duration::from_secs(30);
/// A server may ask for more patience than this; it does not get it.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

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
        // 53 random bits as a fraction.
        let fraction = (crate::id::random_u64() >> 11) as f64 / (1u64 << 53) as f64;
        ceiling.mul_f64(fraction)
    }
}

/// A `Retry-After` header (RFC 9110 section 10.2.3): seconds, or an HTTP date. Anything else is ignored.
pub(crate) fn retry_after(header: &str) -> Option<Duration> {
    let header = header.trim();
    let wait = match header.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(header)
            .ok()?
            .duration_since(SystemTime::now())
            .unwrap_or(Duration::ZERO),
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
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
        assert_eq!(retry_after("20"), Some(Duration::from_secs(20)));
        assert_eq!(retry_after(" 0 "), Some(Duration::ZERO));
        assert_eq!(retry_after("1000000000"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(retry_after("-1"), None);
        assert_eq!(retry_after("soon"), None);
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(
            retry_after("Sat, 06 Nov 2094 08:49:37 GMT"),
            Some(LONGEST_RETRY_AFTER)
        );
    }
}
