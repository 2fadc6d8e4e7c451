//! Redacts texts. One that holds JSON is walked as it is written: nothing of it is read into numbers or
//! maps, so that what no rule concerns stays as it was to the byte, and members given twice are both seen.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, Error, Visitor};

use super::paths::{Place, Step};
use super::span::Pass;
use super::{FAILED, REDACTED};
use crate::json::{string_end, write_string};

/// How often JSON text may hold a string that is JSON text itself. Escapes double with every level, so
/// that honest values stay far below.
const MAX_NESTING: usize = 16;

/// How deep JSON text may be, for the memory of its walk.
const MAX_DEPTH: usize = 1 << 17;

/// Why a text cannot be walked.
enum Fault {
    NotJson,
    TooDeep,
}

impl Pass<'_> {
    /// The text with the rules applied, for a value at `place`; `None` when nothing changes.
    pub(super) fn text(&mut self, text: &str, place: &Place) -> Option<String> {
        self.nested_text(text, place, 0)
    }

    fn nested_text(&mut self, text: &str, place: &Place, nesting: usize) -> Option<String> {
        let mut walked = None;
        let mut strings = false;
        if self.looks_into(place) && may_be_json(text) {
            if nesting > MAX_NESTING {
                return Some(self.give_up());
            }
            match walk(self, text, place, nesting) {
                Ok(changed) => (walked, strings) = (changed, true),
                Err(Fault::NotJson) if !self.asks_for_part(text, place) => {}
                Err(_) => return Some(self.give_up()),
            }
        }
        let current = walked.as_deref().unwrap_or(text);
        // Matches inside strings were sought in what the escapes stand for.
        let quiet = || match strings {
            true => string_ranges(current),
            false => Vec::new(),
        };
        let patterns = self.rules.patterns.as_ref();
        let replaced = patterns.and_then(|patterns| patterns.replace(current, quiet));
        replaced.or(walked)
    }

    fn looks_into(&self, place: &Place) -> bool {
        self.rules.keys.is_some() || self.rules.patterns.is_some() || !place.is_empty()
    }

    /// Whether text that was meant to be JSON but cannot be walked names what keys or paths ask for.
    fn asks_for_part(&self, text: &str, place: &Place) -> bool {
        let keys = self.rules.keys.as_ref();
        if keys.is_none() && place.is_empty() || !text.trim_start().starts_with(['{', '[']) {
            return false;
        }
        let names = loose_names(text);
        let named = |keys: &super::Keys| names.iter().any(|name| keys.matches(name));
        keys.is_some_and(named)
            || self
                .rules
                .paths
                .may_select(place, |name| names.iter().any(|found| found == name))
    }
}

/// Only containers and quoted strings: readers decode nothing else from text.
fn may_be_json(text: &str) -> bool {
    matches!(
        text.trim_start().as_bytes().first(),
        Some(b'{' | b'[' | b'"')
    )
}

/// As [`may_be_json`] for a string before it is decoded.
fn may_hold_json(token: &str) -> bool {
    let inner = token.get(1..).unwrap_or_default().trim_start();
    matches!(inner.as_bytes().first(), Some(b'{' | b'[' | b'\\'))
}

/// What is quoted and followed by a colon, with whatever quotes and escapes, from whichever quote on.
fn loose_names(text: &str) -> Vec<Cow<'_, str>> {
    let mut names = Vec::new();
    let mut quote = None;
    for (at, _) in text.match_indices(['"', '\'']) {
        if let Some(start) = quote.replace(at + 1)
            && text[at + 1..].trim_start().starts_with(':')
        {
            let inner = text[start..at].trim_end_matches('\\');
            let decoded = decode(&format!("\"{inner}\"")).map(|name| Cow::Owned(name.into_owned()));
            names.push(decoded.unwrap_or(Cow::Borrowed(inner)));
        }
    }
    names
}

