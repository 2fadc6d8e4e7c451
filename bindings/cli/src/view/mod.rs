//! `view`: traces on one HTML page.
//!
//! The data is a JSON array of traces; `model.js` says what they have. Times are nanoseconds since the trace began, which
//! JavaScript's numbers hold exactly, unlike those since the epoch.

use std::fs;
use std::path::Path;

use mlflow_trace_core::StatusCode;
use mlflow_trace_core::client::{Span, SpanEvent, Trace};
use serde_json::{Map, Value, json};

use crate::arguments::View;
use crate::output::{Output, Tone};
use crate::reading::LATEST;
use crate::store::Store;
use crate::{Failure, Outcome, reading};

const PAGE: &str = include_str!("page.html");
const PARTS: [(&str, &str); 6] = [
    ("style", include_str!("style.css")),
    ("model", include_str!("model.js")),
    ("waterfall", include_str!("waterfall.js")),
    ("messages", include_str!("messages.js")),
    ("detail", include_str!("detail.js")),
    ("page", include_str!("page.js")),
];

pub(crate) fn run(view: &View, store: &Store, output: &mut Output) -> Outcome {
    let traces = read(view, store)?;
    let page = page(&traces);
    if view.output == Path::new("-") {
        return Ok(output.bytes(page.as_bytes())?);
    }
    fs::write(&view.output, page).map_err(|error| {
        Failure::Usage(format!("cannot write {}: {error}", view.output.display()))
    })?;
    let path = view.output.display().to_string();
    if output.json {
        return Ok(output.json(&json!({"path": path, "traces": traces.len()}))?);
    }
    let plural = if traces.len() == 1 { "" } else { "s" };
    let text = format!("{} trace{plural} in {path}", traces.len());
    Ok(output.line(&output.paint(Tone::Plain, &text))?)
}

fn read(view: &View, store: &Store) -> Result<Vec<Trace>, Failure> {
    let latest = [LATEST.to_owned()];
    let all = |store: &Store| {
        let found = store.search("", &latest, view.limit, true)?;
        Ok(found.collect::<Result<_, _>>()?)
    };
    let Some(what) = &view.what else {
        return all(store);
    };
    let path = Path::new(what);
    if path.is_dir() {
        return all(&store.of_files(what)?);
    }
    if path.is_file() {
        return from_file(path);
    }
    if !what.starts_with("tr-") && what.contains(['/', '.']) {
        return Err(Failure::Usage(format!("there is no file {what}")));
    }
    Ok(vec![store.trace(what)?])
}

/// Traces as `show --json` prints them, one a line, or MLflow's own JSON of one.
fn from_file(path: &Path) -> Result<Vec<Trace>, Failure> {
    let wrong = |why: String| Failure::Usage(format!("cannot read {}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    values
        .map(|value| {
            let value = value.map_err(|error| wrong(error.to_string()))?;
            Trace::from_json(&value).map_err(|error| wrong(error.to_string()))
        })
        .collect()
}

/// The whole page.
fn page(traces: &[Trace]) -> String {
    let data = Value::Array(traces.iter().map(of_trace).collect());
    // Nothing in it may end the element that holds it.
    let data = data.to_string().replace('<', "\\u003c");
    let title = match traces {
        [trace] => name(trace),
        _ => "traces",
    };
    let mut parts = PARTS.to_vec();
    let title = escape(title);
    parts.extend([("title", title.as_str()), ("data", data.as_str())]);
    let mut page = String::new();
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let (key, after) = after.split_once("}}").unwrap_or((after, ""));
        let part = parts.iter().find(|(part, _)| *part == key);
        page.push_str(part.map_or("", |(_, text)| text));
        rest = after;
    }
    page + rest
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn name(trace: &Trace) -> &str {
    reading::name(&trace.info).unwrap_or(&trace.info.trace_id)
}

fn of_trace(trace: &Trace) -> Value {
    let info = &trace.info;
    let json = info.to_json();
    let starts = trace.data.spans.iter().map(|span| span.start_time_ns);
    let start = starts.min().unwrap_or(0);
    let pairs = |pairs: &[(String, String)]| -> Map<String, Value> {
        let pairs = pairs.iter().cloned();
        pairs.map(|(key, value)| (key, value.into())).collect()
    };
    let spans = trace.data.spans.iter().map(|span| of_span(span, start));
    json!({
        "id": info.trace_id,
        "name": name(trace),
        "state": info.state.name(),
        "time": json["request_time"],
        "duration": reading::duration(info),
        "tags": pairs(&info.tags),
        "metadata": pairs(&info.trace_metadata),
        "assessments": info.assessments.iter().map(|one| one.to_json()).collect::<Value>(),
        "spans": spans.collect::<Value>(),
    })
}

fn of_span(span: &Span, start: u64) -> Value {
    let status = match span.status.code {
        StatusCode::Ok => "OK",
        StatusCode::Error => "ERROR",
        StatusCode::Unset => "UNSET",
    };
    let event = |event: &SpanEvent| {
        json!({
            "name": event.name,
            "time": event.timestamp.saturating_sub(start),
            "attributes": event.attributes,
        })
    };
    let links = span.links.iter();
    json!({
        "id": span.span_id(),
        "parent": span.parent_id(),
        "name": span.name,
        "type": span.span_type().unwrap_or_else(|| "UNKNOWN".to_owned()),
        "status": status,
        "message": span.status.message,
        "start": span.start_time_ns.saturating_sub(start),
        "duration": span.end_time_ns.map(|end| end.saturating_sub(span.start_time_ns)),
        "inputs": span.inputs(),
        "outputs": span.outputs(),
        "attributes": reading::attributes(span).collect::<Map<_, _>>(),
        "events": span.events.iter().map(event).collect::<Value>(),
        "links": links.map(|link| json!({"trace": link.trace_id, "span": link.span_id})).collect::<Value>(),
    })
}
