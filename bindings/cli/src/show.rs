//! `show`: one trace, with its spans as a tree.

use mlflow_trace_core::StatusCode;
use mlflow_trace_core::client::{Span, Trace};
use serde_json::Value;

use crate::Outcome;
use crate::arguments::Show;
use crate::output::{Output, Tone, brief, duration, tone};
use crate::store::Store;
use crate::{reading, tree};

const MESSAGE: usize = 80;

pub(crate) fn run(show: &Show, store: &Store, output: &mut Output) -> Outcome {
    let trace = store.trace(&show.trace)?;
    if output.json {
        return Ok(output.json(&trace.to_json())?);
    }
    header(&trace, output)?;
    for node in tree::nodes(&trace.data.spans) {
        let (last, above) = node.more.split_last().unwrap_or((&false, &[]));
        // The first level is that of the roots, which hang on nothing.
        let rails: String = above
            .iter()
            .skip(1)
            .map(|more| if *more { "│  " } else { "   " })
            .collect();
        let branch = match (above.is_empty(), last) {
            (true, _) => "",
            (false, true) => "├─ ",
            (false, false) => "└─ ",
        };
        output.line(&format!(
            "{}{}",
            output.paint(Tone::Faint, &format!("{rails}{branch}")),
            line(node.span, output)
        ))?;
        if show.full {
            let below = match (above.is_empty(), last) {
                (true, _) => String::new(),
                (false, true) => format!("{rails}│  "),
                (false, false) => format!("{rails}   "),
            };
            content(node.span, &below, output)?;
        }
    }
    Ok(())
}

fn header(trace: &Trace, output: &mut Output) -> Outcome {
    let info = &trace.info;
    let json = info.to_json();
    let state = info.state.name();
    let name = reading::name(info).unwrap_or(&info.trace_id);
    let title = output.paint(Tone::Strong, name);
    let state = output.paint(tone(state), state);
    output.line(&format!("{title}  {state}"))?;
    let facts = [
        ("trace", Some(info.trace_id.clone())),
        ("time", json["request_time"].as_str().map(str::to_owned)),
        ("duration", reading::duration(info).map(duration)),
        ("spans", Some(trace.data.spans.len().to_string())),
        (
            "tokens",
            info.metadata("mlflow.trace.tokenUsage").and_then(tokens),
        ),
        (
            "session",
            info.metadata("mlflow.trace.session").map(str::to_owned),
        ),
        (
            "user",
            info.metadata("mlflow.trace.user").map(str::to_owned),
        ),
        (
            "request",
            info.request_preview
                .as_deref()
                .map(|text| brief(text, MESSAGE)),
        ),
        (
            "response",
            info.response_preview
                .as_deref()
                .map(|text| brief(text, MESSAGE)),
        ),
    ];
    for (key, value) in facts {
        if let Some(value) = value {
            let key = output.paint(Tone::Faint, &format!("{key:9}"));
            output.line(&format!("{key} {}", output.paint(Tone::Plain, &value)))?;
        }
    }
    let own = |key: &str| !key.starts_with("mlflow.");
    for (key, value) in info.tags.iter().filter(|(key, _)| own(key)) {
        let title = output.paint(Tone::Faint, "tag      ");
        output.line(&format!(
            "{title} {}",
            output.paint(Tone::Plain, &format!("{key} = {value}"))
        ))?;
    }
    Ok(output.line("")?)
}

/// Token usage, which metadata has as JSON text.
fn tokens(text: &str) -> Option<String> {
    let usage: Value = serde_json::from_str(text).ok()?;
    let number = |key: &str| usage[key].as_u64().unwrap_or(0);
    Some(format!(
        "{} in, {} out, {} total",
        number("input_tokens"),
        number("output_tokens"),
        number("total_tokens")
    ))
}

fn line(span: &Span, output: &Output) -> String {
    let spent = match span.end_time_ns {
        Some(end) => duration(end.saturating_sub(span.start_time_ns)),
        None => "not ended".to_owned(),
    };
    let failed = span.status.code == StatusCode::Error;
    let name = match failed {
        true => output.paint(Tone::Bad, &brief(&span.name, MESSAGE)),
        false => output.paint(Tone::Plain, &brief(&span.name, MESSAGE)),
    };
    let kind = span.span_type().filter(|kind| kind != "UNKNOWN");
    let mut cells = vec![
        name,
        output.paint(Tone::Doubtful, &kind.unwrap_or_default()),
        output.paint(Tone::Faint, &spent),
    ];
    if failed {
        cells.push(output.paint(Tone::Bad, &brief(&span.status.message, MESSAGE)));
    }
    cells.retain(|cell| !cell.is_empty());
    cells.join("  ")
}

fn content(span: &Span, rails: &str, output: &mut Output) -> Outcome {
    let inputs = span.inputs().map(|value| ("inputs".to_owned(), value));
    let outputs = span.outputs().map(|value| ("outputs".to_owned(), value));
    let events = span.events.iter().map(|event| {
        let title = format!("event {}", event.name);
        (title, Value::Object(event.attributes.clone()))
    });
    let parts = inputs
        .into_iter()
        .chain(outputs)
        .chain(reading::attributes(span))
        .chain(events);
    for (key, value) in parts.collect::<Vec<_>>() {
        let text = match value {
            Value::String(text) => text,
            value => value.to_string(),
        };
        let mut lines = text.lines();
        let key = output.paint(Tone::Faint, &format!("{rails}   {key}:"));
        let first = output.paint(Tone::Plain, lines.next().unwrap_or_default());
        output.line(&format!("{key} {first}"))?;
        for line in lines {
            let rails = output.paint(Tone::Faint, rails);
            output.line(&format!("{rails}     {}", output.paint(Tone::Plain, line)))?;
        }
    }
    Ok(())
}
