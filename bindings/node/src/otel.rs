//! Batches of spans of the OpenTelemetry SDK for JavaScript, from its exporters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mlflow_trace_core::Tracer;
use mlflow_trace_core::otel::MlflowSpanExporter;
use napi::bindgen_prelude::Uint8ArraySlice;
use napi_derive::napi;

use crate::engine::process;

/// Takes batches of spans that have ended, children before roots.
#[napi]
pub struct OtelExporter {
    /// The one of the process's tracer, and that tracer.
    current: Mutex<Option<(Arc<Tracer>, MlflowSpanExporter)>>,
    root_wait: Duration,
}

#[napi]
impl OtelExporter {
    /// `root_wait_ms`: how long spans wait for the root of their trace.
    #[napi(constructor)]
    pub fn new(root_wait_ms: u32) -> Self {
        OtelExporter {
            current: Mutex::new(None),
            root_wait: Duration::from_millis(u64::from(root_wait_ms)),
        }
    }

    /// Takes the `ExportTraceServiceRequest` of OTLP in the first `length` bytes; answers whether all of it was taken.
    #[napi(catch_unwind)]
    pub fn submit(&self, buffer: Uint8ArraySlice, length: u32) -> bool {
        let bytes: &[u8] = &buffer;
        let request = bytes.get(..length as usize).unwrap_or(bytes);
        self.exporter()
            .is_some_and(|exporter| exporter.submit_otlp(request).is_ok())
    }

    /// Hands on what waits for its root.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        if let Some((_, exporter)) = self.lock().as_ref() {
            exporter.release();
        }
    }
}

impl OtelExporter {
    /// The exporter through the current tracer, which changes with the configuration.
    fn exporter(&self) -> Option<MlflowSpanExporter> {
        let tracer = process().tracer().ok()?.clone()?;
        let mut current = self.lock();
        if let Some((known, exporter)) = current.as_ref()
            && Arc::ptr_eq(known, &tracer)
        {
            return Some(exporter.clone());
        }
        let exporter =
            MlflowSpanExporter::new(Tracer::clone(&tracer)).with_root_wait(self.root_wait);
        *current = Some((tracer, exporter.clone()));
        Some(exporter)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Arc<Tracer>, MlflowSpanExporter)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
