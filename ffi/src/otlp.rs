//! Spans from elsewhere
//!
//! For a host that records by other means, such as an OpenTelemetry SDK of any language: it hands over the batches that
//! it would send to a collector.

use std::ffi::c_void;

use crate::error::mlflow_error_t;
use crate::guard::{Failure, guard};
use crate::handle;
use crate::status::mlflow_status_t;
use crate::text::mlflow_str_t;
use crate::tracer::mlflow_tracer_t;

/// Takes the spans of an OTLP ExportTraceServiceRequest (version 1) in protobuf, `size` bytes, not compressed, and
/// treats them as its own: redaction by options, limits, attachments, statistics. Span processors and sampling are not
/// asked. Nothing blocks.
///
/// The spans of a trace wait for its root, at most five minutes, and are sent as one trace; they do not wait where
/// one's flags say that its parent is in another process (OTLP 1.1). mlflow_tracer_flush and mlflow_tracer_shutdown send
/// what waits as it is. The tracer's resource is used, not the request's.
///
/// `*accepted` (optional) receives the number of spans in the request.
///
/// Ownership: `request` is copied.
/// Threads: any thread, at any time, also in a forked child, which has nothing of what its parent took.
/// Errors: INVALID_ARGUMENT when `tracer` is NULL, for a bad `size` (above PTRDIFF_MAX, or any but 0 with NULL) and for
/// bytes that are no such request, of which nothing is taken; REJECTED when spans were left out because their ids are
/// zero or in use, and the others taken; INVALID_STATE after mlflow_tracer_shutdown.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_tracer_submit_otlp(
    tracer: *const mlflow_tracer_t,
    request: *const c_void,
    size: usize,
    accepted: *mut u64,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` and `accepted` are NULL or writable, `tracer` is not freed and `request`
    // leads to `size` bytes; `borrow` refuses NULL.
    unsafe {
        guard(error, || {
            let tracer = handle::borrow(tracer, "tracer")?;
            let request = mlflow_str_t {
                ptr: request.cast(),
                len: size,
            };
            let request = request.bytes("request")?;
            if !accepted.is_aligned() {
                return Err(Failure::Argument("accepted", "is misaligned"));
            }
            let spans = tracer.elsewhere.submit_otlp(request)?;
            if !accepted.is_null() {
                accepted.write(spans as u64);
            }
            Ok(())
        })
    }
}
