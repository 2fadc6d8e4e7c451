//! Recording
//!
//! What a live span can be told. Setting the same thing again replaces it; events and exceptions add up.

use mlflow_trace_core::{SpanId, StatusCode, TraceId, Value};

use crate::attribute::mlflow_attribute_t;
use crate::error::mlflow_error_t;
use crate::fields::Fields;
use crate::guard::{Failure, guard, guard_or};
use crate::span::mlflow_span_t;
use crate::status::mlflow_status_t;
use crate::text::mlflow_str_t;

/// No status was set; becomes OK when the span ends.
pub const MLFLOW_SPAN_STATUS_UNSET: i32 = 0;
/// The span succeeded.
pub const MLFLOW_SPAN_STATUS_OK: i32 = 1;
/// The span failed.
pub const MLFLOW_SPAN_STATUS_ERROR: i32 = 2;

/// Tells whether the span is live and recorded: 1 or 0. Where it is not, because its trace is not sampled for instance,
/// a program may save itself the work of describing it.
///
/// Ownership: none.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub extern "C" fn mlflow_span_get_recording(span: mlflow_span_t) -> i32 {
    guard_or(0, || i32::from(span.handle().is_recording()))
}

/// Renames the span.
///
/// Ownership: `name` is copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_name(
    span: mlflow_span_t,
    name: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `name` is readable; core keeps a copy.
    unsafe {
        guard(error, || {
            let name = name.value("name")?;
            Ok(span.handle().set_name(&name)?)
        })
    }
}

/// Sets the span type, for instance "LLM", "TOOL", "RETRIEVER" or one of your own.
///
/// Ownership: `span_type` is copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_type(
    span: mlflow_span_t,
    span_type: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `span_type` is readable; core keeps a
    // copy.
    unsafe {
        guard(error, || {
            let span_type = span_type.value("span_type")?;
            Ok(span.handle().set_type(&span_type)?)
        })
    }
}

/// Sets the inputs to any JSON value, given as text; text that is not JSON is kept as plain text.
///
/// Ownership: `json` is copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_inputs(
    span: mlflow_span_t,
    json: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `json` is readable; core keeps a copy.
    unsafe {
        guard(error, || {
            let json = json.value("json")?;
            Ok(span.handle().set_inputs(Value::Json(&json))?)
        })
    }
}

/// Sets the inputs to plain text.
///
/// Ownership: `text` is copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_inputs_str(
    span: mlflow_span_t,
    text: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `text` is readable; core keeps a copy.
    unsafe {
        guard(error, || {
            let text = text.value("text")?;
            Ok(span.handle().set_inputs(Value::Str(&text))?)
        })
    }
}

/// Sets the inputs to a JSON object of `count` named values.
///
/// Ownership: `fields` and their texts are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for NULL with a `count`, or a field with a bad length, key or kind; INVALID_STATE
/// when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_inputs_fields(
    span: mlflow_span_t,
    fields: *const mlflow_attribute_t,
    count: usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `fields` leads to `count` attributes
    // with readable texts; the object is a text of our own.
    unsafe {
        guard(error, || {
            let object = Fields::new(fields, count)?.object()?;
            Ok(span.handle().set_inputs(Value::Json(&object))?)
        })
    }
}

/// Sets the outputs to any JSON value, given as text; text that is not JSON is kept as plain text.
///
/// Ownership: `json` is copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_outputs(
    span: mlflow_span_t,
    json: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `json` is readable; core keeps a copy.
    unsafe {
        guard(error, || {
            let json = json.value("json")?;
            Ok(span.handle().set_outputs(Value::Json(&json))?)
        })
    }
}

/// Sets the outputs to plain text.
///
/// Ownership: `text` is copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_outputs_str(
    span: mlflow_span_t,
    text: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `text` is readable; core keeps a copy.
    unsafe {
        guard(error, || {
            let text = text.value("text")?;
            Ok(span.handle().set_outputs(Value::Str(&text))?)
        })
    }
}

/// Sets the outputs to a JSON object of `count` named values.
///
/// Ownership: `fields` and their texts are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for NULL with a `count`, or a field with a bad length, key or kind; INVALID_STATE
/// when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_outputs_fields(
    span: mlflow_span_t,
    fields: *const mlflow_attribute_t,
    count: usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `fields` leads to `count` attributes
    // with readable texts; the object is a text of our own.
    unsafe {
        guard(error, || {
            let object = Fields::new(fields, count)?.object()?;
            Ok(span.handle().set_outputs(Value::Json(&object))?)
        })
    }
}

/// Sets an attribute to text.
///
/// Ownership: `key` and `value` are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the
/// span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_attribute_str(
    span: mlflow_span_t,
    key: mlflow_str_t,
    value: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `key` and `value` are readable; core
    // keeps a copy.
    unsafe {
        guard(error, || {
            let key = key.key("key")?;
            let value = value.value("value")?;
            Ok(span.handle().set_attribute(key, Value::Str(&value))?)
        })
    }
}

/// Sets an attribute to a whole number.
///
/// Ownership: `key` is copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the
/// span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_attribute_i64(
    span: mlflow_span_t,
    key: mlflow_str_t,
    value: i64,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `key` is readable; core keeps a copy.
    unsafe {
        guard(error, || {
            let key = key.key("key")?;
            Ok(span.handle().set_attribute(key, Value::Int(value))?)
        })
    }
}

