//! JSON text as a tree that knows where each string lies, so that some can be replaced and all other text
//! (digits, spacing, order and repetition of members) stays as it was recorded.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

use crate::json::{string_end, write_string};

/// A value. Ranges are those of string tokens, quotes included.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    String(Range<usize>),
    Array(Vec<Node>),
    Object(Vec<(Range<usize>, Node)>),
    /// A number, a boolean or null.
    Other,
}

/// Whether the text looks like an object or array.
pub(super) fn is_container(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// Reads JSON text; `None` when it is none, or deeper than 128 levels.
pub(super) fn parse(text: &str) -> Option<Node> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let bytes = text.as_bytes();
    Reader { bytes, at: 0 }.node()
}

/// The text with some of its strings replaced; `None` when none is. Text that is no object or array is
/// taken for one string.
pub(super) fn map_strings(
    text: &str,
    mut change: impl FnMut(&str) -> Option<String>,
) -> Option<String> {
    if !is_container(text) {
        return change(text);
    }
    let mut edits = Vec::new();
    visit_strings(&parse(text)?, &mut |token| {
        let value = unescape(&text[token.clone()]);
        if let Some(changed) = value.and_then(|value| change(&value)) {
            let mut quoted = String::new();
            write_string(&mut quoted, &changed);
            edits.push((token.clone(), quoted));
        }
    });
    splice(text, edits)
}

fn visit_strings(node: &Node, visit: &mut impl FnMut(&Range<usize>)) {
    match node {
        Node::String(token) => visit(token),
        Node::Array(items) => items.iter().for_each(|item| visit_strings(item, visit)),
        Node::Object(members) => members
            .iter()
            .for_each(|(_, member)| visit_strings(member, visit)),
        Node::Other => {}
    }
}

/// The text with other tokens in place of some; `None` when there are none.
pub(super) fn splice(text: &str, mut edits: Vec<(Range<usize>, String)>) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|(token, _)| token.start);
    let mut out = String::new();
    let mut copied = 0;
    for (token, replacement) in &edits {
        out.push_str(&text[copied..token.start]);
        out.push_str(replacement);
        copied = token.end;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

/// Reads text that is known to be JSON.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// Skips what separates values, and returns the byte after it.
    fn next(&mut self) -> Option<u8> {
        loop {
            match *self.bytes.get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.at = string_end(self.bytes, start)?;
        Some(start..self.at)
    }

    fn node(&mut self) -> Option<Node> {
        match self.next()? {
            b'"' => self.string().map(Node::String),
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while self.next()? != b']' {
                    items.push(self.node()?);
                }
                self.at += 1;
                Some(Node::Array(items))
            }
            b'{' => {
                self.at += 1;
                let mut members = Vec::new();
                while self.next()? != b'}' {
                    let key = self.string()?;
                    members.push((key, self.node()?));
                }
                self.at += 1;
                Some(Node::Object(members))
            }
            _ => {
                let is_scalar =
                    |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                let rest = &self.bytes[self.at..];
                self.at += rest.iter().take_while(|byte| is_scalar(byte)).count();
                Some(Node::Other)
            }
        }
    }
}

/// A value together with the text that it is part of.
#[derive(Clone, Copy)]
pub(super) struct Json<'a> {
    pub(super) text: &'a str,
    pub(super) node: &'a Node,
}

impl<'a> Json<'a> {
    /// The member of an object; of several with this key the last, as every reader takes it.
    pub(super) fn get(self, key: &str) -> Option<Json<'a>> {
        let Node::Object(members) = self.node else {
            return None;
        };
        let text = self.text;
        let is_wanted =
            |token: &Range<usize>| unescape(&text[token.clone()]).is_some_and(|name| name == key);
        let (_, node) = members.iter().rev().find(|(token, _)| is_wanted(token))?;
        Some(Json { text, node })
    }

    /// As [`Self::get`], for a member that is itself an object.
    pub(super) fn object(self, key: &str) -> Option<Json<'a>> {
        self.get(key)
            .filter(|member| matches!(member.node, Node::Object(_)))
    }

    /// The value of a string.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        match self.node {
            Node::String(token) => unescape(&self.text[token.clone()]),
            _ => None,
        }
    }

    /// Whether a member is this string.
    pub(super) fn is(self, key: &str, value: &str) -> bool {
        self.get(key)
            .and_then(Json::string)
            .is_some_and(|text| text == value)
    }
}

/// The value of a string token; `None` when an escape in it stands for no character.
fn unescape(token: &str) -> Option<Cow<'_, str>> {
    if token.contains('\\') {
        return serde_json::from_str(token).ok().map(Cow::Owned);
    }
    token.get(1..token.len().checked_sub(1)?).map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_found_where_it_lies() {
        let text = r#" {"a\u0062" : [1.5e-3,true, "x\"y", {}] ,"c":null, "c":"last"} "#;
        let node = parse(text).unwrap();
        let root = Json { text, node: &node };
        let Some(Node::Array(items)) = root.get("ab").map(|json| json.node) else {
            panic!("{node:?}");
        };
        assert_eq!(items.len(), 4);
        let third = Json {
            text,
            node: &items[2],
        };
        assert_eq!(third.string().unwrap(), "x\"y");
        assert!(root.is("c", "last"));
        assert!(root.object("ab").is_none() && root.get("d").is_none());
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_left_alone() {
        for text in ["{\"a\": }", "[1", "[NaN]", &"[".repeat(200)] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn escapes_that_stand_for_nothing_are_no_text() {
        let text = r#"["\ud800"]"#;
        let Some(Node::Array(items)) = parse(text) else {
            panic!("{text}");
        };
        let node = &items[0];
        assert_eq!(Json { text, node }.string(), None);
    }
}
