//! Dialects: what the wire formats of model providers say of a call, as MLflow records it.
//!
//! ```text
//! request -> model, tools        attributes mlflow.llm.model, mlflow.chat.tools
//! reply   -> usage, model, error attributes mlflow.chat.tokenUsage, mlflow.llm.model; the span's status
//! chunks  -> reply               what a call without streaming would have replied
//! ```
//!
//! Pure functions over JSON text: no input and output, and nothing fails. What is not understood is left out, because a
//! provider may change its format on any day and the host's call has nothing to do with that.
//!
//! Formats: the providers' public HTTP interfaces, and what their Python and JavaScript libraries make of them (Gemini's
//! has `snake_case` members in Python). Attributes: MLflow 3.17.2.

mod anthropic;
mod bedrock;
mod gemini;
mod merge;
mod ollama;
mod openai_chat;
mod openai_embeddings;
mod openai_responses;
mod read;
mod tools;
mod usage;

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::json::to_text;

use read::{set, take};

type Object = Map<String, Value>;

/// A wire format of a provider. Others speak it as well: Groq, Mistral, vLLM and many more speak [`Dialect::OpenAiChat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST /v1/chat/completions`.
    OpenAiChat,
    /// `POST /v1/responses`.
    OpenAiResponses,
    /// `POST /v1/completions`, the legacy one.
    OpenAiCompletions,
    /// `POST /v1/embeddings`.
    OpenAiEmbeddings,
    /// `POST /v1/messages`.
    Anthropic,
    /// `generateContent` and `streamGenerateContent`, in `camelCase` or `snake_case`.
    Gemini,
    /// `Converse` and `ConverseStream`. An event of a stream is an object whose one member is named after its type.
    BedrockConverse,
    /// `POST /api/chat`, `/api/generate` and `/api/embed`.
    Ollama,
}

/// The members of a request that say something, in any dialect.
const OF_REQUEST: [&str; 5] = ["model", "modelId", "tools", "toolConfig", "config"];

/// The members of a reply that do, but for those of Bedrock.
const OF_REPLY: [&str; 9] = [
    "model",
    "usage",
    "x_groq",
    "usage_metadata",
    "usageMetadata",
    "prompt_eval_count",
    "eval_count",
    "error",
    "status",
];
const OF_BEDROCK: [&str; 4] = ["usage", "error", "message", "output"];

impl Dialect {
    /// Every dialect.
    pub const ALL: [Dialect; 8] = [
        Dialect::OpenAiChat,
        Dialect::OpenAiResponses,
        Dialect::OpenAiCompletions,
        Dialect::OpenAiEmbeddings,
        Dialect::Anthropic,
        Dialect::Gemini,
        Dialect::BedrockConverse,
        Dialect::Ollama,
    ];

