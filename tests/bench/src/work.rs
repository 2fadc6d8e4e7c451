//! What is recorded: the same for every library. `record.c` repeats the constants.

use std::hint::black_box;

/// Children of a root in W2 and W3.
pub(crate) const CHILDREN: usize = 10;
pub(crate) const ROOT: &str = "root";
pub(crate) const CHILD: &str = "child span";

pub(crate) const TEXTS: [(&str, &str); 5] = [
    ("gen_ai.system", "openai-like"),
    ("gen_ai.request.model", "model-large-2026"),
    ("http.route", "/v1/chat/completions"),
    ("server.address", "inference-7.local"),
    ("app.tenant", "tenant-0042"),
];
pub(crate) const NUMBERS: [(&str, i64); 5] = [
    ("gen_ai.usage.input_tokens", 1234),
    ("gen_ai.usage.output_tokens", 567),
    ("http.status_code", 200),
    ("app.retries", 0),
    ("app.queue_us", 8_123_456),
];
/// The keys of input and output, for libraries that have only attributes.
pub(crate) const PAYLOADS: [&str; 2] = ["mlflow.spanInputs", "mlflow.spanOutputs"];

/// JSON text of about 1 KB.
pub(crate) fn payload() -> String {
    let content = "All work and no play makes a dull trace. ".repeat(24);
    format!(r#"{{"messages": [{{"role": "user", "content": "{content}"}}]}}"#)
}

/// The texts as a program has them that learns their values as it runs: in strings of their own.
pub(crate) fn owned_texts() -> [(&'static str, String); 5] {
    TEXTS.map(|(key, text)| (key, black_box(text).to_owned()))
}

/// Bytes of the keys and values of the ten attributes.
pub(crate) fn attribute_bytes() -> usize {
    let texts = TEXTS.map(|(key, text)| key.len() + text.len());
    let numbers = NUMBERS.map(|(key, number)| key.len() + size_of_val(&number));
    texts.iter().chain(&numbers).sum()
}

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Start and end a root with a name only.
    W1,
    /// A child of an active root with a name, five texts and five integers.
    W2,
    /// W2 with 1 KB of JSON text as input and 1 KB as output.
    W3,
}

impl Work {
    pub(crate) const ALL: [Work; 3] = [Work::W1, Work::W2, Work::W3];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::W1 => "W1",
            Work::W2 => "W2",
            Work::W3 => "W3",
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Work::W1 => "a root with a name",
            Work::W2 => "a child with 10 attributes",
            Work::W3 => "W2 with 1 KB of input and 1 KB of output",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Work> {
        Work::ALL.into_iter().find(|work| work.name() == name)
    }
}

/// How a span gets its attributes; W1 has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// All in the call that starts the span, or in one call after it.
    Together,
    /// A call for each.
    OneByOne,
}

impl Mode {
    pub(crate) const ALL: [Mode; 2] = [Mode::Together, Mode::OneByOne];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Together => "together",
            Mode::OneByOne => "one-by-one",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workloads_are_those_of_the_specification() {
        assert!(
            TEXTS
                .iter()
                .all(|(_, text)| (8..=24).contains(&text.chars().count()))
        );
        assert!((1000..1100).contains(&payload().len()));
        assert_eq!(
            attribute_bytes(),
            13 + 20 + 10 + 14 + 10 + 75 + 25 + 26 + 16 + 11 + 12 + 40
        );
    }
}
