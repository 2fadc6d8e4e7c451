//! TraceInfo V3: the JSON that `POST /api/3.0/mlflow/traces` takes (MLflow 3.17.2).

use std::iter;

use serde_json::{Map, Value, json};

use super::entity::Assessment;
use super::outline::Outline;
use super::{environment, git, keys, preview, span_json, times, usage};
use crate::config::Config;
use crate::json;
use crate::otlp::reader::SpanData;
use crate::record::Origin;
use crate::trace::{Finished, TraceUpdate};

const METADATA_LENGTH: usize = 250;
pub(super) const TAG_KEY_LENGTH: usize = 250;
pub(super) const TAG_VALUE_LENGTH: usize = 4096;
const CLIENT_REQUEST_ID_LENGTH: usize = 50;
const SCHEMA_VERSION: &str = "3";
/// In nanoseconds.
const MILLISECOND: u64 = 1_000_000;

/// Builds the information of a finished trace from its spans, those that were sent `earlier`, and what
/// the user set; `None` for the local part of a trace that is rooted elsewhere. Where not all earlier spans
/// are known, there are no sums over spans.
pub(crate) fn assemble(
    trace: &Finished,
    spans: &[SpanData],
    earlier: Option<&[Outline]>,
    experiment_id: &str,
    config: &Config,
) -> Option<Value> {
    if !trace.has_info {
        return None;
    }
    let nothing = TraceUpdate::default();
    let update = trace.update.as_deref().unwrap_or(&nothing);
    let root = spans.iter().find(|span| span.parent_span_id.is_empty())?;
    let inputs = root_text(root, keys::SPAN_INPUTS);
    let outputs = root_text(root, keys::SPAN_OUTPUTS);
    let state = match update.state {
        Some(state) => state.name(),
        None if root.status_code == 2 => "ERROR",
        None => "OK",
    };

    let mut info = json!({
        "trace_id": trace.id.to_mlflow(),
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": experiment_id},
        },
        "request_time": times::rfc3339(root.start / MILLISECOND),
        "execution_duration": times::duration(root.end.saturating_sub(root.start) / MILLISECOND),
        "state": state,
    });
    if let Some(id) = &update.client_request_id {
        info["client_request_id"] = json::cut(id, CLIENT_REQUEST_ID_LENGTH).into();
    }
    let given = |text: &Option<String>| {
        text.as_ref()
            .map(|text| json::cut(text, preview::MAX_LENGTH).to_owned())
    };
    let made = |text: &Option<String>, role| text.as_ref().map(|text| preview::preview(text, role));
    if let Some(text) = given(&update.request_preview).or_else(|| made(&inputs, "user")) {
        info["request_preview"] = text.into();
    }
    if let Some(text) = given(&update.response_preview).or_else(|| made(&outputs, "assistant")) {
        info["response_preview"] = text.into();
    }
    info["tags"] = tags(update, &root.name);
    if !update.assessments.is_empty() {
        let assessments = update.assessments.iter();
        info["assessments"] = assessments.map(Assessment::to_json).collect();
    }
    let mut metadata = metadata(update, trace.origin.as_deref(), &inputs, &outputs, config);
    if let Some(earlier) = earlier {
        // A server that has some of the spans takes no others as an artifact.
        let own = match trace.progress.spans_refused && !earlier.is_empty() {
            true => Vec::new(),
            false => spans.iter().map(Outline::of).collect(),
        };
        let outlines: Vec<&Outline> = earlier.iter().chain(&own).collect();
        if let Some(total) = usage::total(&outlines) {
            let total = json::to_text(&total);
            let total = json::cut(&total, METADATA_LENGTH);
            metadata.insert(keys::META_TOKEN_USAGE.into(), total.into());
        }
        size_statistics(&mut metadata, &info, &outlines);
    }
    info["trace_metadata"] = Value::Object(metadata);
    Some(info)
}

/// The root's inputs or outputs as JSON text; `None` when they were not set.
fn root_text(root: &SpanData, key: &str) -> Option<String> {
    root.attribute(key)
        .map(|value| span_json::attribute_text(key, value))
}

fn tags(update: &TraceUpdate, root_name: &str) -> Value {
    let mut tags = Map::new();
    let name = (keys::TAG_TRACE_NAME, root_name);
    let given = update
        .tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    for (key, value) in iter::once(name).chain(given) {
        let key = json::cut(key, TAG_KEY_LENGTH);
        tags.insert(key.into(), json::cut(value, TAG_VALUE_LENGTH).into());
    }
    Value::Object(tags)
}