/// Where the strings of JSON text lie, without their quotes.
fn string_ranges(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'"') {
        let start = at + found;
        let Some(end) = string_end(bytes, start) else {
            break;
        };
        ranges.push(start + 1..end - 1);
        at = end;
    }
    ranges
}

/// What a JSON string stands for; lone surrogates, which text cannot hold, become U+FFFD.
fn decode(token: &str) -> Option<Cow<'_, str>> {
    struct Text;

    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
            Ok(String::from_utf8_lossy(bytes))
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(Cow::Owned(String::from_utf8_lossy(bytes).into_owned()))
        }
    }

    if !token.contains('\\') {
        return token.get(1..token.len().checked_sub(1)?).map(Cow::Borrowed);
    }
    // As bytes, because only those may hold lone surrogates.
    let mut reader = serde_json::Deserializer::from_str(token);
    let text = reader.deserialize_bytes(Text).ok()?;
    reader.end().ok().map(|()| text)
}

/// The JSON text with the rules applied to its members and strings; `None` when nothing changes.
///
/// More lenient than a parser with words and numbers (`NaN` is common), which may only mean that more
/// is looked at.
fn walk(
    pass: &mut Pass<'_>,
    text: &str,
    place: &Place,
    nesting: usize,
) -> Result<Option<String>, Fault> {
    let mut walk = Walk {
        pass,
        text,
        nesting,
        at: 0,
        open: Vec::new(),
        covered: None,
        out: String::new(),
        copied: 0,
    };
    walk.values(place.clone())?;
    let Walk {
        mut out, copied, ..
    } = walk;
    Ok((copied > 0).then(|| {
        out.push_str(&text[copied..]);
        out
    }))
}

struct Walk<'a, 'p, 'r> {
    pass: &'p mut Pass<'r>,
    text: &'a str,
    nesting: usize,
    at: usize,
    /// The containers around the current value. A stack of our own: depth is the host's choice.
    open: Vec<Container>,
    /// A value that a rule takes out as a whole: where it begins, and how many containers are around it.
    covered: Option<(usize, usize)>,
    out: String,
    /// How much of the text has been written to `out` or left out.
    copied: usize,
}

struct Container {
    place: Place,
    /// The position of the current value in an array; absent in an object.
    index: Option<usize>,
}

