//! Times of MLflow's JSON: RFC 3339 and protobuf's durations, both to the millisecond.

use std::time::{Duration, UNIX_EPOCH};

/// RFC 3339 in UTC with milliseconds, which protobuf leaves out when they are 0.
pub(crate) fn rfc3339(millis: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(millis.min(LATEST));
    match millis % 1000 {
        0 => humantime::format_rfc3339_seconds(time).to_string(),
        _ => humantime::format_rfc3339_millis(time).to_string(),
    }
}

/// The end of the year 9999, which is the last that RFC 3339 can write.
const LATEST: u64 = 253_402_300_799_999;

/// Protobuf JSON duration, for instance `0.118s`.
pub(crate) fn duration(millis: u64) -> String {
    match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        fraction => format!("{}.{fraction:03}s", millis / 1000),
    }
}

/// Milliseconds since the Unix epoch of a time with any number of digits and any offset; those below a millisecond
/// are cut, and what lies before the epoch is 0.
pub(crate) fn parse_rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let (local, offset) = match bytes.last()? {
        b'Z' | b'z' => (text.get(..text.len() - 1)?, 0),
        _ => {
            let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let sign = match zone.as_bytes()[0] {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = zone[1..].split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            (local, sign * minutes * 60_000)
        }
    };
    let time = humantime::parse_rfc3339_weak(local).ok()?;
    let millis = time.duration_since(UNIX_EPOCH).ok()?.as_millis();
    let millis = i64::try_from(millis).ok()? - offset;
    Some(u64::try_from(millis).unwrap_or(0))
}

/// Milliseconds of a protobuf JSON duration; digits below them are cut, and what is negative is 0.
pub(crate) fn parse_duration(text: &str) -> Option<u64> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.starts_with('-') {
        return Some(0);
    }
    let fraction = format!("{fraction:0<3}");
    let seconds: u64 = whole.parse().ok()?;
    let millis: u64 = fraction.get(..3)?.parse().ok()?;
    seconds.checked_mul(1000)?.checked_add(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_wire() {
        for (millis, text) in [
            (1_795_226_049_477, "2026-11-21T01:54:09.477Z"),
            (1_795_226_049_000, "2026-11-21T01:54:09Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
            assert_eq!(parse_rfc3339(text), Some(millis));
        }
        for (text, millis) in [
            ("2026-11-21T01:54:09.477123456Z", 1_795_226_049_477),
            ("2026-11-21T03:54:09.4+02:00", 1_795_226_049_400),
            ("2026-11-20T23:24:09-02:30", 1_795_226_049_000),
        ] {
            assert_eq!(parse_rfc3339(text), Some(millis), "{text}");
        }
        for text in ["", "Z", "now", "2026-11-21", "2026-11-21T01:54:09é00:00"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn durations_of_the_wire() {
        for (millis, text) in [(0, "0s"), (118, "0.118s"), (1500, "1.500s"), (2000, "2s")] {
            assert_eq!(duration(millis), text);
            assert_eq!(parse_duration(text), Some(millis));
        }
        assert_eq!(parse_duration("0.1234567s"), Some(123));
        assert_eq!(parse_duration("-1s"), Some(0));
        for text in ["118ms", "1", "s", ""] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
