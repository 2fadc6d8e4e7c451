//! What a URI says of credentials, and the URI without them.

use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::secret::Secret;

/// User name and password in a URI.
pub(crate) fn basic_of(url: &Url) -> Option<(String, Secret)> {
    let password = Secret::new(percent_decode(url.password()?));
    Some((percent_decode(url.username()), password))
}

/// A URI without userinfo, query and trailing slash.
pub(crate) fn without_secrets(uri: &str) -> Option<String> {
    let mut url = Url::parse(uri).ok()?;
    // Both fail only for URLs without a host, which `check` refuses.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    Some(url.as_str().trim_end_matches('/').to_owned())
}

fn percent_decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A text as part of a path or a query: everything but letters, digits and `-._~` is escaped.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
