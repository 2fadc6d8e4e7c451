//! What the information of a trace should hold.

use std::collections::{BTreeMap, HashSet};

use mlflow_trace_core::TraceUpdate;
use serde_json::{Map, Value as Json, json};

use crate::delivery::{Checked, Piece, ensure};
use crate::register::{Moment, Register};
use crate::table::{MESSAGES, TIMES};

/// Metadata that the engine adds by itself.
const STANDARD: &[&str] = &[
    "mlflow.trace_schema.version",
    "mlflow.user",
    "mlflow.source.name",
    "mlflow.source.type",
    "mlflow.source.git.commit",
    "mlflow.source.git.branch",
    "mlflow.source.git.repoURL",
    "mlflow.traceInputs",
    "mlflow.traceOutputs",
    "mlflow.trace.sizeStats",
    "mlflow.trace.sizeBytes",
];

const TOKEN_USAGE: &str = "mlflow.trace.tokenUsage";
const TOKENS: &[&str] = &["input_tokens", "output_tokens", "total_tokens"];
const CACHED_TOKENS: &[&str] = &[
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
];

/// The fields that updates wrote, by a name of their own.
#[derive(Default)]
pub(crate) struct Expected {
    fields: BTreeMap<String, Register<String>>,
    /// Where it may have been sent.
    pub(crate) experiments: Vec<String>,
}

fn cut(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

impl Expected {
    pub(crate) fn in_experiment(id: String) -> Self {
        Expected {
            experiments: vec![id],
            ..Expected::default()
        }
    }

    /// Takes over an update, which `certain`ly reached this trace or perhaps.
    pub(crate) fn update(&mut self, certain: bool, moment: Moment, update: &TraceUpdate) {
        let mut write = |name: String, value: String| {
            let register = self.fields.entry(name).or_default();
            register.write_if(certain, moment, value);
        };
        for (key, value) in &update.tags {
            write(format!("tag {}", cut(key, 250)), cut(value, 4096));
        }
        for (key, value) in &update.metadata {
            write(format!("metadata {}", cut(key, 250)), cut(value, 250));
        }
        for (name, text, length) in [
            ("client_request_id", &update.client_request_id, 50),
            ("request_preview", &update.request_preview, 1000),
            ("response_preview", &update.response_preview, 1000),
            ("metadata mlflow.trace.session", &update.session_id, 250),
            ("metadata mlflow.trace.user", &update.user, 250),
            ("metadata mlflow.modelId", &update.model_id, 250),
        ] {
            // Empty text changes nothing.
            if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
                write(name.to_owned(), cut(text, length));
            }
        }
        if let Some(state) = update.state {
            write("state".to_owned(), state.name().to_owned());
        }
    }

    fn register(&self, name: &str) -> Register<String> {
        self.fields.get(name).cloned().unwrap_or_default()
    }

    /// Compares the information of a piece that has some.
    pub(crate) fn check(&self, piece: &Piece) -> Checked {
        let (Some(info), Some(root)) = (&piece.info, piece.root()) else {
            return Err(format!("a piece with information and no root: {piece:?}"));
        };
        self.check_fields(piece, info, root)
            .map_err(|problem| format!("{problem}\n  in {info}"))
    }

    fn check_fields(&self, piece: &Piece, info: &Json, root: &Json) -> Checked {
        let attributes = &root["attributes"];
        ensure(
            json!(info["trace_id"].to_string()) == attributes["mlflow.traceRequestId"],
            || "trace id".to_owned(),
        )?;
        let location = &info["trace_location"]["mlflow_experiment"]["experiment_id"];
        ensure(self.experiments.iter().any(|id| location == id), || {
            format!("experiment, may be {:?}", self.experiments)
        })?;
        check_times(info, root)?;

        let state = match root["status"]["code"] == "STATUS_CODE_ERROR" {
            true => "ERROR",
            false => "OK",
        };
        self.check_text("state", &info["state"], Some(state.to_owned()))?;
        self.check_text("client_request_id", &info["client_request_id"], None)?;
        let preview = |key: &str| attributes[key].as_str().map(preview);
        let (request, response) = (preview("mlflow.spanInputs"), preview("mlflow.spanOutputs"));
        self.check_text("request_preview", &info["request_preview"], request)?;
        self.check_text("response_preview", &info["response_preview"], response)?;

        let name = root["name"].as_str().unwrap_or_default();
        let tags = Map::from_iter([("mlflow.traceName".to_owned(), json!(name))]);
        self.check_map("tag ", &info["tags"], &tags)?;
        self.check_metadata(piece, &info["trace_metadata"], attributes)
    }

    /// A text that updates may have set, and that is `otherwise` something else.
    fn check_text(&self, name: &str, found: &Json, otherwise: Option<String>) -> Checked {
        let register = self.register(name);
        let mut outcomes = register.outcomes().into_iter();
        let fits = outcomes.any(|outcome| *found == json!(outcome.or(otherwise.clone())));
        ensure(fits, || {
            format!(
                "{name} is {found}, may be {:?} or {otherwise:?}",
                register.outcomes()
            )
        })
    }

    /// Members that updates may have set, beside others that the engine sets.
    fn check_map(&self, prefix: &str, found: &Json, others: &Map<String, Json>) -> Checked {
        let none = Map::new();
        let found = found.as_object().unwrap_or(&none);
        let named = self
            .fields
            .keys()
            .filter_map(|name| name.strip_prefix(prefix));
        let keys: HashSet<&str> = named
            .chain(found.keys().map(String::as_str))
            .chain(others.keys().map(String::as_str))
            .collect();
        for key in keys {
            let name = format!("{prefix}{key}");
            let value = found.get(key).unwrap_or(&Json::Null);
            let otherwise = others.get(key).and_then(Json::as_str).map(str::to_owned);
            self.check_text(&name, value, otherwise)?;
        }
        Ok(())
    }

    fn check_metadata(&self, piece: &Piece, found: &Json, root: &Json) -> Checked {
        let mut others = Map::new();
        for key in STANDARD {
            ensure(found[key].is_string(), || format!("no metadata {key}"))?;
            others.insert((*key).to_owned(), found[key].clone());
        }
        for (key, of) in [
            ("mlflow.traceInputs", "mlflow.spanInputs"),
            ("mlflow.traceOutputs", "mlflow.spanOutputs"),
        ] {
            let text = root[of].as_str().unwrap_or_default();
            ensure(found[key] == text, || format!("{key}, should be {text}"))?;
        }
        ensure(found["mlflow.trace_schema.version"] == "3", || {
            "schema".to_owned()
        })?;
        if let Some(usage) = usage(piece) {
            let text = found[TOKEN_USAGE].as_str().unwrap_or_default();
            let read: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
            ensure(read == usage, || {
                format!("{TOKEN_USAGE}, should be {usage}")
            })?;
            others.insert(TOKEN_USAGE.to_owned(), found[TOKEN_USAGE].clone());
        }
        self.check_map("metadata ", found, &others)?;
        let statistics = found["mlflow.trace.sizeStats"].as_str().unwrap_or_default();
        let statistics: Json =
            serde_json::from_str(statistics).map_err(|error| format!("sizeStats: {error}"))?;
        ensure(statistics["num_spans"] == piece.spans.len(), || {
            format!("num_spans, should be {}", piece.spans.len())
        })?;
        let total = statistics["total_size_bytes"].to_string();
        ensure(found["mlflow.trace.sizeBytes"] == total, || {
            "sizeBytes".to_owned()
        })
    }
}

