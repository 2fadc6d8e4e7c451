//! `send`: what files hold goes to a server, once.

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{scope, sleep};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mlflow_trace_core::client::{Client, StoredTraces, Trace};
use mlflow_trace_core::{Error, ErrorKind};
use serde_json::json;

use crate::arguments::{Common, Send};
use crate::ledger::Ledger;
use crate::output::{Output, Tone};
use crate::store::Store;
use crate::{Failure, Outcome};

/// Traces at a time.
const PARALLEL: usize = 4;
/// Between attempts, where the server may be back soon.
const WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(2)];

/// What became of a trace.
enum Fate {
    Sent,
    /// The server had all of it.
    There,
}

#[derive(Default)]
struct Summary {
    sent: usize,
    /// On the server, or sent before.
    there: usize,
    failed: Vec<(String, Error)>,
    /// Not tried, since the server does not take any.
    left: usize,
}

pub(crate) fn run(send: &Send, common: &Common, store: &Store, output: &mut Output) -> Outcome {
    let directory = match (&send.source, &common.directory) {
        (Some(directory), None) => directory,
        (None, None) => store.config().get("file.directory")?,
        (_, Some(_)) => {
            let message =
                "send takes the directory without --directory, and a server to send it to";
            return Err(Failure::Usage(message.to_owned()));
        }
    };
    store.needs_server()?;
    if !Path::new(directory).is_dir() {
        return Err(Failure::Usage(format!("there is no directory {directory}")));
    }
    let stored = store.of_files(directory)?.client().stored_traces()?;
    let experiment = store.destination()?;
    let server = store.client().server().unwrap_or_default();
    let workspace = store.config().get("workspace")?;
    let workspace = Some(workspace).filter(|name| !name.is_empty());
    let mut ledger = Ledger::open(Path::new(directory), &server, workspace, &experiment)
        .map_err(|error| cannot_note(directory, &error))?;
    let (known, new): (Vec<&str>, Vec<&str>) = stored
        .trace_ids()
        .iter()
        .map(String::as_str)
        .partition(|id| ledger.has(id));
    let mut summary = Summary {
        there: known.len(),
        ..Summary::default()
    };
    let bar = bar(new.len(), output.json);
    upload(store.client(), &stored, &new, &experiment, |id, fate| {
        bar.inc(1);
        match fate {
            Ok(fate) => {
                ledger
                    .note(id)
                    .map_err(|error| cannot_note(directory, &error))?;
                match fate {
                    Fate::Sent => summary.sent += 1,
                    Fate::There => summary.there += 1,
                }
            }
            Err(error) => summary.failed.push((id.to_owned(), error)),
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    summary.left = stored.trace_ids().len() - summary.sent - summary.there - summary.failed.len();
    print(&summary, stored.unreadable(), output)
}

#[cold]
fn cannot_note(directory: &str, error: &io::Error) -> Failure {
    let text = format!("cannot note in {directory} what was sent: {error}");
    Failure::Output(io::Error::new(error.kind(), text))
}

fn bar(length: usize, json: bool) -> ProgressBar {
    let shown = !json && io::stderr().is_terminal();
    let target = match shown {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(length as u64), target);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} traces, {eta} left");
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// Sends traces, and tells of each from this thread as soon as it is known. Ends early where the server takes none.
fn upload(
    client: &Client,
    stored: &StoredTraces,
    ids: &[&str],
    experiment: &str,
    mut settled: impl FnMut(&str, Result<Fate, Error>) -> Outcome,
) -> Outcome {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let work = |results: Sender<(usize, Result<Fate, Error>)>| {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(id) = ids.get(at) else { return };
            let fate = stored
                .trace(id)
                .and_then(|trace| patiently(|| deliver(client, &trace, experiment)));
            if fate.as_ref().is_err_and(is_about_server) {
                stop.store(true, Ordering::Relaxed);
            }
            if results.send((at, fate)).is_err() {
                return;
            }
        }
    };
    scope(|scope| {
        let (sender, results): (_, Receiver<_>) = channel();
        for _ in 0..PARALLEL.min(ids.len()) {
            let sender = sender.clone();
            scope.spawn(|| work(sender));
        }
        drop(sender);
        // Who has nobody to tell stops.
        results
            .into_iter()
            .try_for_each(|(at, fate)| settled(ids[at], fate))
    })
}

/// Whether another trace would fare no better.
fn is_about_server(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Transport
            | ErrorKind::Unauthorized
            | ErrorKind::BadReply
            | ErrorKind::Deleted
            | ErrorKind::Unsupported
    )
}

/// Tries again where that may help: everything here may be done twice.
fn patiently<T>(attempt: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    for wait in WAITS {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::Transport => sleep(wait),
            outcome => return outcome,
        }
    }
    attempt()
}

/// Sends a trace unless the server has all of it.
fn deliver(client: &Client, trace: &Trace, experiment: &str) -> Result<Fate, Error> {
    if is_there(client, trace)? {
        return Ok(Fate::There);
    }
    client.import_trace(trace, experiment)?;
    Ok(Fate::Sent)
}

/// Whether the server has every span of a trace, and its information: one that got spans alone makes some up, without
/// the metadata of the process.
fn is_there(client: &Client, trace: &Trace) -> Result<bool, Error> {
    let id = &trace.info.trace_id;
    let missing = |error: &Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged);
    let info = match client.get_trace_info(id) {
        Err(error) if missing(&error) => return Ok(false),
        info => info?,
    };
    let mut metadata = trace.info.trace_metadata.iter();
    if !metadata.all(|(key, _)| info.metadata(key).is_some()) {
        return Ok(false);
    }
    let there = match client.get_trace(id) {
        Err(error) if missing(&error) => return Ok(false),
        there => there?,
    };
    let ids: HashSet<String> = there.data.spans.iter().map(|span| span.span_id()).collect();
    let mut spans = trace.data.spans.iter();
    Ok(spans.all(|span| ids.contains(&span.span_id())))
}

fn print(summary: &Summary, unreadable: &[String], output: &mut Output) -> Outcome {
    let Summary {
        sent,
        there,
        failed,
        left,
    } = summary;
    if output.json {
        let failures = failed.iter();
        let failures =
            failures.map(|(id, error)| json!({"trace_id": id, "reason": error.message()}));
        output.json(&json!({
            "sent": sent,
            "already_there": there,
            "failed": failures.collect::<serde_json::Value>(),
            "left": left,
            "unreadable": unreadable,
        }))?;
    } else {
        let counts = [
            (*sent, "sent", Tone::Good),
            (*there, "already there", Tone::Plain),
            (failed.len(), "failed", Tone::Bad),
            (*left, "not tried", Tone::Doubtful),
            (unreadable.len(), "unreadable lines", Tone::Doubtful),
        ];
        let counts = counts.into_iter().enumerate();
        let shown: Vec<String> = counts
            .filter(|(at, (count, ..))| *at < 2 || *count > 0)
            .map(|(_, (count, what, tone))| output.paint(tone, &format!("{count} {what}")))
            .collect();
        output.line(&shown.join(", "))?;
        for (id, error) in failed {
            let line = format!("{id}: {}", error.message());
            output.line(&output.paint(Tone::Bad, &line))?;
        }
        for line in unreadable {
            let line = format!("{line}: not readable, it may have been written by half");
            output.line(&output.paint(Tone::Doubtful, &line))?;
        }
    }
    match failed.is_empty() && *left == 0 && unreadable.is_empty() {
        true => Ok(()),
        false => Err(Failure::Incomplete),
    }
}