/// The metadata that names a process: this one. Reads files the first time.
pub(crate) fn process_metadata(config: &Config) -> [(&'static str, &str); 6] {
    let source = config.source_name();
    let git = git::of_working_directory();
    [
        (keys::META_USER, config.user()),
        (
            keys::META_SOURCE_NAME,
            source.unwrap_or_else(|| environment::program()),
        ),
        (keys::META_SOURCE_TYPE, "LOCAL"),
        (keys::META_GIT_COMMIT, &git.commit),
        (keys::META_GIT_BRANCH, &git.branch),
        (keys::META_GIT_REPO_URL, &git.repo_url),
    ]
}

fn metadata(
    update: &TraceUpdate,
    origin: Option<&Origin>,
    inputs: &Option<String>,
    outputs: &Option<String>,
    config: &Config,
) -> Map<String, Value> {
    let excerpt =
        |text: &Option<String>| json::truncate(text.as_deref().unwrap_or(""), METADATA_LENGTH);
    let mut metadata = Map::new();
    let mut put = |key: &str, value: &str| {
        let value = json::cut(value, METADATA_LENGTH);
        metadata.insert(json::cut(key, METADATA_LENGTH).into(), value.into());
    };
    put(keys::META_SCHEMA_VERSION, SCHEMA_VERSION);
    match origin {
        Some(origin) => origin
            .metadata
            .iter()
            .for_each(|(key, value)| put(key, value)),
        None => process_metadata(config)
            .iter()
            .for_each(|(key, value)| put(key, value)),
    }
    for (key, value) in &update.metadata {
        put(key, value);
    }
    put(keys::META_INPUTS, &excerpt(inputs));
    put(keys::META_OUTPUTS, &excerpt(outputs));
    for (key, value) in [
        (keys::META_SESSION, &update.session_id),
        (keys::META_TRACE_USER, &update.user),
        (keys::META_MODEL_ID, &update.model_id),
    ] {
        if let Some(value) = value {
            put(key, value);
        }
    }
    metadata
}

/// Adds `sizeStats` and `sizeBytes`: lengths of the spans' JSON as Python writes it. `num_spans`
/// must be what is really sent, or the server never calls the trace complete.
fn size_statistics(metadata: &mut Map<String, Value>, info: &Value, spans: &[&Outline]) {
    let mut sizes: Vec<u64> = spans.iter().map(|span| u64::from(span.size)).collect();
    sizes.sort_unstable();
    let envelope = json!({"info": as_dict(info, metadata), "data": {"spans": []}});
    let separators = 2 * (sizes.len() as u64).saturating_sub(1);
    let total = sizes.iter().sum::<u64>() + span_json::dumped_len(&envelope) + separators;
    let stats = json!({
        "total_size_bytes": total,
        "num_spans": sizes.len(),
        "max": sizes.last().copied().unwrap_or(0),
        "p25": percentile(&sizes, 0.25),
        "p50": percentile(&sizes, 0.50),
        "p75": percentile(&sizes, 0.75),
    });
    metadata.insert(keys::META_SIZE_STATS.into(), json::to_text(&stats).into());
    metadata.insert(keys::META_SIZE_BYTES.into(), total.to_string().into());
}

/// The form that MLflow measures: `Trace.to_dict()`, with the duration as a number.
fn as_dict(info: &Value, metadata: &Map<String, Value>) -> Value {
    let mut dict = info.clone();
    if let Some(members) = dict.as_object_mut() {
        let seconds = members
            .remove("execution_duration")
            .and_then(|text| text.as_str()?.strip_suffix('s')?.parse::<f64>().ok());
        members.insert("trace_metadata".into(), Value::Object(metadata.clone()));
        members.insert(
            "execution_duration_ms".into(),
            ((seconds.unwrap_or(0.0) * 1000.0).round() as u64).into(),
        );
    }
    dict
}

/// Linear interpolation at `p * (n - 1)`, truncated.
fn percentile(sorted: &[u64], p: f64) -> u64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0;
    };
    let position = p * last as f64;
    let below = sorted[position as usize] as f64;
    let above = sorted[(position as usize + 1).min(last)] as f64;
    (below + (above - below) * position.fract()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate_and_truncate() {
        let sizes = [520, 567, 630, 835];
        assert_eq!(percentile(&sizes, 0.25), 555);
        assert_eq!(percentile(&sizes, 0.5), 598);
        assert_eq!(percentile(&[], 0.5), 0);
    }
}
