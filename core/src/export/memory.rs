//! Keeps traces as JSON in this process, for tests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Exporter, Verdict, keep_inline, limit_attachments};
use crate::mlflow::{info, span_json};
use crate::otlp::reader::{self, SpanData};
use crate::shared::Shared;
use crate::trace::{Experiment, Finished};

pub(super) struct MemoryExporter {
    shared: Arc<Shared>,
}

impl MemoryExporter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        MemoryExporter { shared }
    }
}

impl Exporter for MemoryExporter {
    fn export<'a>(
        &'a self,
        batch: &'a mut Vec<Finished>,
    ) -> Pin<Box<dyn Future<Output = Verdict> + 'a>> {
        for trace in batch.iter_mut() {
            limit_attachments(trace, &self.shared.config);
            keep_inline(trace);
            let text = to_json(trace, &self.shared).to_string();
            self.shared.memory.lock().push_back(text);
            self.shared.delivered(trace);
        }
        batch.clear();
        Box::pin(std::future::ready(Verdict::Done))
    }
}

fn to_json(trace: &Finished, shared: &Shared) -> Value {
    let spans: Vec<SpanData> = reader::spans(&trace.spans)
        .filter_map(|message| SpanData::decode(message).ok())
        .collect();
    let (Experiment::Id(experiment) | Experiment::Name(experiment)) = &trace.destination.experiment;
    json!({
        "info": info::assemble(trace, &spans, Some(&[]), experiment, &shared.config),
        "spans": spans.iter().map(span_json::span).collect::<Value>(),
    })
}
