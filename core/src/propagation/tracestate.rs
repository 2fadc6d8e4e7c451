//! The header `tracestate` (W3C Trace Context level 2, section 3.3).

use super::trim;

const MAX_MEMBERS: usize = 32;
const MAX_KEY_LENGTH: usize = 256;
const MAX_VALUE_LENGTH: usize = 256;

/// The list that several headers make together, without optional white space and empty members.
///
/// `None` when it is empty, too long or malformed. Of several members with one key the first stays: vendors put what
/// they change at the front, so it is the latest. Nothing is cut for its length, which the grammar bounds at
/// 16 447 characters.
pub(super) fn read<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let members = headers
        .into_iter()
        .flat_map(|header| header.split(|byte| *byte == b','))
        .map(trim)
        .filter(|member| !member.is_empty());
    let mut kept: Vec<(&str, &str)> = Vec::new();
    for (index, member) in members.enumerate() {
        if index == MAX_MEMBERS {
            return None;
        }
        let (key, value) = std::str::from_utf8(member).ok()?.split_once('=')?;
        if !is_key(key) || !is_value(value) {
            return None;
        }
        if kept.iter().all(|(known, _)| *known != key) {
            kept.push((key, value));
        }
    }
    let members: Vec<String> = kept
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    (!members.is_empty()).then(|| members.join(","))
}

fn is_key(key: &str) -> bool {
    key.len() <= MAX_KEY_LENGTH
        && key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.bytes().all(
            |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@'),
        )
}

/// The caller has taken the spaces at the end off; those at the start belong to the value.
fn is_value(value: &str) -> bool {
    (1..=MAX_VALUE_LENGTH).contains(&value.len())
        && value
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=')
}
