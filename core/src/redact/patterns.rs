//! Regular expressions whose matches are taken out of texts.

use std::iter::{self, Peekable};
use std::ops::Range;

use regex::{Regex, RegexSet};

use super::{FAILED, REDACTED};

/// The expressions of `redact.patterns`.
pub(super) struct Patterns {
    list: Vec<Regex>,
    /// All of them at once: most texts match none.
    any: RegexSet,
}

impl Patterns {
    /// One expression per line, or a JSON array of strings; `None` for the empty text.
    pub(super) fn parse(text: &str) -> Result<Option<Patterns>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        if text.contains('\0') {
            return Err("contains a NUL".to_owned());
        }
        let expressions = expressions(text)?;
        if expressions.is_empty() {
            return Err("holds no pattern".to_owned());
        }
        let mut list = Vec::with_capacity(expressions.len());
        for (index, expression) in expressions.iter().enumerate() {
            let number = index + 1;
            // A pattern may be a secret itself: the reason alone is told.
            let regex = Regex::new(expression)
                .map_err(|error| format!("pattern {number} is refused: {}", reason(&error)))?;
            if regex.is_match("") {
                return Err(format!("pattern {number} matches the empty text"));
            }
            list.push(regex);
        }
        let any = RegexSet::new(&expressions)
            .map_err(|error| format!("the patterns together are refused: {}", reason(&error)))?;
        Ok(Some(Patterns { list, any }))
    }

    pub(super) fn match_in(&self, text: &str) -> bool {
        self.any.is_match(text)
    }

    /// The text with every match replaced; `None` when there is none.
    ///
    /// All patterns see the same text, so that none hides from another what it would match. `quiet`
    /// gives ranges, in order and apart, inside which matches do not count.
    pub(super) fn replace(
        &self,
        text: &str,
        quiet: impl FnOnce() -> Vec<Range<usize>>,
    ) -> Option<String> {
        // Much quicker than asking which.
        if !self.match_in(text) {
            return None;
        }
        let matching = self.any.matches(text);
        let (quiet, marks) = (quiet(), marks(text));
        let matches_of = |index: usize| -> Parts<'_> {
            let found = self.list[index].find_iter(text).map(|found| found.range());
            let counts = found.filter(|range| {
                !range.is_empty() && !inside(&quiet, range) && !inside(&marks, range)
            });
            Box::new(counts.map(|range| (range, true)))
        };
        // Marks are never cut in two.
        let marks: Parts<'_> = Box::new(marks.iter().map(|mark| (mark.clone(), false)));
        let sources = matching.iter().map(matches_of).chain([marks]);
        assemble(text, in_order(sources.map(Iterator::peekable).collect()))
    }
}

/// Parts of a text in order, and whether each is a match.
type Parts<'a> = Box<dyn Iterator<Item = (Range<usize>, bool)> + 'a>;

/// The parts of all sources in order. One by one: there may be as many as there are bytes.
fn in_order(mut sources: Vec<Peekable<Parts<'_>>>) -> Parts<'_> {
    Box::new(iter::from_fn(move || {
        let starts = sources
            .iter_mut()
            .enumerate()
            .filter_map(|(index, source)| Some((source.peek()?.0.start, index)));
        let (_, first) = starts.min()?;
        sources[first].next()
    }))
}

/// The text with every run of touching parts that holds a match replaced; `None` when none does.
fn assemble(text: &str, parts: Parts<'_>) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut parts = parts.peekable();
    while let Some((mut run, mut matched)) = parts.next() {
        while let Some((range, is_match)) = parts.next_if(|(next, _)| next.start <= run.end) {
            run.end = run.end.max(range.end);
            matched |= is_match;
        }
        if matched {
            out.push_str(&text[copied..run.start]);
            out.push_str(REDACTED);
            copied = run.end;
        }
    }
    (copied > 0).then(|| {
        out.push_str(&text[copied..]);
        out
    })
}

/// Where redaction has been before.
fn marks(text: &str) -> Vec<Range<usize>> {
    let of = |mark: &'static str| {
        text.match_indices(mark)
            .map(move |(at, _)| at..at + mark.len())
    };
    let mut marks: Vec<_> = of(REDACTED).chain(of(FAILED)).collect();
    marks.sort_unstable_by_key(|mark| mark.start);
    marks
}

