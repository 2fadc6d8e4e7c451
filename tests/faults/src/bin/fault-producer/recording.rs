//! Records sealed spans, and takes the time of every call.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use mlflow_trace_core::{Parent, Span, SpanContext, SpanStart, Tracer, Value};
use mlflow_trace_faults::histogram::Histogram;
use mlflow_trace_faults::ledger::SpanKey;
use mlflow_trace_faults::report::Reporter;
use mlflow_trace_faults::{otlp, seal};
use serde_json::{Value as Json, json};

use crate::peer::Peer;
use crate::stopwatch::Stopwatch;

/// Traces in which a thread meets code and makes structures for the first time.
const BEGINNING: u32 = 10;

/// What is recorded, and how fast.
#[derive(Clone)]
pub(crate) struct Pace {
    /// Spans a second, of all threads together; 0 records only on command.
    pub(crate) rate: u64,
    pub(crate) threads: u64,
    /// Spans of a trace.
    pub(crate) spans: u64,
    /// Bytes of the text in a span.
    pub(crate) bytes: usize,
    /// The engine takes the times; otherwise the program gives them and seals them.
    pub(crate) live_times: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            rate: 0,
            threads: 2,
            spans: 10,
            bytes: 200,
            live_times: false,
        }
    }
}

/// A process that records.
pub(crate) struct Host {
    pub(crate) tracer: Tracer,
    pace: Pace,
    list: Option<(PathBuf, Reporter)>,
    /// Spans started, as the program counts them.
    started: AtomicU64,
    latencies: Mutex<Histogram>,
    /// What a thread feels that records at the same pace with another library.
    of_peer: Mutex<Histogram>,
    diagnostics: Mutex<Vec<Json>>,
}

