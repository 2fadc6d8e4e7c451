//! Hooks of the host at the start and at the end of every span.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::span::Span;

/// Sees every recorded span at its start and just before its end, on the thread that starts or ends it, and may
/// change it through the handle. A span whose trace is closed for its host (`trace.timeout_s`, `trace.ttl_s`,
/// `trace.max_open`) ends on the exporter's thread, which a processor must not keep waiting.
///
/// While processors look at a span, other threads can neither change nor end it: such calls answer
/// `InvalidState`, and so does an attempt of a processor to end the span that it is shown. A processor may record
/// spans of its own, which are shown as well.
///
/// A processor that fails (or panics) must not let pass what it was there to take out: the span is
/// sent with its content replaced by `[redaction failed]`, and counted. Spans that a host encodes itself are not
/// shown; its binding runs its own hooks.
pub trait SpanProcessor: Send + Sync {
    /// The span has started, with the attributes it started with.
    fn on_start(&self, _span: Span) -> std::result::Result<(), ProcessorError> {
        Ok(())
    }

    /// The span is about to end.
    fn on_end(&self, span: Span) -> std::result::Result<(), ProcessorError>;
}

/// A processor could not do its work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessorError {
    /// Why, for people. Goes into a diagnostic; must not hold content of the span.
    pub message: String,
}

/// Runs one hook of all processors; the message of the first that failed. The others run all the same.
pub(crate) fn run(
    processors: &[Box<dyn SpanProcessor>],
    hook: impl Fn(&dyn SpanProcessor) -> std::result::Result<(), ProcessorError>,
) -> Option<String> {
    let mut failure = None;
    for processor in processors.iter() {
        let result = catch_unwind(AssertUnwindSafe(|| hook(processor.as_ref())));
        let message = match result {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.message,
            Err(_) => "it panicked".to_owned(),
        };
        failure.get_or_insert(message);
    }
    failure
}
