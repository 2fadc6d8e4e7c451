//! Model providers
//!
//! Reads what programs send to model providers and what comes back, and says it as MLflow records it: for programs that
//! trace their calls of models by themselves. Nothing is sent. docs/c.md has an example.
//!
//!     dialect              of the provider's HTTP interface
//!     openai.chat          POST /v1/chat/completions, which Groq, Mistral, vLLM and many more have, too
//!     openai.responses     POST /v1/responses
//!     openai.completions   POST /v1/completions
//!     openai.embeddings    POST /v1/embeddings
//!     anthropic            POST /v1/messages
//!     gemini               generateContent, streamGenerateContent
//!     bedrock.converse     Converse, ConverseStream; an event is an object whose one member is named after its type
//!     ollama               POST /api/chat, /api/generate, /api/embed
//!
//!     question             text                  answer, whose members are there if there is something to say
//!     request              a request             {"model", "tools"}
//!     reply                a reply               {"usage", "model", "error"}
//!     fold                 a streamed reply      what the reply would have been without streaming; or null
//!
//! "tools", "usage" and "model" are for the attributes "mlflow.chat.tools", "mlflow.chat.tokenUsage" and
//! "mlflow.llm.model", where the model of the reply comes before that of the request; "error" is for the status. A
//! streamed reply is its body as it came, server-sent events or lines of JSON, or a list of the events; of one that was
//! cut, what there was.

use mlflow_trace_core::{Dialect, Error, ErrorKind};

use crate::error::mlflow_error_t;
use crate::guard::guard;
use crate::handle;
use crate::status::mlflow_status_t;
use crate::text::{mlflow_str_t, mlflow_text_t};

/// Answers a question about a request or a reply. The answer is JSON. What is not understood is left out of it and is no
/// error, nor is text that is no JSON: providers change their formats.
///
/// Ownership: the caller owns `*json` and releases it with mlflow_text_free; the other texts are copied.
/// Threads: any thread, at any time, also in a forked child.
/// Errors: INVALID_ARGUMENT when `json` is NULL, for a bad length, and for a dialect or a question that does not exist.
/// Since: 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlflow_dialect_ask(
    dialect: mlflow_str_t,
    question: mlflow_str_t,
    text: mlflow_str_t,
    json: *mut *mut mlflow_text_t,
    error: *mut *mut mlflow_error_t,
) -> mlflow_status_t {
    // SAFETY: by the header's contract `error` is NULL or writable, the texts are readable and `json` is writable;
    // `output` refuses NULL.
    unsafe {
        guard(error, || {
            let dialect = dialect.key("dialect")?.parse::<Dialect>()?;
            let question = question.key("question")?;
            let text = text.value("text")?;
            let output = handle::output(json, "json")?;
            let answer = match question {
                "request" => dialect.request(&text),
                "reply" => dialect.reply(&text),
                "fold" => dialect.fold_body(&text),
                _ => {
                    let told = format!(
                        "there is no question {question:?}; there are request, reply, fold"
                    );
                    return Err(Error::new(ErrorKind::InvalidArgument, told).into());
                }
            };
            output.give(mlflow_text_t::new(answer));
            Ok(())
        })
    }
}
