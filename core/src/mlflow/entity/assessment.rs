//! Feedback and expectations about a trace or one of its spans.

use serde_json::{Map, Value, json};

use super::member::{damaged, filled, object, optional, pairs, put, text};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::random_u64;
use crate::mlflow::times;

/// As MLflow cuts stack traces before it sends them.
const STACK_TRACE_LENGTH: usize = 10_000;
const STACK_TRACE_CUT: &str = "[Stack trace is truncated]\n...\n";

/// What kind of source an assessment has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceType {
    /// Not told.
    #[default]
    Unspecified,
    /// A person.
    Human,
    /// A model.
    LlmJudge,
    /// A program.
    Code,
}

impl SourceType {
    /// MLflow's name.
    pub fn name(self) -> &'static str {
        match self {
            SourceType::Unspecified => "SOURCE_TYPE_UNSPECIFIED",
            SourceType::Human => "HUMAN",
            SourceType::LlmJudge => "LLM_JUDGE",
            SourceType::Code => "CODE",
        }
    }

    /// By MLflow's name in any case, also the old `AI_JUDGE`. Fails with `InvalidArgument`.
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "" | "SOURCE_TYPE_UNSPECIFIED" => SourceType::Unspecified,
            "HUMAN" => SourceType::Human,
            "LLM_JUDGE" | "AI_JUDGE" => SourceType::LlmJudge,
            "CODE" => SourceType::Code,
            _ => {
                let message = format!("Invalid assessment source type: {name}");
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
        })
    }
}

/// Who made an assessment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssessmentSource {
    /// What kind of one.
    pub source_type: SourceType,
    /// Which one, for instance a mail address or the name of a model.
    pub source_id: String,
}

impl AssessmentSource {
    /// MLflow's `default` source of this kind.
    pub fn new(source_type: SourceType) -> Self {
        AssessmentSource {
            source_type,
            source_id: "default".to_owned(),
        }
    }
}

/// Why there is no feedback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssessmentError {
    /// For programs, for instance the class of an exception.
    pub error_code: String,
    /// For people.
    pub error_message: Option<String>,
    /// Where it happened; cut to its last 10,000 characters.
    pub stack_trace: Option<String>,
}

/// A judgement about what was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// A boolean, number, text, list or object; null where there is an error. Servers store numbers as doubles.
    pub value: Value,
    /// Why there is no value.
    pub error: Option<AssessmentError>,
}

/// What should have been done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Any JSON.
    pub value: Value,
}

/// A reference to an issue of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssueReference {
    /// The issue's name; its id is the assessment's name.
    pub issue_name: String,
}

/// What an assessment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssessmentValue {
    /// A judgement about what was done.
    Feedback(Feedback),
    /// What should have been done.
    Expectation(Expectation),
    /// A reference to an issue.
    Issue(IssueReference),
}

/// Feedback, an expectation or an issue, about a trace or one of its spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// `a-` and 32 hex digits; [`Client::log_assessment`](crate::Client::log_assessment) assigns one where there is
    /// none, so that sending it again does not make two of it.
    pub assessment_id: Option<String>,
    /// Its name.
    pub name: String,
    /// What it says.
    pub value: AssessmentValue,
    /// Who says it.
    pub source: AssessmentSource,
    /// The trace it is about.
    pub trace_id: Option<String>,
    /// The span it is about, 16 hex digits; `None` for the whole trace.
    pub span_id: Option<String>,
    /// Why.
    pub rationale: Option<String>,
    /// More about it.
    pub metadata: Vec<(String, String)>,
    /// In milliseconds since the Unix epoch.
    pub create_time: u64,
    /// In milliseconds since the Unix epoch.
    pub last_update_time: u64,
    /// The assessment that it stands in for.
    pub overrides: Option<String>,
    /// Whether no other one stands in for it; `None` where that was not told.
    pub valid: Option<bool>,
}

