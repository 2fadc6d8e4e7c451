//! Spans
//!
//! A span is a value of 64 bits that the library checks on every call. A handle that is {0}, was never
//! issued, has ended, or belongs to the parent of a forked process gives MLFLOW_ERROR_INVALID_STATE and does
//! nothing else. Recording calls never block and never do I/O; a program may ignore what they return.
//!
//! The caller says which span is the parent (Current span below helps); one without a parent is the root of a new
//! trace. A trace is complete, and ready to be sent, when its root and all its other spans have ended.

use mlflow_trace_core::{Parent, Span, SpanStart, propagation};

use crate::attribute::mlflow_attribute_t;
use crate::error::mlflow_error_t;
use crate::fields::Fields;
use crate::guard::{Failure, guard};
use crate::handle;
use crate::status::mlflow_status_t;
use crate::text::mlflow_str_t;
use crate::tracer::mlflow_tracer_t;

/// A span, from mlflow_span_start until mlflow_span_end. {0} is no span.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct mlflow_span_t {
    /// Opaque; 0 is no span.
    pub id: u64,
}

/// What mlflow_span_start may be told beyond the name. Start from MLFLOW_SPAN_OPTIONS_INIT: all is 0 but the size.
///
/// Later versions add members at the end; `struct_size` tells which ones the caller knows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mlflow_span_options_t {
    /// sizeof(mlflow_span_options_t).
    pub struct_size: usize,
    /// The span type, for instance "LLM", "TOOL", "RETRIEVER" or one of your own; empty is UNKNOWN.
    pub span_type: mlflow_str_t,
    /// The parent. Without one, {0}, the span becomes a root; so it does under a parent that is no longer live.
    pub parent: mlflow_span_t,
    /// The `traceparent` header of an incoming request, used when `parent` is {0}: the span becomes a child of
    /// the other process's. A malformed one, or one with an id of zeros, is ignored, as W3C Trace Context
    /// asks: the span becomes a root.
    pub traceparent: mlflow_str_t,
    /// The `tracestate` header that came with it; a malformed one is ignored.
    pub tracestate: mlflow_str_t,
    /// When the span started, in nanoseconds since the Unix epoch; 0 is now, and beyond INT64_MAX is INT64_MAX.
    pub start_time_ns: u64,
    /// Attributes to begin with, which processors see at the start; may be NULL when there is none.
    pub attributes: *const mlflow_attribute_t,
    /// The number of `attributes`.
    pub attribute_count: usize,
    /// Whether `sampling_ratio` counts: 0 is no, anything else yes.
    pub has_sampling_ratio: i32,
    /// Must be 0.
    pub reserved: u32,
    /// The probability, from 0 to 1, with which the new trace is recorded, instead of the option
    /// "sampling.ratio"; ignored for a span that is no root.
    pub sampling_ratio: f64,
}

impl mlflow_span_options_t {
    /// The size that ends with `start_time_ns`: that of the first callers.
    const fn first_size() -> usize {
        std::mem::offset_of!(Self, start_time_ns) + size_of::<u64>()
    }

    const fn none() -> Self {
        mlflow_span_options_t {
            struct_size: size_of::<Self>(),
            span_type: mlflow_str_t::empty(),
            parent: mlflow_span_t { id: 0 },
            traceparent: mlflow_str_t::empty(),
            tracestate: mlflow_str_t::empty(),
            start_time_ns: 0,
            attributes: std::ptr::null(),
            attribute_count: 0,
            has_sampling_ratio: 0,
            reserved: 0,
            sampling_ratio: 0.0,
        }
    }

    /// Copies the members that the caller knows over the defaults.
    ///
    /// # Safety
    /// A non-null `options` leads to `struct_size` readable, initialised bytes.
    #[inline]
    unsafe fn read(options: *const Self) -> Result<Self, Failure> {
        let mut known = Self::none();
        if options.is_null() {
            return Ok(known);
        }
        if !options.is_aligned() {
            return Err(Failure::Argument("options", "is misaligned"));
        }
        // SAFETY: not null and aligned, as checked; whatever the caller knows begins with `struct_size`.
        match unsafe { (&raw const (*options).struct_size).read() } {
            // SAFETY: the caller has at least as many bytes. Numbers and pointers have no invalid ones.
            size if size >= size_of::<Self>() => known = unsafe { options.read() },
            // SAFETY: the caller has so many bytes, and `known`, a local, has more. As above.
            size if size == Self::first_size() => unsafe {
                (&raw mut known)
                    .cast::<u8>()
                    .copy_from_nonoverlapping(options.cast(), size);
            },
            _ => {
                return Err(Failure::Argument(
                    "struct_size",
                    "is that of no version; use MLFLOW_SPAN_OPTIONS_INIT",
                ));
            }
        }
        if known.reserved != 0 {
            return Err(Failure::Argument("reserved", "must be 0"));
        }
        Ok(known)
    }

