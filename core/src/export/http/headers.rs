//! Headers that users and servers name: only such as stay one header on the wire.

use percent_encoding::percent_decode_str;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Belong to the connection or to the request at hand.
const RESERVED: &[HeaderName] = &[
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub(super) fn is_reserved(name: &HeaderName) -> bool {
    RESERVED.contains(name)
}

/// A value made of visible ASCII characters and spaces.
pub(super) fn value(text: &str) -> Option<HeaderValue> {
    let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    visible.then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// Reads `name=value,name=value` with percent-encoded values, the form of `OTEL_EXPORTER_OTLP_HEADERS` (OpenTelemetry
/// protocol exporter specification, after W3C Baggage). Problems are told without values, which may be secret.
pub(crate) fn parse(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (name, encoded) = pair.split_once('=').ok_or("a header has no '='")?;
        let name: HeaderName = name
            .trim()
            .parse()
            .map_err(|_| "a header's name is malformed")?;
        if is_reserved(&name) {
            return Err(format!("header '{name}' cannot be set"));
        }
        let decoded = percent_decode_str(encoded.trim()).decode_utf8();
        let mut value = decoded
            .ok()
            .and_then(|text| value(&text))
            .ok_or_else(|| format!("header '{name}' has a value that is not visible ASCII"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_users() {
        let headers = parse("x-a=1, x-b = two%20words%2C ,,X-A=2").unwrap();
        let of = |name: &str| -> Vec<_> { headers.get_all(name).iter().collect() };
        assert_eq!(of("x-a"), ["1", "2"]);
        assert_eq!(of("x-b"), ["two words,"]);
        for bad in [
            "x-a",
            "=1",
            "x a=1",
            "x-a=1%0d%0ax-evil:2",
            "x-a=1%00",
            "x-a=%09",
            "x-a=%7f",
            "x-a=\u{e9}",
            "x-a=%ff",
            "host=elsewhere",
            "Content-Length=0",
            "transfer-encoding=chunked",
        ] {
            let problem = parse(bad).unwrap_err();
            assert!(!problem.contains("evil"), "{problem}");
        }
    }
}
