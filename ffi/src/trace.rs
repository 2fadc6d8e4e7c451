//! Traces
//!
//! What belongs to the whole trace is set through any live span of it. Where another process began the trace (see
//! `traceparent` in mlflow_span_options_t), that process tells the server of it: here such calls have no effect.

use mlflow_trace_core::{Error, ErrorKind, TraceState, TraceUpdate};

use crate::error::mlflow_error_t;
use crate::guard::{Failure, guard};
use crate::span::mlflow_span_t;
use crate::status::mlflow_status_t;
use crate::text::mlflow_str_t;

/// Sets a tag of the trace. Tags may still be changed on the server later. A key is cut to 250 characters, a
/// value to 4096.
///
/// Ownership: `key` and `value` are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the span
/// is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_trace_set_tag(
    span: mlflow_span_t,
    key: mlflow_str_t,
    value: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and the texts are readable; the
    // update holds copies.
    unsafe {
        guard(error, || {
            let pair = (
                key.key("key")?.to_owned(),
                value.value("value")?.into_owned(),
            );
            let update = TraceUpdate {
                tags: vec![pair],
                ..TraceUpdate::default()
            };
            Ok(span.handle().update_trace(&update)?)
        })
    }
}

/// Sets a metadata entry of the trace. Metadata cannot be changed once the trace is sent. Key and value are cut
/// to 250 characters.
///
/// Ownership: `key` and `value` are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the span
/// is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_trace_set_metadata(
    span: mlflow_span_t,
    key: mlflow_str_t,
    value: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and the texts are readable; the
    // update holds copies.
    unsafe {
        guard(error, || {
            let pair = (
                key.key("key")?.to_owned(),
                value.value("value")?.into_owned(),
            );
            let update = TraceUpdate {
                metadata: vec![pair],
                ..TraceUpdate::default()
            };
            Ok(span.handle().update_trace(&update)?)
        })
    }
}

/// Sets a field of the trace: "session_id", "user", "client_request_id", "request_preview",
/// "response_preview", "model_id", or "state" ("OK" or "ERROR", instead of what the root's status says). An
/// empty value changes nothing; an empty state is an error.
///
/// Ownership: `field` and `value` are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length, an unknown field or state; INVALID_STATE when the span is not
/// live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_trace_set(
    span: mlflow_span_t,
    field: mlflow_str_t,
    value: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and the texts are readable; the
    // update holds copies.
    unsafe {
        guard(error, || {
            let (field, value) = (field.key("field")?, value.value("value")?);
            let update = single(field, &value)?;
            Ok(span.handle().update_trace(&update)?)
        })
    }
}

fn single(field: &str, value: &str) -> Result<TraceUpdate, Failure> {
    let mut update = TraceUpdate::default();
    let place = match field {
        "session_id" => &mut update.session_id,
        "user" => &mut update.user,
        "client_request_id" => &mut update.client_request_id,
        "request_preview" => &mut update.request_preview,
        "response_preview" => &mut update.response_preview,
        "model_id" => &mut update.model_id,
        "state" => {
            update.state = Some(TraceState::parse(value)?);
            return Ok(update);
        }
        unknown => {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("a trace has no field {unknown:?}"),
            )
            .into());
        }
    };
    *place = Some(value.to_owned());
    Ok(update)
}