    /// The name by which the bindings know it, for instance `openai.chat`.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::OpenAiChat => "openai.chat",
            Dialect::OpenAiResponses => "openai.responses",
            Dialect::OpenAiCompletions => "openai.completions",
            Dialect::OpenAiEmbeddings => "openai.embeddings",
            Dialect::Anthropic => "anthropic",
            Dialect::Gemini => "gemini",
            Dialect::BedrockConverse => "bedrock.converse",
            Dialect::Ollama => "ollama",
        }
    }

    /// What a request says: an object with `model` and `tools`, each only if there is something to say.
    ///
    /// `tools` is what `mlflow.chat.tools` holds. Tools that the provider brings along have only a name.
    pub fn request(self, request: &str) -> String {
        let mut request = read::members(request, &OF_REQUEST);
        let model = match self {
            Dialect::BedrockConverse => "modelId",
            _ => "model",
        };
        let mut told = Object::new();
        let model = take(&mut request, &[model]);
        if model.is_string() {
            set(&mut told, "model", model);
        }
        let tools = match self {
            Dialect::Gemini => gemini::tools(&mut request),
            Dialect::BedrockConverse => bedrock::tools(&mut request),
            _ => tools::declared(take(&mut request, &["tools"])),
        };
        if !tools.is_empty() {
            set(&mut told, "tools", Value::Array(tools));
        }
        to_text(&Value::Object(told))
    }

    /// What a reply says, whole or folded: an object with `usage`, `model` and `error`, each only if there is something to
    /// say.
    ///
    /// `usage` is what `mlflow.chat.tokenUsage` holds. `model` is there where MLflow prefers it to that of the request, which
    /// is with OpenAI's dialects alone. `error` is the text of what went wrong, also in the middle of a stream.
    pub fn reply(self, reply: &str) -> String {
        let mut reply = match self {
            Dialect::BedrockConverse => read::members(reply, &OF_BEDROCK),
            _ => read::members(reply, &OF_REPLY),
        };
        let usage = match self {
            Dialect::Anthropic => anthropic::usage(&reply),
            Dialect::Gemini => gemini::usage(&reply),
            Dialect::BedrockConverse => bedrock::usage(&reply),
            Dialect::Ollama => ollama::usage(&reply),
            _ => openai_chat::usage(&reply),
        };
        let mut told = Object::new();
        if let Some(usage) = usage.and_then(usage::Usage::into_value) {
            set(&mut told, "usage", usage);
        }
        let model = take(&mut reply, &["model"]);
        if model.is_string() && self.replies_with_model() {
            set(&mut told, "model", model);
        }
        if let Some(error) = self.error(&reply) {
            set(&mut told, "error", error.into());
        }
        to_text(&Value::Object(told))
    }

    /// The reply that the events of a stream make: what the same call would have got without streaming. Of a stream that
    /// was cut, what there was; `null` of events without any meaning. An error in the stream becomes the member `error`.
    ///
    /// Events that are no JSON, such as `[DONE]`, are passed over. A whole reply is taken as an event, too. Embeddings in
    /// base64 become numbers.
    pub fn fold(self, chunks: &[&str]) -> String {
        if self == Dialect::OpenAiResponses
            && let Some(response) = openai_responses::closing(chunks)
        {
            return to_text(&Value::Object(response));
        }
        self.join(&mut chunks.iter().flat_map(|text| read::objects(text)))
    }

    /// [`fold`](Self::fold) of the body of a reply as it came: server-sent events, one event in each line, or JSON as a
    /// whole.
    pub fn fold_body(self, body: &str) -> String {
        let whole = read::objects(body);
        if !whole.is_empty() {
            return self.join(&mut whole.into_iter());
        }
        let lines = body.lines();
        let events = lines.map(|line| line.strip_prefix("data:").unwrap_or(line));
        self.fold(&events.collect::<Vec<_>>())
    }

    fn join(self, events: &mut dyn Iterator<Item = Object>) -> String {
        let mut error = Value::Null;
        let mut events = events.filter_map(|mut event| {
            if event.get("error").is_some_and(|found| !found.is_null()) {
                error = take(&mut event, &["error"]);
            }
            (!event.is_empty()).then_some(event)
        });
        let mut whole = match self {
            Dialect::OpenAiChat | Dialect::OpenAiCompletions => openai_chat::fold(&mut events),
            Dialect::OpenAiResponses => openai_responses::fold(&mut events),
            Dialect::OpenAiEmbeddings => openai_embeddings::fold(&mut events),
            Dialect::Anthropic => anthropic::fold(&mut events),
            Dialect::Gemini => gemini::fold(&mut events),
            Dialect::BedrockConverse => bedrock::fold(&mut events),
            Dialect::Ollama => ollama::fold(&mut events),
        };
        if !error.is_null() {
            set(&mut whole, "error", error);
        }
        match whole.is_empty() {
            true => "null".to_owned(),
            false => to_text(&Value::Object(whole)),
        }
    }

    fn replies_with_model(self) -> bool {
        matches!(
            self,
            Dialect::OpenAiChat
                | Dialect::OpenAiResponses
                | Dialect::OpenAiCompletions
                | Dialect::OpenAiEmbeddings
        )
    }

    /// The text of an error. All providers have it in `error`, but for Bedrock, where an error is nothing but a message.
    fn error(self, reply: &Object) -> Option<String> {
        let nothing = ["null", "false", "\"\"", "{}"];
        let told = reply.get("error");
        if let Some(error) = told.filter(|error| !nothing.contains(&to_text(error).as_str())) {
            let text = ["message", "type", "code"].map(|key| error[key].as_str());
            let mut text = text.into_iter().chain([error.as_str()]).flatten();
            let text = text.find(|text| !text.is_empty());
            return Some(text.map_or_else(|| to_text(error), str::to_owned));
        }
        let message = match self {
            Dialect::OpenAiResponses => reply.get("status").filter(|status| *status == "failed"),
            Dialect::BedrockConverse if !reply.contains_key("output") => reply.get("message"),
            _ => None,
        };
        Some(message?.as_str()?.to_owned())
    }
}

impl FromStr for Dialect {
    type Err = Error;

    /// The dialect of a [name](Dialect::name); `InvalidArgument` if there is none.
    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Dialect::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| {
            let names = Dialect::ALL.map(Dialect::name).join(", ");
            let text = format!("there is no dialect {name:?}; there are {names}");
            Error::new(ErrorKind::InvalidArgument, text)
        })
    }
}