/// Whether one of the ranges, which are in order and apart, holds all of `range`.
fn inside(ranges: &[Range<usize>], range: &Range<usize>) -> bool {
    let after = ranges.partition_point(|candidate| candidate.start <= range.start);
    after > 0 && range.end <= ranges[after - 1].end
}

fn expressions(text: &str) -> Result<Vec<String>, String> {
    let trimmed = text.trim();
    match serde_json::from_str::<serde_json::Value>(trimmed) {
        Ok(serde_json::Value::Array(items)) => items
            .into_iter()
            .map(|item| match item {
                serde_json::Value::String(expression) => Ok(expression),
                _ => Err("the array holds something that is no text".to_owned()),
            })
            .collect(),
        _ if is_list(trimmed) => Err("looks like a list but is no JSON array".to_owned()),
        _ => Ok(text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()),
    }
}

/// `['a', 'b']` and `["a",]` would be taken for a class of characters.
fn is_list(text: &str) -> bool {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .map(|inner| inner.trim().trim_end_matches(',').trim_end());
    inner.is_some_and(|inner| {
        ['"', '\'']
            .iter()
            .any(|quote| inner.len() > 1 && inner.starts_with(*quote) && inner.ends_with(*quote))
    })
}

/// The last line of an error, which does not repeat the expression.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// What is wrong with a value of `redact.patterns`.
pub(crate) fn check(text: &str) -> Option<String> {
    Patterns::parse(text).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(patterns: &str, text: &str) -> Option<String> {
        let patterns = Patterns::parse(patterns).unwrap().unwrap();
        patterns.replace(text, Vec::new)
    }

    #[test]
    fn matches_of_all_patterns_are_replaced_in_the_text_as_it_was() {
        assert_eq!(replace("secret", "no"), None);
        // Replaced one after the other, the first would leave "bob" to nobody.
        let (patterns, text) = ("@example\n\\S+@example\\.com", "to bob@example.com, é");
        assert_eq!(replace(patterns, text).unwrap(), "to [redacted], é");
        assert_eq!(replace(r"\d", "pin 1234!").unwrap(), "pin [redacted]!");
    }

    #[test]
    fn redacting_again_changes_nothing() {
        for patterns in ["[a-z]+", r"\[", "redacted|secret", r"[a-z]+\]"] {
            let once = replace(patterns, "[a] secret [redaction failed][b]").unwrap();
            assert_eq!(replace(patterns, &once), None, "{patterns}: {once}");
        }
        assert_eq!(replace(r"\w+|\]x", "[redacted]x").unwrap(), REDACTED);
    }

    #[test]
    fn a_json_array_or_lines() {
        assert_eq!(
            expressions("[\"a,b\", \" c\\n\"]").unwrap(),
            ["a,b", " c\n"]
        );
        assert_eq!(
            expressions("a,b\r\n\n  [\"']c  \n").unwrap(),
            ["a,b", "[\"']c"]
        );
        for class in ["[a-z]", "[0-9]", "[\"']a[\"']", "['\"]+x['\"]"] {
            assert_eq!(expressions(class).unwrap(), [class]);
        }
    }

    #[test]
    fn errors_tell_which_pattern_but_not_the_pattern() {
        for (text, told) in [
            ("ok\n(hunter2", "pattern 2 is refused: unclosed group"),
            ("[\"ok\", \"a*\"]", "pattern 2 matches the empty text"),
            ("a|", "pattern 1 matches the empty text"),
            ("[\"\"]", "pattern 1 matches the empty text"),
            ("['a', 'b']", "looks like a list but is no JSON array"),
            ("[\"a\",]", "looks like a list but is no JSON array"),
            ("[1, 2]", "the array holds something that is no text"),
            ("[]", "holds no pattern"),
            (" \n ", "holds no pattern"),
            ("a\0", "contains a NUL"),
        ] {
            assert_eq!(check(text).as_deref(), Some(told), "{text}");
        }
        assert!(!check(r"(?=hunter2)x").unwrap().contains("hunter2"));
        assert!(check(r"\w{5000}{5000}").is_some());
    }
}
