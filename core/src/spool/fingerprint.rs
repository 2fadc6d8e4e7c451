//! Which destination a segment's records are for, without saying anything about it.

use std::fmt;

use ring::digest::{Context, SHA256};

/// SHA-256 over what makes two destinations the same. Never made of credentials: a hash of a short secret can be
/// guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// `credential` names the credential in use (a user, a profile, the name of a variable), and is not one.
    pub fn new(url: &str, experiment: &str, workspace: Option<&str>, credential: &str) -> Self {
        let mut hash = Context::new(&SHA256);
        let fields = [Some(url), Some(experiment), workspace, Some(credential)];
        hash.update(b"mlflow-trace destination 1");
        for field in fields {
            // A length before each field, so that no text can reach into the next one.
            let len = field.map_or(u64::MAX, |field| field.len() as u64);
            hash.update(&len.to_le_bytes());
            hash.update(field.unwrap_or_default().as_bytes());
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.finish().as_ref());
        Fingerprint(bytes)
    }

    /// Wraps what [`Self::bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Fingerprint(bytes)
    }

    /// The hash.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_counts() {
        let all = [
            Fingerprint::new("http://a", "1", None, "u"),
            Fingerprint::new("http://b", "1", None, "u"),
            Fingerprint::new("http://a", "2", None, "u"),
            Fingerprint::new("http://a", "1", Some(""), "u"),
            Fingerprint::new("http://a", "1", Some("w"), "u"),
            Fingerprint::new("http://a", "1", None, "v"),
            Fingerprint::new("http://a1", "", None, "u"),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one));
        }
        assert_eq!(all[0], Fingerprint::new("http://a", "1", None, "u"));
    }
}
