//! Engine errors as JavaScript errors with a `code`.

use mlflow_trace_core::{Error, ErrorKind};

/// The `code` of an error: `ERR_MLFLOW_TRACE_` and the kind's name, `ERR_MLFLOW_TRACE_TIMEOUT`.
pub struct Code(String);

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        Code(format!("ERR_MLFLOW_TRACE_{}", kind.screaming()))
    }
}

pub(crate) type Result<T> = std::result::Result<T, napi::Error<Code>>;

pub(crate) fn to_napi(error: Error) -> napi::Error<Code> {
    napi::Error::new(error.kind().into(), error.message())
}