/// The threads that record at a rate.
pub(crate) struct Crew {
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    pub(crate) fn stop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Begins to record at the rate.
pub(crate) fn start(host: &Arc<Host>) -> Crew {
    let stopping = Arc::new(AtomicBool::new(false));
    let threads = match host.pace.rate {
        0 => 0..0,
        _ => 0..host.pace.threads + 1,
    };
    let threads = threads.map(|number| {
        let (host, stopping) = (host.clone(), stopping.clone());
        std::thread::spawn(move || match number {
            0 => host.follow_with_peer(&stopping),
            _ => host.keep_pace(&stopping, &host.latencies, || host.record_trace()),
        })
    });
    Crew {
        threads: threads.collect(),
        stopping,
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

impl Host {
    /// Fails where the list cannot be written.
    pub(crate) fn new(tracer: Tracer, pace: Pace, list: Option<PathBuf>) -> io::Result<Self> {
        let list = match list {
            Some(path) => Some((path.clone(), Reporter::open(&path)?)),
            None => None,
        };
        Ok(Host {
            tracer,
            pace,
            list,
            started: AtomicU64::new(0),
            latencies: Mutex::default(),
            of_peer: Mutex::default(),
            diagnostics: Mutex::default(),
        })
    }

    /// The same in the child of a fork, where locks may be held by threads that are not there. Spans that nobody
    /// flushes go into a list of their own.
    pub(crate) fn in_child(&self, flushes: bool) -> io::Result<Self> {
        let list = self.list.as_ref().map(|(path, _)| match flushes {
            true => path.clone(),
            false => path.with_extension("unflushed"),
        });
        Host::new(self.tracer.clone(), self.pace.clone(), list)
    }

    /// Does `work` at the pace. What it took is in `latencies`, without what a thread takes to begin.
    fn keep_pace(&self, stopping: &AtomicBool, latencies: &Mutex<Histogram>, work: impl Fn()) {
        let a_second = self.pace.rate as f64 / self.pace.threads as f64 / self.pace.spans as f64;
        let interval = Duration::from_secs_f64(1.0 / a_second);
        let mut next = Instant::now();
        let mut done = 0;
        while !stopping.load(Ordering::Relaxed) {
            work();
            done += 1;
            if done == BEGINNING {
                *latencies.lock().unwrap() = Histogram::default();
            }
            next += interval;
            let now = Instant::now();
            // What the machine did not let it do in time is caught up on, within reason.
            next = next.max(now - Duration::from_millis(200));
            std::thread::sleep(next.saturating_duration_since(now));
        }
    }

    fn follow_with_peer(&self, stopping: &AtomicBool) {
        let peer = Peer::new();
        self.keep_pace(stopping, &self.of_peer, || {
            let took = peer.record_trace(self.pace.spans, self.pace.bytes);
            let mut of_peer = self.of_peer.lock().unwrap();
            took.into_iter().for_each(|nanos| of_peer.add(nanos));
        });
    }

    /// A root with children.
    pub(crate) fn record_trace(&self) {
        let mut recording = Recording::new(self);
        let Some((root, context)) = recording.begin("root", None) else {
            return;
        };
        for _ in 1..self.pace.spans {
            if let Some((child, of_child)) = recording.begin("child", Some((root, &context))) {
                recording.end(child, &of_child, "child", Some(&context));
            }
        }
        recording.end(root, &context, "root", None);
        recording.report();
    }

    /// A root, and a child with `/`; answers the ids.
    pub(crate) fn record_named(&self, names: &str) -> Json {
        let (name, child) = match names.split_once('/') {
            Some((name, child)) => (name, Some(child)),
            None => (names, None),
        };
        let mut recording = Recording::new(self);
        let Some((root, context)) = recording.begin(name, None) else {
            return json!({});
        };
        if let Some(name) = child
            && let Some((span, of_child)) = recording.begin(name, Some((root, &context)))
        {
            recording.end(span, &of_child, name, Some(&context));
        }
        recording.end(root, &context, name, None);
        recording.report();
        json!({
            "trace": context.trace_id.to_mlflow(),
            "span": mlflow_trace_faults::ledger::hex(context.span_id.bytes()),
        })
    }

    /// One trace of so many spans, whose root ends last.
    pub(crate) fn record_large(&self, spans: u64) {
        let mut recording = Recording::new(self);
        let Some((root, context)) = recording.begin("root", None) else {
            return;
        };
        for number in 1..spans {
            if let Some((child, of_child)) = recording.begin("child", Some((root, &context))) {
                recording.end(child, &of_child, "child", Some(&context));
            }
            if number % 1000 == 0 {
                recording.report();
            }
        }
        recording.end(root, &context, "root", None);
        recording.report();
    }

    pub(crate) fn leave_open(&self, traces: u64) {
        let mut recording = Recording::new(self);
        for _ in 0..traces {
            let _ = recording.begin("left open", None);
        }
        recording.report();
    }

    pub(crate) fn end_too_often(&self, calls: u64) {
        let mut recording = Recording::new(self);
        if let Some((span, context)) = recording.begin("ended", None) {
            recording.end(span, &context, "ended", None);
            (0..calls).for_each(|_| assert!(span.end().is_err()));
        }
        recording.report();
    }

    pub(crate) fn stats(&self) -> Json {
        let found = std::iter::from_fn(|| self.tracer.next_diagnostic());
        let found: Vec<Json> = found
            .map(|diagnostic| json!({"reason": diagnostic.reason, "text": diagnostic.to_string()}))
            .collect();
        let mut diagnostics = self.diagnostics.lock().unwrap();
        diagnostics.extend(found);
        // What the program started is read before what the engine says: they may differ while it records.
        let started = self.started.load(Ordering::SeqCst);
        let stats: Json = serde_json::from_str(&self.tracer.stats().to_json()).unwrap();
        json!({
            "started": started,
            "stats": stats,
            "latency": self.latencies.lock().unwrap().to_json(),
            "peer": self.of_peer.lock().unwrap().to_json(),
            "diagnostics": *diagnostics,
        })
    }
}

/// A trace that is being recorded, or some spans of it.
struct Recording<'a> {
    host: &'a Host,
    ended: Vec<(SpanKey, u64)>,
    latencies: Vec<u64>,
    /// Spans that are open, what their start took, and the time that they were given.
    started: Vec<(Span, u64, u64)>,
}

impl<'a> Recording<'a> {
    fn new(host: &'a Host) -> Self {
        Recording {
            host,
            ended: Vec::new(),
            latencies: Vec::new(),
            started: Vec::new(),
        }
    }

    fn begin(
        &mut self,
        name: &str,
        parent: Option<(Span, &SpanContext)>,
    ) -> Option<(Span, SpanContext)> {
        let time = (!self.host.pace.live_times).then(now);
        let start = SpanStart {
            parent: parent.map_or(Parent::None, |(span, _)| Parent::Span(span)),
            start_time_ns: time,
            ..SpanStart::new(name)
        };
        let watch = Stopwatch::start();
        let begun = self.host.tracer.start_with_context(start);
        let took = watch.stop();
        let (span, context) = begun?;
        self.host.started.fetch_add(1, Ordering::SeqCst);
        self.started.push((span, took, time.unwrap_or(0)));
        Some((span, context))
    }

    /// Fills a span, seals it and ends it.
    fn end(&mut self, span: Span, context: &SpanContext, name: &str, parent: Option<&SpanContext>) {
        let place = self.started.iter().rposition(|(open, ..)| *open == span);
        let (_, began, start) = match place {
            Some(place) => self.started.swap_remove(place),
            None => return,
        };
        let end = if start == 0 { 0 } else { now().max(start) };
        let (trace, id) = (*context.trace_id.bytes(), *context.span_id.bytes());
        let parent = parent.map(|parent| *parent.span_id.bytes());
        let text = seal::text(u64::from_be_bytes(id), self.host.pace.bytes);
        let sealed = otlp::Span {
            trace_id: &trace,
            span_id: &id,
            parent_id: parent.as_ref().map_or(&[], |parent| parent.as_slice()),
            name: name.as_bytes(),
            start,
            end,
        };
        let texts = [(seal::TEXT.as_bytes(), text.as_bytes())];
        let seal = seal::seal(&sealed, texts.into_iter());
        let watch = Stopwatch::start();
        let _ = span.set_attribute(seal::TEXT, Value::Str(&text));
        let _ = span.set_attribute(seal::SEAL, Value::Str(&seal));
        let ended = match end {
            0 => span.end(),
            end => span.end_at(end),
        };
        self.latencies.push(began + watch.stop());
        if ended.is_ok() {
            self.ended.push(((trace, id), now()));
        }
    }

    /// Lists what has ended since the last time, and takes over what the calls took.
    fn report(&mut self) {
        let ended = std::mem::take(&mut self.ended);
        if let Some((_, list)) = &self.host.list {
            list.add(&ended).unwrap();
        }
        let mut latencies = self.host.latencies.lock().unwrap();
        self.latencies
            .drain(..)
            .for_each(|nanos| latencies.add(nanos));
    }
}