impl Assessment {
    /// An assessment of now, with MLflow's default source for its kind.
    pub fn new(name: impl Into<String>, value: AssessmentValue) -> Self {
        let (source, valid) = match &value {
            AssessmentValue::Feedback(_) => (SourceType::Code, Some(true)),
            AssessmentValue::Expectation(_) => (SourceType::Human, None),
            AssessmentValue::Issue(_) => (SourceType::LlmJudge, None),
        };
        let now = clock::unix_nanos() / 1_000_000;
        Assessment {
            assessment_id: None,
            name: name.into(),
            value,
            source: AssessmentSource::new(source),
            trace_id: None,
            span_id: None,
            rationale: None,
            metadata: Vec::new(),
            create_time: now,
            last_update_time: now,
            overrides: None,
            valid,
        }
    }

    /// A judgement about what was done.
    pub fn feedback(name: impl Into<String>, value: Value) -> Self {
        let feedback = Feedback { value, error: None };
        Assessment::new(name, AssessmentValue::Feedback(feedback))
    }

    /// What should have been done.
    pub fn expectation(name: impl Into<String>, value: Value) -> Self {
        Assessment::new(name, AssessmentValue::Expectation(Expectation { value }))
    }

    /// Assigns an id if it has none.
    pub(crate) fn identify(&mut self) -> &str {
        let make = || format!("a-{:016x}{:016x}", random_u64(), random_u64());
        self.assessment_id.get_or_insert_with(make)
    }

    /// MLflow's JSON; what is not set is left out.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        put(&mut json, "assessment_id", self.assessment_id.clone());
        put(&mut json, "assessment_name", self.name.as_str());
        put(&mut json, "trace_id", self.trace_id.clone());
        put(&mut json, "span_id", self.span_id.clone());
        let source = json!({
            "source_type": self.source.source_type.name(),
            "source_id": self.source.source_id,
        });
        put(&mut json, "source", source);
        put(&mut json, "create_time", times::rfc3339(self.create_time));
        let updated = times::rfc3339(self.last_update_time);
        put(&mut json, "last_update_time", updated);
        let (kind, value) = self.value.to_json();
        json.insert(kind.to_owned(), value);
        put(&mut json, "rationale", self.rationale.clone());
        put(&mut json, "metadata", object(&self.metadata));
        put(&mut json, "overrides", self.overrides.clone());
        put(&mut json, "valid", self.valid);
        Value::Object(json)
    }

    /// Reads [`Self::to_json`], a server's or a program's: times that are missing are now. Fails with `Damaged`.
    pub fn from_json(value: &Value) -> Result<Self> {
        let name = text(value, "assessment_name")?;
        let kind = AssessmentValue::from_json(value)
            .ok_or_else(|| damaged(format!("the kind of the assessment '{name}' is not known")))?;
        let mut assessment = Assessment::new(name, kind);
        if let Some(source) = value.get("source").filter(|source| source.is_object()) {
            let kind = optional(source, "source_type").unwrap_or_default();
            assessment.source.source_type = SourceType::parse(&kind)?;
            if let Some(id) = optional(source, "source_id") {
                assessment.source.source_id = id;
            }
        }
        let time = |key| optional(value, key).and_then(|text| times::parse_rfc3339(&text));
        let created = time("create_time").unwrap_or(assessment.create_time);
        Ok(Assessment {
            assessment_id: filled(value, "assessment_id"),
            trace_id: filled(value, "trace_id"),
            span_id: filled(value, "span_id"),
            rationale: optional(value, "rationale"),
            metadata: pairs(value, "metadata"),
            create_time: created,
            last_update_time: time("last_update_time").unwrap_or(created),
            overrides: filled(value, "overrides"),
            valid: value
                .get("valid")
                .and_then(Value::as_bool)
                .or(assessment.valid),
            ..assessment
        })
    }
}

impl AssessmentValue {
    /// The name of the member that holds it, and the member.
    pub(crate) fn to_json(&self) -> (&'static str, Value) {
        match self {
            AssessmentValue::Feedback(Feedback { value, error }) => {
                let mut json = json!({"value": value});
                if let Some(error) = error {
                    json["error"] = error.to_json();
                }
                ("feedback", json)
            }
            AssessmentValue::Expectation(Expectation { value }) if is_container(value) => {
                let text = crate::json::to_text(value);
                let serialized = json!({"serialization_format": "JSON_FORMAT", "value": text});
                ("expectation", json!({"serialized_value": serialized}))
            }
            AssessmentValue::Expectation(Expectation { value }) => {
                ("expectation", json!({"value": value}))
            }
            AssessmentValue::Issue(IssueReference { issue_name }) => {
                ("issue", json!({"issue_name": issue_name}))
            }
        }
    }