/// Sets an attribute to a floating-point number; NaN and the infinities are kept as the texts NaN,
/// Infinity and -Infinity.
///
/// Ownership: `key` is copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the
/// span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_attribute_f64(
    span: mlflow_span_t,
    key: mlflow_str_t,
    value: f64,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `key` is readable; core keeps a copy.
    unsafe {
        guard(error, || {
            let key = key.key("key")?;
            Ok(span.handle().set_attribute(key, Value::Double(value))?)
        })
    }
}

/// Sets an attribute to a truth value: 0 is false, anything else true.
///
/// Ownership: `key` is copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the
/// span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_attribute_bool(
    span: mlflow_span_t,
    key: mlflow_str_t,
    value: i32,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `key` is readable; core keeps a copy.
    unsafe {
        guard(error, || {
            let key = key.key("key")?;
            Ok(span.handle().set_attribute(key, Value::Bool(value != 0))?)
        })
    }
}

/// Sets an attribute to any JSON value, given as text; text that is not JSON is kept as plain text.
///
/// Ownership: `key` and `json` are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length or a key that is empty or not UTF-8; INVALID_STATE when the
/// span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_attribute_json(
    span: mlflow_span_t,
    key: mlflow_str_t,
    json: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `key` and `json` are readable; core keeps
    // a copy.
    unsafe {
        guard(error, || {
            let key = key.key("key")?;
            let json = json.value("json")?;
            Ok(span.handle().set_attribute(key, Value::Json(&json))?)
        })
    }
}

/// Sets `count` attributes at once. A bad one does not keep the others from being set; the status is that of
/// the first failure.
///
/// Ownership: `attributes` and their texts are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for NULL with a `count`, or an attribute with a bad length, key or kind;
/// INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_attributes(
    span: mlflow_span_t,
    attributes: *const mlflow_attribute_t,
    count: usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `attributes` leads to `count` of them
    // with readable texts; core keeps copies.
    unsafe {
        guard(error, || {
            Fields::new(attributes, count)?.with(|good, outcome| {
                let recorded = span.handle().set_attributes(good);
                outcome?;
                Ok(recorded?)
            })
        })
    }
}

/// Adds an event with `count` attributes, at `time_ns` nanoseconds since the Unix epoch; 0 is now.
///
/// Ownership: `name`, `attributes` and their texts are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad name, NULL with a `count`, or an attribute with a bad length, key or kind;
/// INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_add_event(
    span: mlflow_span_t,
    name: mlflow_str_t,
    time_ns: u64,
    attributes: *const mlflow_attribute_t,
    count: usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `name` is readable and `attributes` leads
    // to `count` of them with readable texts; core keeps copies.
    unsafe {
        guard(error, || {
            let name = name.value("name")?;
            let time = (time_ns != 0).then_some(time_ns);
            Fields::new(attributes, count)?.with(|attributes, outcome| {
                outcome?;
                Ok(span.handle().add_event(&name, time, attributes)?)
            })
        })
    }
}

/// Links the span to another one, of this trace or any other, by its ids as mlflow_span_get_trace_id and
/// mlflow_span_get_span_id give them; the trace id may lack its "tr-", as in a `traceparent`. `count` attributes describe
/// the link.
///
/// Ownership: the ids, `attributes` and their texts are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad id, NULL with a `count`, or an attribute with a bad length, key or kind;
/// INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_add_link(
    span: mlflow_span_t,
    trace_id: mlflow_str_t,
    span_id: mlflow_str_t,
    attributes: *const mlflow_attribute_t,
    count: usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, both ids are readable and `attributes` leads to
    // `count` of them with readable texts; core keeps copies.
    unsafe {
        guard(error, || {
            let (trace, other) = (trace_id.key("trace_id")?, span_id.key("span_id")?);
            let trace = TraceId::from_mlflow(trace)
                .ok_or(Failure::Argument("trace_id", "is not a trace id"))?;
            let other =
                SpanId::from_hex(other).ok_or(Failure::Argument("span_id", "is not a span id"))?;
            Fields::new(attributes, count)?.with(|attributes, outcome| {
                outcome?;
                Ok(span.handle().add_link(trace, other, attributes)?)
            })
        })
    }
}

/// Records an exception: adds an event called "exception" and sets the status to ERROR, with the message
/// "<exception_type>: <message>". `stacktrace` may be empty.
///
/// Ownership: the texts are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length; INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_record_exception(
    span: mlflow_span_t,
    exception_type: mlflow_str_t,
    message: mlflow_str_t,
    stacktrace: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and all texts are readable; core keeps
    // copies.
    unsafe {
        guard(error, || {
            let exception_type = exception_type.value("exception_type")?;
            let message = message.value("message")?;
            let stacktrace = stacktrace.value("stacktrace")?;
            Ok(span
                .handle()
                .record_exception(&exception_type, &message, &stacktrace)?)
        })
    }
}

/// Sets the status to one of MLFLOW_SPAN_STATUS_*; `message` is kept for ERROR alone.
///
/// Ownership: `message` is copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a bad length or an unknown status; INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_set_status(
    span: mlflow_span_t,
    status: i32,
    message: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `message` is readable; core keeps a
    // copy.
    unsafe {
        guard(error, || {
            let status = match status {
                MLFLOW_SPAN_STATUS_UNSET => StatusCode::Unset,
                MLFLOW_SPAN_STATUS_OK => StatusCode::Ok,
                MLFLOW_SPAN_STATUS_ERROR => StatusCode::Error,
                _ => return Err(Failure::Argument("status", "is not known")),
            };
            let message = message.value("message")?;
            Ok(span.handle().set_status(status, &message)?)
        })
    }
}
