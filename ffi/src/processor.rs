//! Span processors
//!
//! A program may see every recorded span when it starts and just before it ends, to set what all spans should
//! carry or to take out what must not be sent:
//!
//!     static int32_t add_region(void *user_data, mlflow_span_t span, int32_t moment)
//!     {
//!         const char *region = user_data;
//!         if (moment != MLFLOW_PROCESSOR_START)
//!             return 0;
//!         return mlflow_span_set_attribute_str(span, MLFLOW_STR("region"), mlflow_str(region), NULL);
//!     }
//!
//!     mlflow_config_add_processor(config, add_region, "eu-1", NULL, NULL);

use std::ffi::c_void;
use std::sync::{Arc, Weak};

use mlflow_trace_core::{ProcessorError, Span, SpanProcessor};

use crate::config::mlflow_config_t;
use crate::error::mlflow_error_t;
use crate::guard::{Failure, guard};
use crate::handle;
use crate::span::mlflow_span_t;
use crate::status::mlflow_status_t;

/// The span has started, with the attributes that it was started with.
pub const MLFLOW_PROCESSOR_START: i32 = 1;
/// The span is about to end.
pub const MLFLOW_PROCESSOR_END: i32 = 2;

/// Sees a span; `moment` is one of MLFLOW_PROCESSOR_*. 0 is success. Anything else says that the span may still
/// hold what must not be sent: what the option "capture_content" takes out where it is false is replaced by
/// "[redaction failed]".
pub type mlflow_processor_t = Option<
    unsafe extern "C-unwind" fn(user_data: *mut c_void, span: mlflow_span_t, moment: i32) -> i32,
>;

/// Releases the user data of a callback.
pub type mlflow_user_data_free_t = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// A callback and what it is called with. Configurations and tracers own it together.
pub(crate) struct Callback {
    see: mlflow_processor_t,
    user_data: *mut c_void,
    free: mlflow_user_data_free_t,
}

// SAFETY: `mlflow_config_add_processor` asks for functions that any thread may call with the user data.
unsafe impl Send for Callback {}
// SAFETY: it also asks that several threads may do so at the same time.
unsafe impl Sync for Callback {}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the function that came with this user data, once, when nobody can call with it any more.
            unsafe { free(self.user_data) };
        }
    }
}

/// What the engine calls. It owns nothing: the engine keeps its processors for as long as it likes, but the user
/// data goes with the last configuration or tracer.
pub(crate) struct Hook(Weak<Callback>);

impl Hook {
    pub(crate) fn new(callback: &Arc<Callback>) -> Self {
        Hook(Arc::downgrade(callback))
    }

    fn show(&self, span: Span, moment: i32) -> Result<(), ProcessorError> {
        let callback = self.0.upgrade().ok_or_else(|| ProcessorError {
            message: "its tracer was released".to_owned(),
        })?;
        let see = callback.see.ok_or_else(|| ProcessorError {
            message: "it is NULL".to_owned(),
        })?;
        let span = mlflow_span_t { id: span.to_raw() };
        // SAFETY: the function that came with this user data, which is not released while `callback` is held.
        match unsafe { see(callback.user_data, span, moment) } {
            0 => Ok(()),
            code => Err(ProcessorError {
                message: format!("a callback returned {code}"),
            }),
        }
    }
}

impl SpanProcessor for Hook {
    fn on_start(&self, span: Span) -> Result<(), ProcessorError> {
        self.show(span, MLFLOW_PROCESSOR_START)
    }

    fn on_end(&self, span: Span) -> Result<(), ProcessorError> {
        self.show(span, MLFLOW_PROCESSOR_END)
    }
}

/// Has `processor` called at the start and at the end of every recorded span of the tracers that are made from
/// the configuration later. Several processors are called in the order in which they were added, also after one
/// that failed, which is counted as "redaction_failed".
///
/// It is called on the thread that starts or ends the span, or on the tracer's for a span that the library ends
/// (options "trace.timeout_s", "trace.ttl_s", "trace.max_open"), possibly on several at once, and no lock is held.
/// It may call any function with the span but mlflow_span_end and mlflow_span_end_at; those, and recording on the
/// span by other threads meanwhile, give MLFLOW_ERROR_INVALID_STATE. It must return: not throw, jump or end the
/// thread. A span that it starts is shown to it as well. It must not wait for the tracer, with mlflow_tracer_flush
/// or mlflow_tracer_shutdown. Redaction by options comes after it.
///
/// Ownership: takes `user_data`, unless it fails. `free_user_data` (optional) is called with it once: when the
/// configuration and all tracers made from it are freed and no call is under way, on the thread for which that
/// comes true. In a forked child it may be left out.
/// Threads: any thread, at any time; in a forked child as said of configurations.
/// Errors: INVALID_ARGUMENT when `config` or `processor` is NULL; in the latter case it counts as one that always fails.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_config_add_processor(
    config: *const mlflow_config_t,
    processor: mlflow_processor_t,
    user_data: *mut c_void,
    free_user_data: mlflow_user_data_free_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `config` is not freed; `borrow` refuses
    // NULL.
    unsafe {
        guard(error, || {
            let config = handle::borrow(config, "config")?;
            let is_callable = processor.is_some();
            // One that is missing fails for every span: what it should have taken out must not be sent.
            config.add(Arc::new(Callback {
                see: processor,
                user_data,
                free: free_user_data.filter(|_| is_callable),
            }));
            match is_callable {
                true => Ok(()),
                false => Err(Failure::Argument("processor", "must not be NULL")),
            }
        })
    }
}
