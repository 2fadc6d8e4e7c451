//! The dialects of model providers, JSON text in and out.

use mlflow_trace_core::Dialect;
use napi::Either;
use napi_derive::napi;

use crate::error::{Result, to_napi};

/// What a request says: `{model?, tools?}`.
#[napi(catch_unwind)]
pub fn dialect_request(dialect: String, request: String) -> Result<String> {
    Ok(named(&dialect)?.request(&request))
}

/// What a reply says: `{usage?, model?, error?}`.
#[napi(catch_unwind)]
pub fn dialect_reply(dialect: String, reply: String) -> Result<String> {
    Ok(named(&dialect)?.reply(&reply))
}

/// The reply that the events of a stream make, one by one or the whole body; `null` of events without any meaning.
#[napi(catch_unwind)]
pub fn dialect_fold(dialect: String, chunks: Either<Vec<String>, String>) -> Result<String> {
    let dialect = named(&dialect)?;
    Ok(match chunks {
        Either::A(chunks) => dialect.fold(&chunks.iter().map(String::as_str).collect::<Vec<_>>()),
        Either::B(body) => dialect.fold_body(&body),
    })
}

fn named(dialect: &str) -> Result<Dialect> {
    dialect.parse().map_err(to_napi)
}
