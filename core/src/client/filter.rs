//! The part of MLflow's filter grammar that searches in files know: conditions joined by `AND`.
//!
//! ```text
//! condition  = field comparator value | field [NOT] IN (value, ...) | field IS [NOT] NULL
//! field      = [attributes. | trace.] (name | status | request_id | trace_id | client_request_id | timestamp[_ms]
//!              | execution_time[_ms] | end_time[_ms]) | tags.KEY | metadata.KEY       KEY may be in backticks
//! comparator = = != > >= < <= LIKE ILIKE
//! ```

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};

use super::TraceInfo;
use super::search::invalid;
use crate::error::Result;
use crate::mlflow::keys;

/// Which value of a trace is meant.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Name,
    Status,
    Id,
    ClientRequestId,
    Start,
    Duration,
    End,
    Tag(String),
    Metadata(String),
}

/// A value of a trace.
#[derive(Clone, Debug, PartialEq)]
enum Held {
    Text(String),
    Number(f64),
}

#[derive(Debug)]
enum Test {
    Equals(Held),
    Differs(Held),
    /// The orders that a comparison with a number may have.
    Ordered(f64, &'static [Ordering]),
    Like(Regex),
    Among(Vec<Held>, bool),
    IsNull(bool),
}

/// A filter, read.
#[derive(Debug, Default)]
pub(super) struct Filter {
    conditions: Vec<(Field, Test)>,
}

impl Filter {
    /// Fails with `InvalidFilter`, naming what is not understood.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser {
            tokens: tokens(text)?,
            at: 0,
        };
        let mut conditions = Vec::new();
        while parser.at < parser.tokens.len() {
            if !conditions.is_empty() && !parser.keyword("AND") {
                return Err(parser.confused("'AND' is missing"));
            }
            conditions.push(parser.condition()?);
        }
        Ok(Filter { conditions })
    }

    pub(super) fn matches(&self, info: &TraceInfo) -> bool {
        self.conditions
            .iter()
            .all(|(field, test)| test.passes(field.of(info).as_ref()))
    }
}

/// An order of traces: the first field that differs decides; else the latest is first.
#[derive(Debug)]
pub(super) struct Order(Vec<(Field, bool)>);

impl Order {
    /// Fails with `InvalidFilter`.
    pub(super) fn parse(clauses: &[String]) -> Result<Self> {
        let clauses = clauses.iter().map(|clause| {
            let mut words = clause.split_whitespace();
            let field = Field::parse(words.next().unwrap_or_default())?;
            let descending = match words.next().map(str::to_ascii_uppercase).as_deref() {
                None | Some("ASC") => false,
                Some("DESC") => true,
                Some(_) => return Err(invalid(format!("'{clause}' is no order"))),
            };
            match words.next() {
                None => Ok((field, descending)),
                Some(_) => Err(invalid(format!("'{clause}' is no order"))),
            }
        });
        clauses.collect::<Result<_>>().map(Order)
    }

    pub(super) fn compare(&self, one: &TraceInfo, other: &TraceInfo) -> Ordering {
        let mut order = Ordering::Equal;
        for (field, descending) in &self.0 {
            order = order.then_with(|| {
                let order = match (field.of(one), field.of(other)) {
                    (Some(Held::Number(one)), Some(Held::Number(other))) => one.total_cmp(&other),
                    (Some(Held::Text(one)), Some(Held::Text(other))) => one.cmp(&other),
                    (one, other) => one.is_some().cmp(&other.is_some()),
                };
                if *descending { order.reverse() } else { order }
            });
        }
        order
            .then_with(|| other.request_time.cmp(&one.request_time))
            .then_with(|| one.trace_id.cmp(&other.trace_id))
    }
}

impl Field {
    fn parse(text: &str) -> Result<Self> {
        let (kind, key) = match text.split_once('.') {
            Some((kind, key)) => (kind.to_ascii_lowercase(), key),
            None => ("attributes".to_owned(), text),
        };
        let bare = key.trim_matches(|character| "`\"".contains(character));
        match kind.as_str() {
            "tag" | "tags" => return Ok(Field::Tag(bare.to_owned())),
            "metadata" | "request_metadata" => return Ok(Field::Metadata(bare.to_owned())),
            "attribute" | "attributes" | "attr" | "trace" => {}
            _ => return Err(unknown(text)),
        }
        Ok(match bare.to_ascii_lowercase().as_str() {
            "name" => Field::Name,
            "status" | "state" => Field::Status,
            "request_id" | "trace_id" => Field::Id,
            "client_request_id" => Field::ClientRequestId,
            "timestamp" | "timestamp_ms" => Field::Start,
            "execution_time" | "execution_time_ms" => Field::Duration,
            "end_time" | "end_time_ms" => Field::End,
            _ => return Err(unknown(text)),
        })
    }

