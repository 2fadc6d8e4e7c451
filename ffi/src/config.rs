//! Configuration
//!
//! Options are text keys and text values, the same in every language; docs/options.md lists them. The usual
//! order is: mlflow_config_new, then mlflow_config_set_env, then mlflow_config_set for what the program itself
//! decides. Without the option "tracking_uri", traces are written to files in "file.directory", by default
//! ./mlflow-traces.
//!
//! A forked child may go on with a configuration, unless another thread was in a call on it during fork().

use std::ffi::c_char;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mlflow_trace_core::otel::MlflowSpanExporter;
use mlflow_trace_core::{Config, Error, TracerBuilder};

use crate::buffer::Buffer;
use crate::error::mlflow_error_t;
use crate::guard::{Failure, guard, guard_or};
use crate::handle;
use crate::processor::{Callback, Hook};
use crate::status::mlflow_status_t;
use crate::text::mlflow_str_t;
use crate::tracer::mlflow_tracer_t;

/// The options for a new tracer.
pub struct mlflow_config_t {
    config: Mutex<Config>,
    callbacks: Mutex<Vec<Arc<Callback>>>,
}

impl mlflow_config_t {
    fn with<T>(&self, work: impl FnOnce(&mut Config) -> T) -> T {
        work(&mut self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn callbacks(&self) -> MutexGuard<'_, Vec<Arc<Callback>>> {
        self.callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, callback: Arc<Callback>) {
        self.callbacks().push(callback);
    }

    /// A tracer of copies, so that later changes do not reach it.
    pub(crate) fn build(&self) -> Result<mlflow_tracer_t, Error> {
        let callbacks = self.callbacks().clone();
        let builder = TracerBuilder::new(self.with(|config| config.clone()));
        let hooks = callbacks.iter().map(Hook::new);
        let tracer = hooks.fold(builder, TracerBuilder::processor).build()?;
        Ok(mlflow_tracer_t {
            elsewhere: MlflowSpanExporter::new(tracer.clone()),
            tracer,
            _callbacks: callbacks,
        })
    }
}

/// Makes a configuration that holds the built-in defaults.
///
/// Ownership: the caller owns `*config` and releases it with mlflow_config_free.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: INVALID_ARGUMENT when `config` is NULL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_config_new(
    config: *mut *mut mlflow_config_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `config` is writable; `output` refuses
    // NULL.
    unsafe {
        guard(error, || {
            handle::output(config, "config")?.give(mlflow_config_t {
                config: Mutex::new(Config::new()),
                callbacks: Mutex::default(),
            });
            Ok(())
        })
    }
}

/// Reads the options' environment variables (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, ...). They replace
/// what was set before; variables that are absent or empty change nothing. On failure some may be set already.
///
/// Ownership: none.
/// Threads: any thread, as long as none changes the environment meanwhile; in a forked child as said above.
/// Errors: INVALID_ARGUMENT when `config` is NULL; INVALID_CONFIG naming a variable with a bad value.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_config_set_env(
    config: *const mlflow_config_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable and `config` is not freed; `borrow`
    // refuses NULL.
    unsafe {
        guard(error, || {
            handle::borrow(config, "config")?.with(Config::set_env)?;
            Ok(())
        })
    }
}

/// Sets one option; the empty value restores its default. Tracers made before do not change.
///
/// After a failure with a key that begins with "redact" or "capture", tracers made from the configuration withhold
/// content (docs/redaction.md) until such an option is accepted: a slip there must not send what was to stay.
///
/// Ownership: `key` and `value` are copied.
/// Threads: any thread, at any time; in a forked child as said above.
/// Errors: INVALID_ARGUMENT when `config` is NULL, for a bad length, an empty key, or text that is not UTF-8;
/// INVALID_CONFIG naming an unknown option, or one whose value is malformed or out of range.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_config_set(
    config: *const mlflow_config_t,
    key: mlflow_str_t,
    value: mlflow_str_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `config` is not freed and both texts are
    // readable; `borrow` refuses NULL, and the option keeps a copy.
    unsafe {
        guard(error, || {
            let config = handle::borrow(config, "config")?;
            let key = key.key("key")?;
            let value = value.option("value");
            // No option about content accepts a NUL, so that one whose value cannot be read is refused as well.
            let outcome = config.with(|config| config.set(key, value.as_ref().unwrap_or(&"\0")));
            value?;
            Ok(outcome?)
        })
    }
}

/// Copies the value of an option into `buffer` (see Text above): what was set, or else its default, which may
/// be empty. Passwords and tokens are not hidden.
///
/// Ownership: none.
/// Threads: any thread, at any time; in a forked child as said above.
/// Errors: INVALID_ARGUMENT when `config` is NULL, for a bad key or buffer; INVALID_CONFIG naming an unknown
/// option; BUFFER_TOO_SMALL.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_config_get(
    config: *const mlflow_config_t,
    key: mlflow_str_t,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, `config` is not freed, `key` is readable
    // and the buffer has `capacity` bytes. The value is the configuration's, apart from that buffer.
    unsafe {
        guard(error, || {
            let config = handle::borrow(config, "config")?;
            let key = key.key("key")?;
            let buffer = Buffer::new(buffer, capacity, length)?;
            config.with(|config| match config.get(key) {
                Ok(value) => buffer.write(value),
                Err(error) => Err(Failure::from(error)),
            })
        })
    }
}

/// Releases a configuration. Tracers made from it are not affected.
///
/// Ownership: takes `config`; NULL is a no-op.
/// Threads: any thread, once, after every other use; also in a forked child.
/// Errors: none.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_config_free(config: *mut mlflow_config_t) {
    // SAFETY: by the header's contract `config` is NULL or ours and not freed yet, and this is its last use.
    guard_or((), || unsafe { handle::free(config) })
}
