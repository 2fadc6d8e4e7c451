//! Attachments
//!
//! Images, audio and other content that is stored beside the spans of a trace. Inputs or outputs hold its URI,
//! which MLflow's user interface resolves:
//!
//!     char uri[MLFLOW_ATTACHMENT_URI_CAPACITY];
//!     mlflow_span_attach(span, MLFLOW_STR("image/png"), png, png_size, uri, sizeof uri, NULL, NULL);
//!     mlflow_attribute_t image = mlflow_attribute_str(MLFLOW_STR("image"), mlflow_str(uri));
//!     mlflow_span_set_inputs_fields(span, &image, 1, NULL);
//!
//! docs/attachments.md tells where content goes, and which is found without being attached.

use std::ffi::{c_char, c_void};

use mlflow_trace_core::{Attachment, ErrorKind};

use crate::buffer::Buffer;
use crate::error::mlflow_error_t;
use crate::guard::guard;
use crate::span::mlflow_span_t;
use crate::status::mlflow_status_t;
use crate::text::mlflow_str_t;

/// The capacity of a buffer for the URI of any attachment and its NUL whose content type has up to 255 bytes,
/// which is all that RFC 6838 permits without parameters.
pub const MLFLOW_ATTACHMENT_URI_CAPACITY: usize = 1024;

/// Stores `size` bytes of a content type such as "image/png" with the trace, and copies their URI into `buffer`
/// (see Text above). What no inputs or outputs of a span refer to by its URI is not sent.
///
/// When the URI does not fit, nothing is stored; each call that succeeds stores an attachment of its own. Where
/// the trace is not sampled there is a URI, and nothing is stored.
///
/// Ownership: `content_type` and `bytes` are copied.
/// Threads: any thread, at any time, also in a forked child for its own spans.
/// Errors: INVALID_ARGUMENT for a content type that is empty, has a bad length or is not UTF-8, for a bad `size`
/// (above PTRDIFF_MAX, or any but 0 with NULL) or a bad buffer; INVALID_STATE when the span is not live;
/// BUFFER_TOO_SMALL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_attach(
    span: mlflow_span_t,
    content_type: mlflow_str_t,
    bytes: *const c_void,
    size: usize,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` and `length` are NULL or writable, `content_type` and `bytes` are
    // readable, and the buffer has `capacity` bytes. The URI is our own text, apart from that buffer.
    unsafe {
        guard(error, || {
            let content_type = content_type.key("content_type")?;
            let bytes = mlflow_str_t {
                ptr: bytes.cast(),
                len: size,
            };
            let bytes = bytes.bytes("bytes")?;
            let buffer = Buffer::new(buffer, capacity, length)?;
            let span = span.handle();
            let context = span.propagation_context().ok_or(ErrorKind::InvalidState)?;
            let attachment = Attachment::new(content_type, bytes);
            let uri = attachment.uri(&context.trace_id);
            buffer.write_after(&uri, || Ok(span.attach(attachment)?))
        })
    }
}
