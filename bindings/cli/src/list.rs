//! `list` and `search`: a line for each trace.

use mlflow_trace_core::client::{Trace, TraceInfo};

use crate::Outcome;
use crate::arguments::{List, Search};
use crate::output::{Output, Tone, brief, duration, tone};
use crate::reading::{self, LATEST};
use crate::store::Store;

const NAME: usize = 24;
const PREVIEW: usize = 48;

pub(crate) fn run(list: &List, store: &Store, output: &mut Output) -> Outcome {
    let latest = [LATEST.to_owned()];
    print(store.search("", &latest, list.limit, false)?, output)
}

pub(crate) fn search(search: &Search, store: &Store, output: &mut Output) -> Outcome {
    let found = store.search(&search.filter, &search.order_by, search.limit, false)?;
    print(found, output)
}

fn print(
    found: impl Iterator<Item = mlflow_trace_core::Result<Trace>>,
    output: &mut Output,
) -> Outcome {
    let mut count = 0;
    for trace in found {
        line(&trace?.info, output)?;
        count += 1;
    }
    if count == 0 && !output.json {
        output.line(&output.paint(Tone::Faint, "no traces"))?;
    }
    Ok(())
}

/// A trace in one line.
pub(crate) fn line(info: &TraceInfo, output: &mut Output) -> Outcome {
    if output.json {
        return Ok(output.json(&info.to_json())?);
    }
    let json = info.to_json();
    let spent = reading::duration(info).map_or_else(|| "–".to_owned(), duration);
    let name = brief(reading::name(info).unwrap_or("–"), NAME);
    let preview = brief(info.request_preview.as_deref().unwrap_or(""), PREVIEW);
    let state = info.state.name();
    let cells = [
        output.paint(Tone::Plain, &info.trace_id),
        output.paint(
            Tone::Faint,
            &format!("{:24}", json["request_time"].as_str().unwrap_or("")),
        ),
        output.paint(tone(state), &format!("{state:11}")),
        output.paint(Tone::Plain, &format!("{spent:>8}")),
        output.paint(Tone::Strong, &format!("{name:NAME$}")),
        output.paint(Tone::Faint, &preview),
    ];
    Ok(output.line(cells.join("  ").trim_end())?)
}
