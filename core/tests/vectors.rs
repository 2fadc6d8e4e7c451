//! The vectors of `tests/vectors`, which every language's suite reads.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;

use mlflow_trace_core::{
    Parent, Span, SpanId, SpanStart, StatusCode, TraceId, TraceUpdate, Tracer, Value, extract,
};
use serde_json::{Map, Value as Json, json};
use support::server::Server;
use support::{memory_tracer, tracer, traces};

fn load(name: &str) -> Vec<Json> {
    let path = format!("{}/../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let vectors: Vec<Json> = serde_json::from_str(&text).unwrap();
    vectors
        .into_iter()
        .filter(|vector| {
            let except = vector["except"].as_array();
            !except.is_some_and(|languages| languages.contains(&json!("rust")))
        })
        .collect()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_else(|| panic!("{json} is no text"))
}

/// The only member of an object.
fn only(json: &Json) -> (&str, &Json) {
    let (kind, content) = json.as_object().unwrap().iter().next().unwrap();
    (kind, content)
}

/// A described value as JSON text.
fn json_text(description: &Json) -> String {
    let (kind, content) = only(description);
    let items = || content.as_array().unwrap().iter();
    match kind {
        "null" => "null".to_owned(),
        "bool" => content.to_string(),
        "int" | "double" => text(content).to_owned(),
        "text" => content.to_string(),
        "list" => {
            let items: Vec<String> = items().map(json_text).collect();
            format!("[{}]", items.join(","))
        }
        "object" => {
            let member = |pair: &Json| format!("{}:{}", pair[0], json_text(&pair[1]));
            let members: Vec<String> = items().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        "nested" => {
            let (kind, depth) = only(content);
            let (open, close) = if kind == "list" {
                ("[", "]")
            } else {
                ("{\"k\":", "}")
            };
            let depth = depth.as_u64().unwrap() as usize;
            format!("{}\"bottom\"{}", open.repeat(depth), close.repeat(depth))
        }
        other => panic!("{other}"),
    }
}

/// Hands a described value to `record`: scalars natively, everything else as JSON text.
fn with_value<R>(description: &Json, record: impl FnOnce(Value<'_>) -> R) -> R {
    let (kind, content) = only(description);
    match kind {
        "null" => record(Value::Null),
        "bool" => record(Value::Bool(content == true)),
        "text" => record(Value::Str(text(content))),
        "double" => record(Value::Double(text(content).parse().unwrap())),
        "int" => match text(content).parse() {
            Ok(int) => record(Value::Int(int)),
            Err(_) => record(Value::Json(text(content))),
        },
        _ => record(Value::Json(&json_text(description))),
    }
}

fn with_attributes<R>(content: &Json, record: impl FnOnce(&[(&str, Value<'_>)]) -> R) -> R {
    let none = Map::new();
    let described = content["attributes"].as_object().unwrap_or(&none);
    let texts: Vec<(String, String)> = described
        .iter()
        .map(|(key, value)| (key.clone(), json_text(value)))
        .collect();
    let attributes: Vec<(&str, Value<'_>)> = described
        .iter()
        .zip(&texts)
        .map(|((key, value), (_, json))| match only(value) {
            ("text", content) => (key.as_str(), Value::Str(text(content))),
            _ => (key.as_str(), Value::Json(json)),
        })
        .collect();
    record(&attributes)
}

#[test]
fn attributes_are_stored_as_mlflow_stores_them() {
    let tracer = memory_tracer();
    let vectors = load("values.json");
    let span = tracer.start(SpanStart::new("values"));
    for vector in &vectors {
        let name = text(&vector["name"]);
        with_value(&vector["value"], |value| span.set_attribute(name, value)).unwrap();
        let json = json_text(&vector["value"]);
        let again = format!("{name} as JSON");
        span.set_attribute(&again, Value::Json(&json)).unwrap();
    }
    span.end().unwrap();
    let traces = traces(&tracer);
    let attributes = &traces[0]["spans"][0]["attributes"];
    for vector in &vectors {
        let name = text(&vector["name"]);
        assert_eq!(attributes[name], vector["text"], "{name}");
        assert_eq!(
            attributes[format!("{name} as JSON")],
            vector["text"],
            "{name} as JSON"
        );
    }
}

/// The length-delimited fields of this number of a protobuf message.
fn fields(message: &[u8], number: u64) -> Vec<&[u8]> {
    fn varint(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = message.split_first().unwrap();
            *message = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut rest = message;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        let length = match tag & 7 {
            0 => {
                varint(&mut rest);
                0
            }
            1 => 8,
            2 => varint(&mut rest) as usize,
            other => panic!("wire type {other}"),
        };
        let (field, after) = rest.split_at(length);
        rest = after;
        if tag == number << 3 | 2 {
            found.push(field);
        }
    }
    found
}

fn one(message: &[u8], number: u64) -> &[u8] {
    fields(message, number).first().copied().unwrap_or_default()
}

#[test]
fn attributes_of_events_travel_as_mlflow_sends_them() {
    let server = Server::mlflow("3.17.2", |_| None);
    let tracer = tracer(&[("tracking_uri", &server.url), ("experiment_id", "0")]);
    let vectors = load("values.json");
    let span = tracer.start(SpanStart::new("values"));
    for vector in &vectors {
        let name = text(&vector["name"]);
        with_value(&vector["value"], |value| {
            span.add_event(name, Some(1), &[("value", value)])
        })
        .unwrap();
    }
    span.end().unwrap();
    assert_eq!(tracer.flush(support::PATIENCE), 0);

    let requests = server.seen();
    let spans = requests.iter().find(|seen| seen.path == "/v1/traces");
    let span = one(one(one(&spans.unwrap().body, 1), 2), 2);
    let sent: BTreeMap<String, String> = fields(span, 11)
        .into_iter()
        .map(|event| {
            let value = one(one(event, 3), 2);
            let hex = value.iter().map(|byte| format!("{byte:02x}")).collect();
            (String::from_utf8(one(event, 2).to_vec()).unwrap(), hex)
        })
        .collect();
    for vector in &vectors {
        let name = text(&vector["name"]);
        if let Some(otlp) = vector["otlp"].as_str() {
            assert_eq!(sent[name], otlp, "{name}");
        }
    }
}

/// The spans of a program by name, and those that are open in its context.
struct Program<'a> {
    tracer: &'a Tracer,
    spans: BTreeMap<String, Span>,
    open: Vec<Span>,
}

impl Program<'_> {
    fn start(&mut self, content: &Json, parent: Parent) -> Span {
        let name = text(&content["name"]);
        let pairs = |key: &str| -> Vec<(String, String)> {
            let members = content[key].as_object().into_iter().flatten();
            members
                .map(|(key, value)| (key.clone(), text(value).to_owned()))
                .collect()
        };
        let update = TraceUpdate {
            tags: pairs("tags"),
            metadata: pairs("metadata"),
            ..TraceUpdate::default()
        };
        let mut start = SpanStart::new(name);
        start.parent = parent;
        start.span_type = content["type"].as_str();
        start.start_time_ns = content["start_ns"].as_u64();
        start.update = Some(&update);
        let span = self.tracer.start(start);
        if content["inputs"].is_object() {
            with_value(&content["inputs"], |value| span.set_inputs(value)).unwrap();
        }
        with_attributes(content, |attributes| {
            for (key, value) in attributes {
                span.set_attribute(key, *value).unwrap();
            }
        });
        self.spans.insert(name.to_owned(), span);
        span
    }

    fn step(&mut self, step: &Json) {
        let (kind, content) = only(step);
        match kind {
            "open" => {
                let parent = self
                    .open
                    .last()
                    .map_or(Parent::None, |span| Parent::Span(*span));
                let span = self.start(content, parent);
                self.open.push(span);
            }
            "close" => self.open.pop().unwrap().end().unwrap(),
            "start" => {
                let parent = content["parent"].as_str().map(|name| self.spans[name]);
                self.start(content, parent.map_or(Parent::None, Parent::Span));
            }
            "update" => {
                let update = TraceUpdate::from_json(&content.to_string()).unwrap();
                self.open.last().unwrap().update_trace(&update).unwrap();
            }
            "end" => self.end(content),
            _ => record(self.spans[text(&content["span"])], kind, content),
        }
    }

    fn end(&self, content: &Json) {
        let span = self.spans[text(&content["name"])];
        if content["outputs"].is_object() {
            with_value(&content["outputs"], |value| span.set_outputs(value)).unwrap();
        }
        if content["status"].is_string() {
            span.set_status(status(&content["status"]), "").unwrap();
        }
        match content["end_ns"].as_u64() {
            Some(time) => span.end_at(time).unwrap(),
            None => span.end().unwrap(),
        }
    }
}

fn status(code: &Json) -> StatusCode {
    match text(code) {
        "OK" => StatusCode::Ok,
        "ERROR" => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}

fn record(span: Span, kind: &str, content: &Json) {
    let value = &content["value"];
    match kind {
        "attribute" => {
            let key = text(&content["key"]);
            with_value(value, |value| span.set_attribute(key, value))
        }
        "inputs" => with_value(value, |value| span.set_inputs(value)),
        "outputs" => with_value(value, |value| span.set_outputs(value)),
        "type" => span.set_type(text(value)),
        "level" => {
            let levels = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
            let level = levels.iter().position(|name| value == name).unwrap();
            span.set_attribute("mlflow.spanLogLevel", Value::Int(10 * (level as i64 + 1)))
        }
        "event" => with_attributes(content, |attributes| {
            span.add_event(
                text(&content["name"]),
                content["time_ns"].as_u64(),
                attributes,
            )
        }),
        "link" => with_attributes(content, |attributes| {
            let trace = text(&content["trace_id"]).trim_start_matches("tr-");
            let (trace, span_id) = (TraceId::from_hex(trace), text(&content["span_id"]));
            span.add_link(
                trace.unwrap(),
                SpanId::from_hex(span_id).unwrap(),
                attributes,
            )
        }),
        "status" => {
            let message = content["message"].as_str().unwrap_or_default();
            span.set_status(status(&content["code"]), message)
        }
        other => panic!("{other}"),
    }
    .unwrap();
}

/// A trace without what two runs cannot have in common.
fn comparable(trace: &Json) -> Json {
    const MACHINE: [&str; 3] = ["mlflow.user", "mlflow.source.", "mlflow.trace.size"];
    let info = &trace["info"];
    let list = trace["spans"].as_array().unwrap();
    let name_of = |id: &Json| {
        let span = list.iter().find(|span| span["span_id"] == *id);
        span.map_or(Json::Null, |span| span["name"].clone())
    };
    let mut spans = Map::new();
    for span in list {
        let mut attributes = span["attributes"].clone();
        attributes
            .as_object_mut()
            .unwrap()
            .remove("mlflow.traceRequestId");
        let mut comparable = json!({
            "parent": name_of(&span["parent_span_id"]),
            "attributes": attributes,
            "events": span["events"],
            "links": span["links"],
            "status": span["status"],
        });
        if !attributes["mlflow.spanStartTimeNs"].is_null() {
            comparable["start_ns"] = span["start_time_unix_nano"].clone();
        }
        spans.insert(text(&span["name"]).to_owned(), comparable);
    }
    let mut metadata = info["trace_metadata"].clone();
    let of_trace = |key: &str| !MACHINE.iter().any(|prefix| key.starts_with(prefix));
    metadata
        .as_object_mut()
        .unwrap()
        .retain(|key, _| of_trace(key));
    json!({
        "state": info["state"],
        "client_request_id": info["client_request_id"],
        "request_preview": info["request_preview"],
        "response_preview": info["response_preview"],
        "tags": info["tags"],
        "metadata": metadata,
        "spans": spans,
    })
}

#[test]
fn programs_leave_the_traces_that_mlflow_leaves() {
    for vector in load("programs.json") {
        let tracer = memory_tracer();
        let mut program = Program {
            tracer: &tracer,
            spans: BTreeMap::new(),
            open: Vec::new(),
        };
        for step in vector["steps"].as_array().unwrap() {
            program.step(step);
        }
        let traces = traces(&tracer);
        assert_eq!(traces.len(), 1, "{}", vector["name"]);
        let found = comparable(&traces[0]);
        for (key, expected) in vector["trace"].as_object().unwrap() {
            assert_eq!(found[key], *expected, "{}: {key}", vector["name"]);
        }
    }
}

#[test]
fn headers_carry_the_context_that_mlflow_reads() {
    for vector in load("headers.json") {
        let found = extract(text(&vector["traceparent"]), vector["tracestate"].as_str());
        let found = found.ok().map(|context| {
            json!({
                "trace_id": context.trace_id.to_string(),
                "span_id": context.span_id.to_string(),
                "flags": context.flags,
                "tracestate": context.trace_state.as_deref(),
            })
        });
        assert_eq!(
            found.unwrap_or_default(),
            vector["context"],
            "{}",
            vector["name"]
        );
    }
}

#[test]
fn previews_are_those_that_mlflow_makes() {
    for vector in load("previews.json") {
        let tracer = memory_tracer();
        let span = tracer.start(SpanStart::new("preview"));
        span.set_inputs(Value::Json(&vector["inputs"].to_string()))
            .unwrap();
        span.set_outputs(Value::Json(&vector["outputs"].to_string()))
            .unwrap();
        span.end().unwrap();
        let info = traces(&tracer).remove(0)["info"].take();
        let found = json!([info["request_preview"], info["response_preview"]]);
        assert_eq!(found, vector["previews"], "{}", vector["name"]);
    }
}
