//! The files that are written where no server is configured, as a store to read (docs/decisions/0005).
//!
//! Each search reads all of them: they hold what one program recorded for itself.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind as Io};
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde_json::Value;

use super::filter::{Filter, Order};
use super::search::{Page, TraceSearch, invalid};
use super::{Span, Trace, TraceData, TraceInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::mlflow::keys;

/// What the lines of the files say of a trace: several, where it was sent in parts or by several processes.
#[derive(Default)]
pub(super) struct Stored {
    info: Option<TraceInfo>,
    spans: Vec<Span>,
}

/// What was read of the files.
#[derive(Default)]
pub(super) struct Contents {
    /// By trace id.
    pub(super) traces: HashMap<String, Stored>,
    /// Lines that cannot be read, as `file:number`.
    unreadable: Vec<String>,
}

/// A trace. Fails with `NotFound` and, where a line that speaks of it was written by half, `Damaged`.
pub(super) fn get(directory: &Path, trace_id: &str) -> Result<Trace> {
    let wanted = trace_id.strip_prefix("tr-").unwrap_or(trace_id);
    let mut contents = read(directory, Some(wanted))?;
    if let Some(trace) = contents.traces.remove(trace_id).and_then(Stored::whole) {
        return Ok(trace);
    }
    Err(match contents.unreadable.first() {
        Some(line) => Error::new(
            ErrorKind::Damaged,
            format!("trace {trace_id} was written by half, or is being written: {line}"),
        ),
        None => Error::new(
            ErrorKind::NotFound,
            format!("there is no trace {trace_id} in {}", directory.display()),
        ),
    })
}

/// The traces with these ids, in this order, without those that there are not.
pub(super) fn get_all(directory: &Path, trace_ids: &[String]) -> Result<Vec<Trace>> {
    let mut contents = read(directory, None)?;
    let found = trace_ids
        .iter()
        .filter_map(|id| contents.traces.remove(id)?.whole());
    Ok(found.collect())
}

/// A page of the traces that match.
pub(super) fn search(
    directory: &Path,
    search: &TraceSearch,
    filter: &str,
    size: usize,
) -> Result<Page<Trace>> {
    let filter = Filter::parse(filter)?;
    let order = Order::parse(&search.order_by)?;
    let offset: usize = match search.page_token.as_deref() {
        None | Some("") => 0,
        Some(token) => token
            .parse()
            .map_err(|_| invalid(format!("'{token}' is no page token")))?,
    };
    let contents = read(directory, None)?;
    let is_here = |info: &TraceInfo| {
        let id = info.trace_location.experiment_id();
        search.locations.is_empty() || search.locations.iter().any(|here| Some(&**here) == id)
    };
    let mut found: Vec<Trace> = contents
        .traces
        .into_values()
        .filter_map(Stored::whole)
        .filter(|trace| is_here(&trace.info) && filter.matches(&trace.info))
        .collect();
    found.sort_by(|one, other| order.compare(&one.info, &other.info));
    let end = offset.saturating_add(size);
    let next_page_token = (found.len() > end).then(|| end.to_string());
    let mut items: Vec<Trace> = found.into_iter().skip(offset).take(size).collect();
    if !search.include_spans {
        items
            .iter_mut()
            .for_each(|trace| trace.data = TraceData::default());
    }
    Ok(Page {
        items,
        next_page_token,
        unreadable: contents.unreadable,
    })
}

impl Stored {
    /// The trace, once its information is known.
    pub(super) fn whole(self) -> Option<Trace> {
        let mut spans = self.spans;
        // In order of creation, parents before children.
        spans.sort_by_key(|span| (span.start_time_ns, span.parent_id().is_some()));
        Some(Trace {
            info: self.info?,
            data: TraceData { spans },
        })
    }
}

/// Reads all files; with `wanted`, only lines in which these bytes stand.
fn read(directory: &Path, wanted: Option<&str>) -> Result<Contents> {
    let mut contents = Contents::default();
    for path in &paths(directory)? {
        for_each_line(path, |place, line| {
            let is_wanted =
                wanted.is_none_or(|wanted| memmem::find(line, wanted.as_bytes()).is_some());
            if is_wanted && contents.add(line).is_none() {
                let name = path.display();
                contents.unreadable.push(format!("{name}:{}", place.number));
            }
        })?;
    }
    Ok(contents)
}

/// The files of a directory, in order; none where there is no directory yet.
pub(super) fn paths(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // Nothing was recorded yet.
        Err(error) if error.kind() == Io::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(directory, &error)),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    paths.sort();
    Ok(paths)
}

/// Where a line stands in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Counted from 1.
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) length: usize,
}

/// Reads the lines of a file in which something stands.
pub(super) fn for_each_line(path: &Path, mut take: impl FnMut(Place, &[u8])) -> Result<()> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut offset = 0;
    for number in 1.. {
        line.clear();
        let length = reader.read_until(b'\n', &mut line);
        let length = length.map_err(|error| unreadable(path, &error))?;
        if length == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            let place = Place {
                number,
                offset,
                length,
            };
            take(place, &line);
        }
        offset += length as u64;
    }
    Ok(())
}

impl Contents {
    /// Takes what a line holds; `None` for one that is not whole.
    pub(super) fn add(&mut self, line: &[u8]) -> Option<()> {
        let value: Value = serde_json::from_slice(line).ok()?;
        for resource in value["resourceSpans"].as_array()? {
            for scope in resource["scopeSpans"].as_array()? {
                self.add_scope(scope)?;
            }
        }
        Some(())
    }

    fn add_scope(&mut self, scope: &Value) -> Option<()> {
        let spans = scope["spans"].as_array().map_or(&[][..], Vec::as_slice);
        let spans: Vec<Span> = spans
            .iter()
            .map(|span| Span::from_json(span).ok())
            .collect::<Option<_>>()?;
        for span in spans {
            let stored = self.traces.entry(span.trace_id()).or_default();
            let id = span.span_id();
            // What was sent again, after a failure for instance, stands there twice.
            match stored.spans.iter_mut().find(|known| known.span_id() == id) {
                Some(known) => *known = span,
                None => stored.spans.push(span),
            }
        }
        let attributes = scope["scope"]["attributes"].as_array();
        let info = attributes
            .into_iter()
            .flatten()
            .find(|attribute| attribute["key"] == keys::SCOPE_TRACE_INFO);
        if let Some(info) = info {
            let text = info["value"]["stringValue"].as_str()?;
            let info = TraceInfo::from_json(&serde_json::from_str(text).ok()?).ok()?;
            let stored = self.traces.entry(info.trace_id.clone()).or_default();
            stored.info = Some(info);
        }
        Some(())
    }
}

#[cold]
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let text = format!("cannot read {}: {error} (file.directory)", path.display());
    Error::new(ErrorKind::Damaged, text)
}