    fn from_json(value: &Value) -> Option<Self> {
        if let Some(feedback) = value.get("feedback").filter(|part| part.is_object()) {
            let error = feedback.get("error").filter(|error| error.is_object());
            return Some(AssessmentValue::Feedback(Feedback {
                value: feedback["value"].clone(),
                error: error.map(AssessmentError::from_json),
            }));
        }
        if let Some(expectation) = value.get("expectation").filter(|part| part.is_object()) {
            let value = match expectation["serialized_value"]["value"].as_str() {
                Some(text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
                None => expectation["value"].clone(),
            };
            return Some(AssessmentValue::Expectation(Expectation { value }));
        }
        let issue = value.get("issue").filter(|part| part.is_object())?;
        Some(AssessmentValue::Issue(IssueReference {
            issue_name: optional(issue, "issue_name").unwrap_or_default(),
        }))
    }
}

fn is_container(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

impl AssessmentError {
    fn to_json(&self) -> Value {
        let mut json = Map::new();
        put(&mut json, "error_code", self.error_code.as_str());
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        put(&mut json, "error_message", filled(&self.error_message));
        let trace = filled(&self.stack_trace).map(|trace| shortened(&trace));
        put(&mut json, "stack_trace", trace);
        Value::Object(json)
    }

    fn from_json(value: &Value) -> Self {
        AssessmentError {
            error_code: optional(value, "error_code").unwrap_or_default(),
            error_message: optional(value, "error_message"),
            stack_trace: optional(value, "stack_trace"),
        }
    }
}

fn shortened(trace: &str) -> String {
    let length = trace.chars().count();
    let kept = STACK_TRACE_LENGTH - STACK_TRACE_CUT.len();
    match trace.char_indices().nth(length.saturating_sub(kept)) {
        Some((from, _)) if length > STACK_TRACE_LENGTH => {
            format!("{STACK_TRACE_CUT}{}", &trace[from..])
        }
        _ => trace.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut error = Assessment::feedback("e", Value::Null);
        error.value = AssessmentValue::Feedback(Feedback {
            value: Value::Null,
            error: Some(AssessmentError {
                error_code: "ValueError".to_owned(),
                error_message: Some("m".to_owned()),
                stack_trace: None,
            }),
        });
        let mut full = Assessment::feedback("f", json!({"a": [1.5, null]}));
        full.identify();
        full.span_id = Some("ab".repeat(8));
        full.rationale = Some(String::new());
        full.metadata = vec![("k".to_owned(), "v".to_owned())];
        full.overrides = Some("a-1".to_owned());
        full.valid = Some(false);
        let issue = AssessmentValue::Issue(IssueReference {
            issue_name: "slow".to_owned(),
        });
        for assessment in [
            error,
            full,
            Assessment::expectation("x", json!({"a": "b"})),
            Assessment::expectation("x", json!(3.5)),
            Assessment::new("i-1", issue),
        ] {
            let json = assessment.to_json();
            assert_eq!(Assessment::from_json(&json).unwrap(), assessment, "{json}");
        }
    }

    #[test]
    fn what_is_no_assessment_is_an_error() {
        for bad in [
            json!({"assessment_name": "n"}),
            json!({"feedback": {"value": 1}}),
            json!({"assessment_name": "n", "feedback": {}, "source": {"source_type": "GUESS"}}),
            json!(null),
        ] {
            assert!(Assessment::from_json(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_stack_traces_keep_their_end() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&format!("{}end", "é".repeat(20_000)));
        assert_eq!(cut.chars().count(), STACK_TRACE_LENGTH);
        assert!(cut.starts_with(STACK_TRACE_CUT) && cut.ends_with("end"));
    }
}
