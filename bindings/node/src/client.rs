//! The engine's client: methods by name, arguments and results as JSON.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use mlflow_trace_core::{Error, ErrorKind};
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use serde_json::Value;

use crate::engine::process;
use crate::error::Code;

/// What a call came to: one of the two is there.
#[napi(object, object_from_js = false)]
pub(crate) struct Outcome {
    /// The result, as JSON.
    pub json: Option<String>,
    /// Why there is none.
    pub failure: Option<Failure>,
}

/// Why a call failed.
#[napi(object, object_from_js = false)]
pub(crate) struct Failure {
    /// `ERR_MLFLOW_TRACE_` and the kind's name.
    pub code: String,
    /// The kind's name in camel case.
    pub kind: String,
    pub message: String,
    pub retryable: bool,
    /// Of the server's reply, where it is why.
    pub http_status: Option<u32>,
    /// MLflow's code in that reply.
    pub server_code: Option<String>,
}

/// Calls a method with `options` instead of what is configured.
///
/// A call waits for the network, perhaps for half a minute, which would keep one of libuv's four threads from the files
/// and the names of hosts that the program waits for: each has a thread of its own.
pub(crate) fn call(
    env: &Env,
    method: String,
    arguments: String,
    options: HashMap<String, String>,
) -> napi::Result<Object<'_>> {
    let (give, take) = mpsc::sync_channel(1);
    // First, so that there is no promise that nobody settles where there can be no thread.
    let spawned = thread::Builder::new()
        .name("mlflow-trace-call".to_owned())
        .spawn(move || {
            let outcome = outcome(&method, &arguments, &options);
            if let Ok(deferred) = take.recv() {
                napi::JsDeferred::resolve(deferred, move |_: Env| Ok(outcome));
            }
        });
    spawned.map_err(|error| napi::Error::from_reason(error.to_string()))?;
    let (deferred, promise) = env.create_deferred()?;
    give.send(deferred)
        .map_err(|_| napi::Error::from_reason("the call's thread failed"))?;
    Ok(promise)
}

fn outcome(method: &str, arguments: &str, options: &HashMap<String, String>) -> Outcome {
    let options: Vec<(&str, &str)> = options
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let work = || {
        let arguments: Value = serde_json::from_str(arguments)
            .map_err(|error| Error::new(ErrorKind::InvalidArgument, format!("no JSON: {error}")))?;
        let result = process().invoke(&options, method, &arguments)?;
        Ok(result.to_string())
    };
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let text = format!("the engine panicked in {method}");
        Err(Error::new(ErrorKind::Panic, text))
    });
    match result {
        Ok(json) => Outcome {
            json: Some(json),
            failure: None,
        },
        Err(error) => Outcome {
            json: None,
            failure: Some(Failure::from(&error)),
        },
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Failure {
            code: Code::from(error.kind()).as_ref().to_owned(),
            kind: error.kind().name().to_owned(),
            message: error.message().to_owned(),
            retryable: error.retryable(),
            http_status: error.http_status().map(u32::from),
            server_code: error.server_code().map(str::to_owned),
        }
    }
}
