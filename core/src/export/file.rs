//! The embedded default: OTLP/JSON lines, the format that OpenTelemetry's file exporter and the
//! Collector's `otlpjsonfile` receiver share. Each process appends to a file of its own.
//!
//! One line is one trace. What OTLP has no place for, the trace's information, lies on its scope as
//! the attribute `mlflow.traceInfo` (TraceInfo V3 as JSON text), so that the trace can be sent to a
//! server later. Attachments stand in the spans as `data:` URIs: there is no place beside a line.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Exporter, Verdict, keep_inline, limit_attachments};
use crate::clock;
use crate::json;
use crate::mlflow::{info, keys};
use crate::otlp::json as otlp_json;
use crate::otlp::reader::{self, SpanData};
use crate::shared::Shared;
use crate::trace::{Experiment, Finished};

pub(super) struct FileExporter {
    shared: Arc<Shared>,
    resource: Value,
    file: RefCell<Option<BufWriter<File>>>,
}

impl FileExporter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let resource = reader::key_values(&shared.resource);
        FileExporter {
            resource: json!({"attributes": otlp_json::attributes(&resource)}),
            shared,
            file: RefCell::default(),
        }
    }

    fn write(&self, batch: &[Finished]) -> std::io::Result<()> {
        let lines: Vec<String> = batch.iter().map(|trace| self.line(trace)).collect();
        let mut current = self.file.borrow_mut();
        let file = match &mut *current {
            Some(file) => file,
            None => {
                let path = self.path()?;
                let file = OpenOptions::new()
                    .create_new(true)
                    .append(true)
                    .open(&path)?;
                self.shared.diagnostics.report("file", || {
                    format!(
                        "no tracking server is configured; traces are written to {}",
                        path.display()
                    )
                });
                current.insert(BufWriter::new(file))
            }
        };
        for line in lines {
            file.write_all(line.as_bytes())?;
            file.write_all(b"\n")?;
        }
        file.flush()
    }

    /// `<directory>/<program>-<process id>-<start in ms>.jsonl`, never a file that exists.
    fn path(&self) -> std::io::Result<PathBuf> {
        let directory = self.shared.config.directory();
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let name = self.shared.config.service_name().unwrap_or("traces");
        let safe: String = name
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || c == '-' || c == '_' {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let millis = clock::unix_nanos() / 1_000_000;
        let unique = crate::id::random_u64() as u16;
        Ok(directory.join(format!(
            "{safe}-{}-{millis}-{unique:04x}.jsonl",
            std::process::id()
        )))
    }

    fn line(&self, trace: &Finished) -> String {
        let spans: Vec<SpanData> = reader::spans(&trace.spans)
            .filter_map(|message| SpanData::decode(message).ok())
            .collect();
        let (Experiment::Id(experiment) | Experiment::Name(experiment)) =
            &trace.destination.experiment;
        let mut scope = json!({"name": "mlflow-trace", "version": crate::VERSION});
        if let Some(info) =
            info::assemble(trace, &spans, Some(&[]), experiment, &self.shared.config)
        {
            let attribute = (
                keys::SCOPE_TRACE_INFO.to_owned(),
                json::to_text(&info).into(),
            );
            scope["attributes"] = otlp_json::attributes(&[attribute]);
        }
        json!({"resourceSpans": [{
            "resource": self.resource,
            "scopeSpans": [{
                "scope": scope,
                "spans": spans.iter().map(otlp_json::span).collect::<Value>(),
            }],
        }]})
        .to_string()
    }
}

impl Exporter for FileExporter {
    fn export<'a>(
        &'a self,
        batch: &'a mut Vec<Finished>,
    ) -> Pin<Box<dyn Future<Output = Verdict> + 'a>> {
        for trace in batch.iter_mut() {
            limit_attachments(trace, &self.shared.config);
            keep_inline(trace);
        }
        let verdict = match self.write(batch) {
            Ok(()) => {
                for mut trace in batch.drain(..) {
                    self.shared.delivered(&mut trace);
                }
                Verdict::Done
            }
            Err(error) => {
                // The next attempt begins a new file: this one may end in half a line.
                self.file.take();
                let directory = self.shared.config.directory().display();
                let why = format!("cannot write traces to {directory}: {error} (file.directory)");
                self.shared.delayed("file_error", "file", &why);
                Verdict::Retry(None)
            }
        };
        Box::pin(std::future::ready(verdict))
    }
}
