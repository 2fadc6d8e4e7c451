//! Identity and propagation
//!
//! To continue a trace in another process, send what mlflow_span_inject gives as HTTP headers; there, put
//! them into `traceparent` and `tracestate` of mlflow_span_options_t.
//!
//! Several `tracestate` headers of one request are one list: join them with commas in their order. Several
//! `traceparent` headers are as good as none. Baggage is the host's to pass on.

use std::ffi::c_char;

use mlflow_trace_core::{Error, ErrorKind, Span, SpanContext, TraceId, propagation};

use crate::buffer::Buffer;
use crate::entered;
use crate::error::mlflow_error_t;
use crate::guard::{Failure, guard};
use crate::span::mlflow_span_t;
use crate::status::mlflow_status_t;
use crate::text::mlflow_str_t;

/// The capacity of a buffer for any trace id and its NUL.
pub const MLFLOW_TRACE_ID_CAPACITY: usize = 36;
/// The capacity of a buffer for any span id and its NUL.
pub const MLFLOW_SPAN_ID_CAPACITY: usize = 17;
/// The capacity of a buffer for any `traceparent` and its NUL.
pub const MLFLOW_TRACEPARENT_CAPACITY: usize = 56;

/// Copies the id of the span's trace into `buffer` (see Text above), as MLflow spells it: "tr-" and 32 hex
/// digits.
///
/// Ownership: none.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad buffer; INVALID_STATE when the span is not live; NOT_FOUND when its trace
/// began here and is not sampled; BUFFER_TOO_SMALL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_get_trace_id(
    span: mlflow_span_t,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` and `length` are NULL or writable and the buffer has
    // `capacity` bytes. The id is our own text, apart from that buffer.
    unsafe {
        guard(error, || {
            let buffer = Buffer::new(buffer, capacity, length)?;
            buffer.write(&context(span)?.trace_id.to_mlflow())
        })
    }
}

/// Copies the id of the span into `buffer` (see Text above): 16 hex digits.
///
/// Ownership: none.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad buffer; INVALID_STATE when the span is not live; NOT_FOUND when its trace
/// began here and is not sampled; BUFFER_TOO_SMALL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_get_span_id(
    span: mlflow_span_t,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` and `length` are NULL or writable and the buffer has
    // `capacity` bytes. The id is our own text, apart from that buffer.
    unsafe {
        guard(error, || {
            let buffer = Buffer::new(buffer, capacity, length)?;
            buffer.write(&context(span)?.span_id.to_string())
        })
    }
}

/// Copies the id of the trace of this thread's current span into `buffer` (see Text and Current span above), as
/// mlflow_span_get_trace_id does for any span.
///
/// Ownership: none.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad buffer; NOT_FOUND when this thread has no current span, or its trace began here and
/// is not sampled; BUFFER_TOO_SMALL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_trace_get_active_id(
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` and `length` are NULL or writable and the buffer has
    // `capacity` bytes. The id is our own text, apart from that buffer.
    unsafe {
        guard(error, || {
            let buffer = Buffer::new(buffer, capacity, length)?;
            let context = entered::current().and_then(Span::context);
            buffer.write(&context.ok_or(ErrorKind::NotFound)?.trace_id.to_mlflow())
        })
    }
}

/// Copies the id of the trace that this thread ended last into `buffer` (see Text above): the one whose root it ended,
/// or the last open span of one that began in another process.
///
/// Ownership: none.
/// Threads: any thread, at any time; a forked child has ended none at first.
/// Errors: INVALID_ARGUMENT for a bad buffer; NOT_FOUND when this thread has ended no recorded trace;
/// BUFFER_TOO_SMALL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_trace_get_last_id(
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` and `length` are NULL or writable and the buffer has
    // `capacity` bytes. The id is our own text, apart from that buffer.
    unsafe {
        guard(error, || {
            let buffer = Buffer::new(buffer, capacity, length)?;
            let last = TraceId::last_of_thread().ok_or(ErrorKind::NotFound)?;
            buffer.write(&last.to_mlflow())
        })
    }
}

/// Copies the value of the outgoing header that `header` names into `buffer` (see Text above). "traceparent"
/// always exists, "tracestate" only where the trace came with one. Upper and lower case are the same.
///
/// Where the trace is not sampled, "traceparent" says so to the other process: with the ids of a trace that came
/// from elsewhere, and of one that began here with new ids in each call.
///
/// Ownership: none.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad name or buffer; INVALID_STATE when the span is not live; NOT_FOUND when the
/// span has no such header; BUFFER_TOO_SMALL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_inject(
    span: mlflow_span_t,
    header: mlflow_str_t,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` and `length` are NULL or writable, `header` is readable and the
    // buffer has `capacity` bytes. The value is our own text, apart from that buffer.
    unsafe {
        guard(error, || {
            let header = header.key("header")?;
            let buffer = Buffer::new(buffer, capacity, length)?;
            let context = span.handle().propagation_context();
            let headers = propagation::inject(&context.ok_or(ErrorKind::InvalidState)?);
            let (_, value) = headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(header))
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::NotFound,
                        format!("the span has no header {header:?}"),
                    )
                })?;
            buffer.write(value)
        })
    }
}

fn context(span: mlflow_span_t) -> Result<SpanContext, Failure> {
    match span.handle() {
        Span::UNSAMPLED => Err(ErrorKind::NotFound.into()),
        span => span.context().ok_or(ErrorKind::InvalidState.into()),
    }
}
