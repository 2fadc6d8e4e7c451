//! What must never be shown: a type for it, and a list of what to take out of texts.

use std::collections::VecDeque;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::lock::Mutex;

/// A token or a password. It is never printed, and its memory is overwritten when it is dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text. Everywhere but here it is out of reach, so that uses can be found.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret::new(text)
    }
}

/// Says only that there is one.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// What stands for a secret in a text.
const MASK: &str = "***";

/// What URIs escape (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Secrets of the past are forgotten from here on: tokens are renewed for as long as a process runs.
const REMEMBERED: usize = 64;

/// Parts of headers and queries that are shorter than this are no secrets.
const SHORTEST: usize = 6;

/// The secrets of a connection, in every form in which a server may repeat them.
#[derive(Default)]
pub(crate) struct Secrets(Mutex<VecDeque<Secret>>);

impl Secrets {
    pub(crate) fn add(&self, text: &str) {
        let json = Zeroizing::new(serde_json::Value::from(text).to_string());
        let quoted = json.get(1..json.len() - 1).unwrap_or_default();
        let forms = [
            Secret::new(text),
            Secret::new(quoted),
            Secret::new(utf8_percent_encode(text, RESERVED).to_string()),
        ];
        let mut known = self.0.lock();
        for form in forms {
            if !form.is_empty() && !known.contains(&form) {
                known.push_back(form);
            }
        }
        while known.len() > REMEMBERED {
            known.pop_front();
        }
    }

    /// Adds what may be a secret, or an ordinary word that texts must keep.
    pub(crate) fn add_if_long(&self, text: &str) {
        if text.len() >= SHORTEST {
            self.add(text);
        }
    }

    /// The text without them.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let known = self.0.lock();
        // A secret may be part of another; what is left of that must not stay.
        let mut known: Vec<&str> = known.iter().map(Secret::expose).collect();
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        known
            .into_iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_a_secret() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
    }

    #[test]
    fn texts_lose_secrets_in_every_form() {
        let secrets = Secrets::default();
        secrets.add("p\"ss/word");
        secrets.add("word");
        secrets.add("");
        assert_eq!(
            secrets.scrub(r#"got p"ss/word, p\"ss/word, p%22ss%2Fword, sword"#),
            "got ***, ***, ***, s***"
        );
    }

    #[test]
    fn old_secrets_make_room() {
        let secrets = Secrets::default();
        (0..1000).for_each(|number| secrets.add(&format!("token{number}")));
        assert_eq!(secrets.scrub("token999"), MASK);
        assert!(secrets.0.lock().len() <= REMEMBERED);
    }
}