impl Walk<'_, '_, '_> {
    fn values(&mut self, mut place: Place) -> Result<(), Fault> {
        loop {
            match self.peek() {
                Some(opening @ (b'{' | b'[')) => {
                    if self.open.len() == MAX_DEPTH {
                        return Err(Fault::TooDeep);
                    }
                    self.at += 1;
                    let closes = self.peek() == Some(opening + 2);
                    let index = (opening == b'[').then_some(0);
                    self.open.push(Container { place, index });
                    if !closes {
                        place = self.next_place()?;
                        continue;
                    }
                }
                Some(b'"') => {
                    let range = self.string()?;
                    self.edit_string(range, &place)?;
                    self.end_value();
                }
                _ => {
                    self.scalar()?;
                    self.end_value();
                }
            }
            match self.after_value()? {
                Some(next) => place = next,
                None => return Ok(()),
            }
        }
    }

    /// Closes containers that end here. Returns the place of the next value; `None` at the end.
    fn after_value(&mut self) -> Result<Option<Place>, Fault> {
        loop {
            let next = self.peek();
            let Some(container) = self.open.last_mut() else {
                return if next.is_none() {
                    Ok(None)
                } else {
                    Err(Fault::NotJson)
                };
            };
            let closing = match container.index {
                Some(_) => b']',
                None => b'}',
            };
            self.at += 1;
            if next == Some(closing) {
                self.open.pop();
                self.end_value();
            } else if next == Some(b',') {
                container.index = container.index.map(|index| index + 1);
                return self.next_place().map(Some);
            } else {
                return Err(Fault::NotJson);
            }
        }
    }

    /// The place of the value that follows, reading its key in an object.
    fn next_place(&mut self) -> Result<Place, Fault> {
        let Some(container) = self.open.last() else {
            return Err(Fault::NotJson);
        };
        let (place, selected) = match container.index {
            Some(index) => self.step(Step::Index(index)),
            None => {
                if self.peek() != Some(b'"') {
                    return Err(Fault::NotJson);
                }
                let range = self.string()?;
                let key = decode(&self.text[range.clone()]).ok_or(Fault::NotJson)?;
                let (place, selected) = self.step(Step::Name(&key));
                let named = self.pass.rules.keys.as_ref();
                let named = named.is_some_and(|keys| keys.matches(&key));
                if self.covered.is_none()
                    && let Some(changed) =
                        self.pass
                            .nested_text(&key, &Place::default(), self.nesting + 1)
                {
                    self.replace(range, &changed);
                }
                if self.peek() != Some(b':') {
                    return Err(Fault::NotJson);
                }
                self.at += 1;
                (place, selected || named)
            }
        };
        if selected && self.covered.is_none() {
            self.peek();
            self.covered = Some((self.at, self.open.len()));
        }
        Ok(place)
    }

    fn step(&self, step: Step<'_>) -> (Place, bool) {
        match self.open.last() {
            Some(container) if !container.place.is_empty() => {
                self.pass.rules.paths.step(&container.place, step)
            }
            _ => (Place::default(), false),
        }
    }

    /// A value has been read; if it is the one to be taken out, now is when its end is known.
    fn end_value(&mut self) {
        if let Some((start, around)) = self.covered
            && around == self.open.len()
        {
            self.covered = None;
            self.replace(start..self.at, REDACTED);
        }
    }

    fn edit_string(&mut self, range: Range<usize>, place: &Place) -> Result<(), Fault> {
        let token = &self.text[range.clone()];
        let may_matter = self.pass.rules.patterns.is_some() || may_hold_json(token);
        if self.covered.is_none() && may_matter {
            let decoded = decode(token).ok_or(Fault::NotJson)?;
            if let Some(changed) = self.pass.nested_text(&decoded, place, self.nesting + 1) {
                self.replace(range, &changed);
            }
        }
        Ok(())
    }

    /// Moves behind the string that begins here.
    fn string(&mut self) -> Result<Range<usize>, Fault> {
        let start = self.at;
        self.at = string_end(self.text.as_bytes(), start).ok_or(Fault::NotJson)?;
        Ok(start..self.at)
    }

    fn scalar(&mut self) -> Result<(), Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        let is_end = |byte: &u8| b" \t\r\n,:{}[]\"".contains(byte);
        let length = rest.iter().position(is_end).unwrap_or(rest.len());
        if length == 0 {
            return Err(Fault::NotJson);
        }
        let range = self.at..self.at + length;
        self.at = range.end;
        let is_number = rest[..length].iter().any(u8::is_ascii_digit);
        if self.covered.is_none() && is_number && self.pass.takes_number(&self.text[range.clone()])
        {
            self.replace(range, REDACTED);
        }
        Ok(())
    }

    /// Writes `text` as a JSON string in place of a part of the text.
    fn replace(&mut self, range: Range<usize>, text: &str) {
        self.out.push_str(&self.text[self.copied..range.start]);
        write_string(&mut self.out, text);
        self.copied = range.end;
    }

    /// The next byte that is no white space, without moving behind it.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }
}

impl Pass<'_> {
    /// Whether a number has to go: numbers count by the digits they are written with.
    pub(super) fn takes_number(&self, digits: &str) -> bool {
        let patterns = self.rules.patterns.as_ref();
        patterns.is_some_and(|patterns| patterns.match_in(digits))
    }

    /// Notes a failure; the text to leave in place of what could not be redacted.
    pub(super) fn give_up(&mut self) -> String {
        self.failed = true;
        FAILED.to_owned()
    }
}