    fn of(&self, info: &TraceInfo) -> Option<Held> {
        let number = |number: u64| Held::Number(number as f64);
        let text = |text: &str| Held::Text(text.to_owned());
        match self {
            Field::Name => info.tag(keys::TAG_TRACE_NAME).map(text),
            Field::Status => Some(text(info.state.name())),
            Field::Id => Some(text(&info.trace_id)),
            Field::ClientRequestId => info.client_request_id.as_deref().map(text),
            Field::Start => Some(number(info.request_time)),
            Field::Duration => info.execution_duration.map(number),
            Field::End => {
                let duration = info.execution_duration?;
                Some(number(info.request_time.saturating_add(duration)))
            }
            Field::Tag(key) => info.tag(key).map(text),
            Field::Metadata(key) => info.metadata(key).map(text),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Field::Start | Field::Duration | Field::End)
    }
}

impl Test {
    fn passes(&self, held: Option<&Held>) -> bool {
        match (self, held) {
            (Test::IsNull(wanted), held) => held.is_none() == *wanted,
            // As in SQL, what is not there neither equals nor differs.
            (_, None) => false,
            (Test::Equals(value), Some(held)) => value == held,
            (Test::Differs(value), Some(held)) => value != held,
            (Test::Among(values, wanted), Some(held)) => values.contains(held) == *wanted,
            (Test::Like(pattern), Some(Held::Text(text))) => pattern.is_match(text),
            (Test::Ordered(value, orders), Some(Held::Number(number))) => number
                .partial_cmp(value)
                .is_some_and(|order| orders.contains(&order)),
            _ => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Symbol(String),
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn condition(&mut self) -> Result<(Field, Test)> {
        let Some(Token::Word(name)) = self.next() else {
            return Err(self.confused("a field is missing"));
        };
        let field = Field::parse(&name)?;
        let is_number = field.is_number();
        if self.keyword("IS") {
            let is_null = !self.keyword("NOT");
            return match self.keyword("NULL") {
                true => Ok((field, Test::IsNull(is_null))),
                false => Err(self.confused("'NULL' is missing")),
            };
        }
        let negated = self.keyword("NOT");
        if self.keyword("IN") {
            let values = self.list(is_number)?;
            return Ok((field, Test::Among(values, !negated)));
        }
        for (word, sensitive) in [("LIKE", true), ("ILIKE", false)] {
            if !negated && self.keyword(word) {
                return match self.value(false)? {
                    Held::Text(text) if !is_number => {
                        Ok((field, Test::Like(like(&text, sensitive)?)))
                    }
                    _ => Err(self.confused("LIKE compares texts")),
                };
            }
        }
        let Some(Token::Symbol(symbol)) = self.next() else {
            return Err(self.confused("a comparator is missing"));
        };
        let value = self.value(is_number)?;
        let orders: &'static [Ordering] = match symbol.as_str() {
            "=" => return Ok((field, Test::Equals(value))),
            "!=" => return Ok((field, Test::Differs(value))),
            ">" => &[Ordering::Greater],
            ">=" => &[Ordering::Greater, Ordering::Equal],
            "<" => &[Ordering::Less],
            "<=" => &[Ordering::Less, Ordering::Equal],
            _ => return Err(self.confused("a comparator is missing")),
        };
        match value {
            Held::Number(number) => Ok((field, Test::Ordered(number, orders))),
            Held::Text(_) => Err(self.confused("only numbers have an order")),
        }
    }

    fn list(&mut self, is_number: bool) -> Result<Vec<Held>> {
        let mut values = Vec::new();
        let mut wanted = "(";
        loop {
            if self.next() != Some(Token::Symbol(wanted.to_owned())) {
                return Err(self.confused("a list is (value, ...)"));
            }
            values.push(self.value(is_number)?);
            if self.tokens.get(self.at) == Some(&Token::Symbol(")".to_owned())) {
                self.at += 1;
                return Ok(values);
            }
            wanted = ",";
        }
    }

    fn value(&mut self, is_number: bool) -> Result<Held> {
        match self.next() {
            Some(Token::Text(text)) if !is_number => Ok(Held::Text(text)),
            Some(Token::Word(text)) if is_number => match text.parse() {
                Ok(number) => Ok(Held::Number(number)),
                Err(_) => Err(self.confused("a number is missing")),
            },
            _ if is_number => Err(self.confused("a number is missing")),
            _ => Err(self.confused("a text in single quotes is missing")),
        }
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn keyword(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(found);
        found
    }

    fn confused(&self, what: &str) -> crate::Error {
        let near = match self.tokens.get(self.at.saturating_sub(1)) {
            Some(Token::Word(text) | Token::Text(text) | Token::Symbol(text)) => text.as_str(),
            None => "the end",
        };
        invalid(format!("the filter is not understood at '{near}': {what}"))
    }
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let end = rest[1..].find(first);
                let end = end.ok_or_else(|| invalid(format!("the text {rest} has no end")))?;
                tokens.push(Token::Text(rest[1..=end].to_owned()));
                end + 2
            }
            '(' | ')' | ',' => {
                tokens.push(Token::Symbol(first.to_string()));
                1
            }
            '=' | '!' | '<' | '>' => {
                let length = 1 + usize::from(rest[1..].starts_with('='));
                tokens.push(Token::Symbol(rest[..length].to_owned()));
                length
            }
            _ => {
                let length = word(rest);
                if length == 0 {
                    return Err(invalid(format!("the filter is not understood at '{rest}'")));
                }
                tokens.push(Token::Word(rest[..length].to_owned()));
                length
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The length of a word, in which there may be anything between backticks.
fn word(text: &str) -> usize {
    let mut quoted = false;
    let end = text.char_indices().find(|(_, character)| {
        quoted ^= *character == '`';
        let is_part = character.is_alphanumeric() || "_.-+/:`@".contains(*character);
        !quoted && !is_part
    });
    end.map_or(text.len(), |(at, _)| at)
}

/// SQL's pattern: `%` stands for any text, `_` for any character.
fn like(pattern: &str, sensitive: bool) -> Result<Regex> {
    let mut text = String::from("^");
    for character in pattern.chars() {
        match character {
            '%' => text.push_str(".*"),
            '_' => text.push('.'),
            other => text.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    text.push('$');
    RegexBuilder::new(&text)
        .dot_matches_new_line(true)
        .case_insensitive(!sensitive)
        .build()
        .map_err(|error| invalid(format!("the pattern '{pattern}' cannot be used: {error}")))
}

#[cold]
fn unknown(field: &str) -> crate::Error {
    invalid(format!(
        "'{field}' is no field that a search in files knows: name, status, request_id, client_request_id, timestamp_ms, \
         execution_time_ms, end_time_ms, tags.<key>, metadata.<key>"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(id: &str, name: &str, time: &str) -> TraceInfo {
        TraceInfo::from_json(&json!({
            "trace_id": id,
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "1"}},
            "request_time": time,
            "execution_duration": "0.250s",
            "state": "OK",
            "tags": {"mlflow.traceName": name, "env": "prod", "my key": "it's"},
            "trace_metadata": {"mlflow.trace.session": "s-1"},
        }))
        .unwrap()
    }

    #[test]
    fn conditions() {
        let info = info("tr-1", "Ask 100%", "1970-01-01T00:00:02Z");
        for (filter, wanted) in [
            ("", true),
            ("name = 'Ask 100%'", true),
            ("attributes.name LIKE 'Ask%'", true),
            ("trace.name LIKE 'ask%'", false),
            ("trace.name ILIKE 'ask 1_0%'", true),
            ("status IN ('OK', 'ERROR') AND tags.env = 'prod'", true),
            ("status NOT IN ('OK')", false),
            ("tags.`my key` = \"it's\"", true),
            ("tags.none = 'x'", false),
            ("tags.none != 'x'", false),
            ("tags.none IS NULL", true),
            ("tag.env is not null", true),
            ("metadata.`mlflow.trace.session` = 's-1'", true),
            ("timestamp_ms >= 2000 and timestamp < 2001", true),
            ("execution_time_ms > 250", false),
            ("end_time = 2250", true),
            ("request_id != 'tr-1'", false),
        ] {
            let read = Filter::parse(filter).unwrap();
            assert_eq!(read.matches(&info), wanted, "{filter}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for filter in [
            "bogus = 1",
            "bogus ~ 1",
            "name",
            "name =",
            "name = 5",
            "name > 'a'",
            "timestamp_ms = 'a'",
            "timestamp_ms LIKE '1%'",
            "name = 'a' OR name = 'b'",
            "name = 'a' name = 'b'",
            "name = 'a",
            "name IN 'a'",
            "name IN ('a'",
            "name IS 'a'",
            "span.name = 'a'",
            "tags.a = 'b' AND",
            "\u{1f600}",
            "name == 'a'",
        ] {
            let error = Filter::parse(filter).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidFilter, "{filter}");
        }
        assert!(Order::parse(&["name SIDEWAYS".to_owned()]).is_err());
        assert!(Order::parse(&["name ASC x".to_owned()]).is_err());
    }

    #[test]
    fn orders() {
        let mut infos = [
            info("tr-1", "b", "1970-01-01T00:00:01Z"),
            info("tr-3", "a", "1970-01-01T00:00:02Z"),
            info("tr-2", "a", "1970-01-01T00:00:02Z"),
        ];
        let mut sorted = |clauses: &[&str]| {
            let clauses: Vec<String> = clauses.iter().map(|text| (*text).to_owned()).collect();
            let order = Order::parse(&clauses).unwrap();
            infos.sort_by(|one, other| order.compare(one, other));
            infos.each_ref().map(|info| info.trace_id[3..].to_owned())
        };
        assert_eq!(sorted(&[]), ["2", "3", "1"]);
        assert_eq!(sorted(&["timestamp_ms ASC"]), ["1", "2", "3"]);
        assert_eq!(sorted(&["name DESC", "request_id DESC"]), ["1", "3", "2"]);
    }
}
