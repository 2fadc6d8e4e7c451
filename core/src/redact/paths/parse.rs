//! The notation of paths: `inputs.messages[*].content, $['outputs']..token`.

use super::{Segment, Selector};

/// The paths of a list separated by commas, none of them empty.
pub(super) fn paths(list: &str) -> Result<Vec<Vec<Segment>>, String> {
    let mut paths = Vec::new();
    let mut rest = list.trim_start();
    while !rest.is_empty() {
        let (path, after) = path(rest).map_err(|problem| {
            let shown = rest.split(',').next().unwrap_or(rest).trim_end();
            format!("path '{shown}': {problem}")
        })?;
        if !path.is_empty() {
            paths.push(path);
        }
        rest = after.trim_start();
    }
    Ok(paths)
}

type Parsed<'a, T> = Result<(T, &'a str), String>;

/// One path, and what follows its comma. The root's own name is a segment.
fn path(text: &str) -> Parsed<'_, Vec<Segment>> {
    let mut segments = Vec::new();
    let mut rest = match text.strip_prefix('$') {
        Some(rest) => rest,
        None if text.starts_with(',') => text,
        None => {
            let (selector, rest) = name(text)?;
            segments.push(Segment {
                descendant: false,
                selector,
            });
            rest
        }
    };
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            return Ok((segments, after));
        }
        if rest.is_empty() {
            return Ok((segments, rest));
        }
        let descendant = rest.starts_with("..");
        let (selector, after) = match rest.strip_prefix("..").or(rest.strip_prefix('.')) {
            Some(after) if descendant && after.starts_with('[') => bracket(&after[1..])?,
            Some(after) => name(after)?,
            None => match rest.strip_prefix('[') {
                Some(after) => bracket(after)?,
                None => return Err("expected . or [ after a name".to_owned()),
            },
        };
        segments.push(Segment {
            descendant,
            selector,
        });
        rest = after;
    }
}

/// A name without quotes, or `*`.
fn name(text: &str) -> Parsed<'_, Selector> {
    if let Some(rest) = text.strip_prefix('*') {
        return Ok((Selector::Any, rest));
    }
    let is_plain =
        |c: char| !c.is_whitespace() && !c.is_control() && !".,[](){}'\"*$@?!&|<>=:".contains(c);
    let end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
    match end {
        0 => Err("expected a name; one with special characters goes into ['...']".to_owned()),
        _ => Ok((Selector::Name(text[..end].to_owned()), &text[end..])),
    }
}

/// What follows `[`.
fn bracket(text: &str) -> Parsed<'_, Selector> {
    const EXPECTED: &str = "only a name in quotes, a position from 0 or * may stand in brackets";
    let text = text.trim_start();
    let (selector, rest) = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(&text[1..], quote)?,
        Some('*') => (Selector::Any, &text[1..]),
        _ => {
            let end = text
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len());
            let index = text[..end].parse().map_err(|_| EXPECTED.to_owned())?;
            (Selector::Index(index), &text[end..])
        }
    };
    match rest.trim_start().strip_prefix(']') {
        Some(rest) => Ok((selector, rest)),
        None => Err(EXPECTED.to_owned()),
    }
}

fn quoted(text: &str, quote: char) -> Parsed<'_, Selector> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok((Selector::Name(name), &text[at + 1..]));
        }
        match (c, chars.clone().next()) {
            ('\\', Some((_, escaped @ ('\\' | '"' | '\'')))) => {
                name.push(escaped);
                chars.next();
            }
            ('\\', _) => return Err("\\ may only stand before a quote or another \\".to_owned()),
            _ => name.push(c),
        }
    }
    Err("a quote is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(list: &str) -> Vec<Vec<Segment>> {
        paths(list).unwrap()
    }

    fn name(descendant: bool, name: &str) -> Segment {
        Segment {
            descendant,
            selector: Selector::Name(name.to_owned()),
        }
    }

    #[test]
    fn notations_of_the_same_path() {
        let expected = parsed("inputs.a.b[0].*");
        for other in [
            "$.inputs.a.b[0][*]",
            " inputs['a'][\"b\"][ 0 ].* ,",
            "$['inputs'].a['b'][0].*",
        ] {
            assert_eq!(parsed(other), expected, "{other}");
        }
        assert_eq!(parsed("a..b"), [[name(false, "a"), name(true, "b")]]);
        assert_eq!(parsed("a..['b']"), parsed("a..b"));
    }

    #[test]
    fn quoted_names_hold_anything() {
        let list = r"a['x, ].\'\\'], b.é-1";
        let expected = [
            [name(false, "a"), name(false, r"x, ].'\")],
            [name(false, "b"), name(false, "é-1")],
        ];
        assert_eq!(parsed(list), expected);
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for list in [
            "a[-1]",
            "a[1:2]",
            "a[?@.b]",
            "a['b",
            "a[b]",
            "a.",
            "a...b",
            "a b",
            "['a']",
            "a[0",
            "a[1,2]",
            r"a['\n']",
            "a.$",
            "a[99999999999999999999]",
            "(a)",
        ] {
            let error = paths(&format!("ok, {list}")).unwrap_err();
            assert!(error.starts_with("path '"), "{list}: {error}");
            assert!(!error.contains("ok"), "{list}: {error}");
        }
    }
}
