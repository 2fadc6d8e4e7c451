//! The header `baggage` (W3C Baggage, Candidate Recommendation).

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, ErrorKind, Result};

/// The least that the specification lets every platform carry.
const MAX_MEMBERS: usize = 64;
const MAX_BYTES: usize = 8192;

/// What the specification wants encoded in values, and two characters that it allows but readers mistake: `=` for the
/// separator, `+` for a space.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'%')
    .add(b'+')
    .add(b',')
    .add(b';')
    .add(b'=')
    .add(b'\\');

/// What an application sends along with a request: keys, values and their properties, in order.
///
/// At most 64 members and 8192 bytes as a header, the minimums of the specification. It belongs to the host: spans
/// neither store it nor send it by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage {
    members: Vec<BaggageMember>,
}

/// One member of a [`Baggage`], kept as it travels: what passes through is not encoded anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaggageMember {
    /// `key=value;property;key=value`, ASCII, without optional white space.
    text: String,
    key_end: usize,
    value_end: usize,
}

impl Baggage {
    /// An empty one.
    pub fn new() -> Self {
        Baggage::default()
    }

    /// The value of `key`, which is case-sensitive. A header may bring a key several times; the last one counts.
    pub fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        let mut found = self.members.iter().rev();
        found
            .find(|member| member.key() == key)
            .map(BaggageMember::value)
    }

    /// As [`Self::set_with_properties`], without properties.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.set_with_properties(key, value, &[])
    }

    /// Sets the only member of this key: in place of the first that had it, else at the end.
    ///
    /// Keys, those of properties too, are tokens of HTTP (RFC 7230, section 3.2.6); values are any text. Fails with
    /// `InvalidArgument` for another key and with `Capacity` beyond the limits; nothing changes then.
    pub fn set_with_properties(
        &mut self,
        key: &str,
        value: &str,
        properties: &[(&str, Option<&str>)],
    ) -> Result<()> {
        let member = BaggageMember::new(key, value, properties)?;
        let others = self.members.iter().filter(|other| other.key() != key);
        if !fits(others, &member) {
            return Err(Error::new(
                ErrorKind::Capacity,
                format!(
                    "baggage {key:?} does not fit in {MAX_MEMBERS} members and {MAX_BYTES} bytes"
                ),
            ));
        }
        let mut new = Some(member);
        self.members.retain_mut(|member| {
            member.key() != key || new.take().map(|new| *member = new).is_some()
        });
        self.members.extend(new);
        Ok(())
    }

    /// Removes every member of this key; false if there was none.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.members.len();
        self.members.retain(|member| member.key() != key);
        self.members.len() < before
    }

    /// The members in order.
    pub fn iter(&self) -> std::slice::Iter<'_, BaggageMember> {
        self.members.iter()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Appends the well-formed members of a header that fit.
    pub(super) fn extend_from_header(&mut self, header: &[u8]) {
        for member in header.split(|byte| *byte == b',') {
            if self.members.len() == MAX_MEMBERS {
                return;
            }
            let member = BaggageMember::read(member);
            self.members
                .extend(member.filter(|member| fits(self.members.iter(), member)));
        }
    }
}

impl<'a> IntoIterator for &'a Baggage {
    type Item = &'a BaggageMember;
    type IntoIter = std::slice::Iter<'a, BaggageMember>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The value of the header.
impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, member) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", member.text)?;
        }
        Ok(())
    }
}

impl BaggageMember {
    /// The key.
    pub fn key(&self) -> &str {
        &self.text[..self.key_end]
    }

    /// The value, decoded; what is not UTF-8 becomes U+FFFD.
    pub fn value(&self) -> Cow<'_, str> {
        decode(&self.text[self.key_end + 1..self.value_end])
    }

    /// The properties in order, their values decoded.
    pub fn properties(&self) -> impl Iterator<Item = (&str, Option<Cow<'_, str>>)> {
        let properties = self.text[self.value_end..].split(';').skip(1);
        properties.map(|property| match property.split_once('=') {
            Some((key, value)) => (key, Some(decode(value))),
            None => (property, None),
        })
    }

    fn new(key: &str, value: &str, properties: &[(&str, Option<&str>)]) -> Result<Self> {
        let mut member = BaggageMember::start(key, &encode(value)).ok_or_else(|| not_a_key(key))?;
        for (key, value) in properties {
            let value = value.map(encode);
            let added = member.add_property(key, value.as_deref());
            added.ok_or_else(|| not_a_key(key))?;
        }
        Ok(member)
    }

    /// Reads what stands between two commas. A malformed part condemns the whole: no member may travel in part.
    fn read(member: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(member).ok()?.split(';');
        let (key, value) = parts.next()?.split_once('=')?;
        let mut member = BaggageMember::start(trim(key), trim(value))?;
        for property in parts.map(trim).filter(|property| !property.is_empty()) {
            match property.split_once('=') {
                Some((key, value)) => {
                    member.add_property(trim(key), Some(trim(value)))?;
                }
                None => member.add_property(property, None)?,
            }
        }
        Some(member)
    }

    fn start(key: &str, encoded: &str) -> Option<Self> {
        (is_token(key) && is_encoded(encoded)).then(|| {
            let text = format!("{key}={encoded}");
            BaggageMember {
                key_end: key.len(),
                value_end: text.len(),
                text,
            }
        })
    }

    fn add_property(&mut self, key: &str, encoded: Option<&str>) -> Option<()> {
        if !is_token(key) || !encoded.is_none_or(is_encoded) {
            return None;
        }
        self.text.extend([";", key]);
        if let Some(encoded) = encoded {
            self.text.extend(["=", encoded]);
        }
        Some(())
    }
}

/// Whether `member` can follow `others` within the limits.
fn fits<'a>(others: impl Iterator<Item = &'a BaggageMember>, member: &BaggageMember) -> bool {
    let (mut members, mut bytes) = (1, member.text.len());
    for other in others {
        members += 1;
        bytes += other.text.len() + ",".len();
    }
    members <= MAX_MEMBERS && bytes <= MAX_BYTES
}

fn not_a_key(key: &str) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        format!("baggage key {key:?} is not a token"),
    )
}

fn encode(value: &str) -> String {
    utf8_percent_encode(value, ENCODED).to_string()
}

fn decode(encoded: &str) -> Cow<'_, str> {
    percent_decode_str(encoded).decode_utf8_lossy()
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The `value` of the specification: printable ASCII without space, `"`, `,`, `;` and `\`.
fn is_encoded(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte))
}