fn preview(text: &str) -> String {
    let (messages, content) = MESSAGES;
    (if text == messages { content } else { text }).to_owned()
}

fn check_times(info: &Json, root: &Json) -> Checked {
    let time = |key: &str| root[key].as_u64().unwrap_or_default();
    let (start, end) = (time("start_time_unix_nano"), time("end_time_unix_nano"));
    if let Some((_, text)) = TIMES.iter().find(|(time, _)| *time == start) {
        ensure(info["request_time"] == *text, || {
            format!("request time, should be {text}")
        })?;
    }
    let millis = (end - start) / 1_000_000;
    let duration = match millis % 1000 {
        0 => format!("{}s", millis / 1000),
        _ => format!("{}.{:03}s", millis / 1000, millis % 1000),
    };
    ensure(info["execution_duration"] == duration, || {
        format!("duration, should be {duration}")
    })
}

/// The token usage of the spans that have none above them, summed.
fn usage(piece: &Piece) -> Option<Json> {
    let of = |span: &Json| -> Option<Json> {
        let text = span["attributes"]["mlflow.chat.tokenUsage"].as_str()?;
        serde_json::from_str(text).ok()
    };
    let is_below = |span: &Json| {
        let mut parent = &span["parent_span_id"];
        let mut steps = 0;
        while let Some(above) = parent.as_str().and_then(|id| piece.spans.get(id)) {
            if of(above).is_some() {
                return true;
            }
            parent = &above["parent_span_id"];
            steps += 1;
            assert!(steps <= piece.spans.len(), "parents in a circle");
        }
        false
    };
    let counted: Vec<Json> = piece
        .spans
        .values()
        .filter(|span| !is_below(span))
        .filter_map(of)
        .collect();
    let sum = |key: &&str| -> u64 { counted.iter().filter_map(|usage| usage[key].as_u64()).sum() };
    let given = |key: &&&str| counted.iter().any(|usage| usage[**key].is_u64());
    let cached = CACHED_TOKENS.iter().filter(given);
    let total: Map<String, Json> = TOKENS
        .iter()
        .chain(cached)
        .map(|key| ((*key).to_owned(), sum(key).into()))
        .collect();
    (!counted.is_empty()).then_some(Json::Object(total))
}
