//! Our Rust API.

use std::hint::black_box;
use std::time::Duration;

use mlflow_trace_core::{Config, Parent, Span, SpanStart, Tracer, Value};

use super::Library;
use crate::protocol::Counts;
use crate::work::{CHILD, CHILDREN, Mode, NUMBERS, ROOT, TEXTS, Work, payload};

pub(crate) struct Ours {
    tracer: Tracer,
    payload: String,
    sampled: bool,
}

impl Ours {
    /// A tracer whose sink drops everything; fails where it refuses one of the options.
    pub(crate) fn new(options: &[(&str, &str)]) -> Result<Ours, String> {
        let mut config = Config::new();
        let usual = [("exporter", "none"), ("queue.max_bytes", "4294967296")];
        for (key, value) in usual.iter().chain(options) {
            config.set(key, value).map_err(|error| error.to_string())?;
        }
        Ok(Ours {
            tracer: Tracer::new(config).map_err(|error| error.to_string())?,
            payload: payload(),
            sampled: !options.contains(&("sampling.ratio", "0")),
        })
    }

    pub(crate) fn root(&self) -> Span {
        self.tracer.start(SpanStart::new(black_box(ROOT)))
    }

    pub(crate) fn child(&self, root: Span) -> Span {
        self.tracer.start(SpanStart {
            parent: Parent::Span(root),
            ..SpanStart::new(black_box(CHILD))
        })
    }

    pub(crate) fn set_one_by_one(span: Span) {
        for (key, text) in TEXTS {
            let _ = span.set_attribute(key, Value::Str(black_box(text)));
        }
        for (key, number) in NUMBERS {
            let _ = span.set_attribute(key, Value::Int(black_box(number)));
        }
    }

    fn child_with_attributes(&self, root: Span) -> Span {
        let [a, b, c, d, e] = TEXTS.map(|(key, text)| (key, Value::Str(black_box(text))));
        let [f, g, h, i, j] = NUMBERS.map(|(key, number)| (key, Value::Int(black_box(number))));
        self.tracer.start(SpanStart {
            parent: Parent::Span(root),
            attributes: &[a, b, c, d, e, f, g, h, i, j],
            ..SpanStart::new(black_box(CHILD))
        })
    }

    fn roots(&self, spans: usize) -> u64 {
        for _ in 0..spans {
            let _ = self.root().end();
        }
        spans as u64
    }

    fn children(&self, spans: usize, child: impl Fn(Span) -> Span) -> u64 {
        let roots = spans / CHILDREN;
        for _ in 0..roots {
            let root = self.root();
            for _ in 0..CHILDREN {
                let _ = child(root).end();
            }
            let _ = root.end();
        }
        (roots * (CHILDREN + 1)) as u64
    }

    fn set_payloads(&self, span: Span) {
        let _ = span.set_inputs(Value::Json(black_box(&self.payload)));
        let _ = span.set_outputs(Value::Json(black_box(&self.payload)));
    }
}

impl Library for Ours {
    fn record(&self, work: Work, mode: Mode, spans: usize) -> u64 {
        match (work, mode) {
            (Work::W1, _) => self.roots(spans),
            (Work::W2, Mode::Together) => {
                self.children(spans, |root| self.child_with_attributes(root))
            }
            (Work::W2, Mode::OneByOne) => self.children(spans, |root| {
                let span = self.child(root);
                Self::set_one_by_one(span);
                span
            }),
            (Work::W3, Mode::Together) => self.children(spans, |root| {
                let span = self.child_with_attributes(root);
                self.set_payloads(span);
                span
            }),
            (Work::W3, Mode::OneByOne) => self.children(spans, |root| {
                let span = self.child(root);
                Self::set_one_by_one(span);
                self.set_payloads(span);
                span
            }),
        }
    }

    fn settle(&self) -> Counts {
        self.tracer.flush(Duration::from_secs(60));
        let stats = self.tracer.stats();
        let dropped = stats.dropped.iter().map(|(_, spans)| spans).sum::<u64>();
        match self.sampled {
            true => Counts {
                started: stats.created,
                delivered: stats.delivered,
                dropped: dropped + stats.ignored,
            },
            // What is sampled out may be counted as created and dropped, or not at all.
            false => Counts {
                delivered: stats.delivered,
                ..Counts::default()
            },
        }
    }

    fn expected(&self, started: u64) -> u64 {
        if self.sampled { started } else { 0 }
    }
}
