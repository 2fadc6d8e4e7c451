//! fastrace. Its properties are text: integers have to be formatted.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrace::collector::{Config, Reporter, SpanRecord};
use fastrace::prelude::{LocalSpan, Span, SpanContext};

use super::Library;
use crate::protocol::Counts;
use crate::work::{CHILD, CHILDREN, Mode, NUMBERS, PAYLOADS, ROOT, Work, owned_texts, payload};

struct DropReporter(Arc<AtomicU64>);

impl Reporter for DropReporter {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        self.0.fetch_add(spans.len() as u64, Ordering::Relaxed);
        drop(black_box(spans));
    }
}

pub(crate) struct Fastrace {
    delivered: Arc<AtomicU64>,
    payload: String,
    local: bool,
}

impl Fastrace {
    /// Sets the reporter of this process.
    pub(crate) fn new(local: bool) -> Self {
        let delivered = Arc::new(AtomicU64::new(0));
        fastrace::set_reporter(DropReporter(delivered.clone()), Config::default());
        Fastrace {
            delivered,
            payload: payload(),
            local,
        }
    }
}

fn properties(payload: Option<&str>) -> impl Iterator<Item = (&'static str, String)> {
    let numbers = NUMBERS.map(|(key, number)| (key, black_box(number).to_string()));
    let payloads = payload.map(|text| PAYLOADS.map(|key| (key, black_box(text).to_owned())));
    owned_texts()
        .into_iter()
        .chain(numbers)
        .chain(payloads.into_iter().flatten())
}

impl Library for Fastrace {
    fn record(&self, work: Work, _mode: Mode, spans: usize) -> u64 {
        if work == Work::W1 {
            for _ in 0..spans {
                drop(Span::root(black_box(ROOT), SpanContext::random()));
            }
            return spans as u64;
        }
        let payload = (work == Work::W3).then_some(self.payload.as_str());
        let roots = spans / CHILDREN;
        for _ in 0..roots {
            let root = Span::root(black_box(ROOT), SpanContext::random());
            if self.local {
                let _scope = root.set_local_parent();
                for _ in 0..CHILDREN {
                    let span = LocalSpan::enter_with_local_parent(black_box(CHILD));
                    drop(span.with_properties(|| properties(payload)));
                }
            } else {
                for _ in 0..CHILDREN {
                    let span = Span::enter_with_parent(black_box(CHILD), &root);
                    drop(span.with_properties(|| properties(payload)));
                }
            }
        }
        (roots * (CHILDREN + 1)) as u64
    }

    fn settle(&self) -> Counts {
        fastrace::flush();
        Counts {
            delivered: self.delivered.load(Ordering::Relaxed),
            ..Counts::default()
        }
    }
}