    fn sampling_ratio(&self) -> Result<Option<f64>, Failure> {
        match (self.has_sampling_ratio, self.sampling_ratio) {
            (0, _) => Ok(None),
            (_, ratio) if (0.0..=1.0).contains(&ratio) => Ok(Some(ratio)),
            _ => Err(Failure::Argument("sampling_ratio", "is not from 0 to 1")),
        }
    }

    /// # Safety
    /// The texts are readable until the call returns.
    unsafe fn remote(&self) -> Result<Parent, Failure> {
        // SAFETY: this function's caller promises that the texts are readable.
        let (traceparent, tracestate) = unsafe {
            (
                self.traceparent.value("traceparent")?,
                self.tracestate.value("tracestate")?,
            )
        };
        if traceparent.is_empty() {
            return Ok(Parent::None);
        }
        let tracestate = (!tracestate.is_empty()).then_some(&*tracestate);
        Ok(propagation::extract(&traceparent, tracestate).map_or(Parent::None, Parent::Remote))
    }
}

impl mlflow_span_t {
    /// Any number is safe: what is not a live span answers `InvalidState` and is counted by core.
    pub(crate) fn handle(self) -> Span {
        Span::from_raw(self.id).unwrap_or(Span::NONE)
    }
}

/// Starts a span. `options` may be NULL; the span is then the root of a new trace.
///
/// On failure `*span` becomes {0}, so that later calls on it do nothing. After mlflow_tracer_shutdown, and while
/// a million spans are live, the status is MLFLOW_OK and the span is not recorded; that is counted, as "ignored"
/// or as "dropped.too_many_spans". Where the trace is not sampled, the status is MLFLOW_OK, and calls on the span
/// and its children succeed without effect.
///
/// Ownership: end the span with mlflow_span_end; `name`, `options` and all that it leads to are copied.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: INVALID_ARGUMENT when `tracer` or `span` is NULL, for a bad length, attribute or `sampling_ratio`, or
/// for a `struct_size` that no version had.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_start(
    tracer: *const mlflow_tracer_t,
    name: mlflow_str_t,
    options: *const mlflow_span_options_t,
    span: *mut mlflow_span_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `tracer` is not freed, `span` is writable,
    // `options` has its `struct_size` and all texts are readable. NULL is checked; core keeps copies.
    unsafe {
        guard(error, || {
            let output = handle::output(span, "span")?;
            output.write(mlflow_span_t { id: 0 });
            let tracer = handle::borrow(tracer, "tracer")?;
            let name = name.value("name")?;
            let options = mlflow_span_options_t::read(options)?;
            let span_type = options.span_type.value("span_type")?;
            let mut start = SpanStart::new(&name);
            start.span_type = (!span_type.is_empty()).then_some(&*span_type);
            start.parent = match Span::from_raw(options.parent.id) {
                Some(parent) => Parent::Span(parent),
                None => options.remote()?,
            };
            start.start_time_ns = (options.start_time_ns != 0).then_some(options.start_time_ns);
            start.sampling_ratio = options.sampling_ratio()?;
            Fields::new(options.attributes, options.attribute_count)?.with(|attributes, outcome| {
                outcome?;
                let start = SpanStart {
                    attributes,
                    ..start
                };
                output.write(mlflow_span_t {
                    id: tracer.tracer.start(start).to_raw(),
                });
                Ok(())
            })
        })
    }
}

/// Ends a span now. A status that is not ERROR becomes OK. Its handle, and every copy, is no longer live.
///
/// Ownership: takes the span; nothing is left to release.
/// Threads: any thread, at any time, also in a forked child for its own spans; of several threads that end one
/// span exactly one succeeds.
/// Errors: INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_end(
    span: mlflow_span_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable; a handle is safe whatever its number.
    unsafe { guard(error, || Ok(span.handle().end()?)) }
}

/// As mlflow_span_end, at `end_time_ns` nanoseconds since the Unix epoch; 0 is now, a time before the span's
/// start counts as that start, and one beyond INT64_MAX as INT64_MAX.
///
/// Ownership: takes the span; nothing is left to release.
/// Threads: any thread, at any time, also in a forked child for its own spans; of several threads that end one
/// span exactly one succeeds.
/// Errors: INVALID_STATE when the span is not live.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_span_end_at(
    span: mlflow_span_t,
    end_time_ns: u64,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable; a handle is safe whatever its number.
    unsafe {
        guard(error, || {
            let span = span.handle();
            Ok(match end_time_ns {
                0 => span.end(),
                time => span.end_at(time),
            }?)
        })
    }
}
