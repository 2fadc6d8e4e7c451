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
mod event;
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
use crate::json::{to_text, write_string};

use event::Event;
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

/// What a request says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestFacts {
    /// The model that is asked.
    pub model: Option<String>,
    /// What `mlflow.chat.tools` holds, JSON text. Tools that the provider brings along have only a name.
    pub tools: Option<String>,
}

impl RequestFacts {
    /// An object with the facts that there are.
    pub fn to_json(&self) -> String {
        let facts = [("model", text(&self.model)), ("tools", self.tools.clone())];
        object(facts)
    }
}

/// What a reply says, whole or folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplyFacts {
    /// What `mlflow.chat.tokenUsage` holds, JSON text.
    pub usage: Option<String>,
    /// Where MLflow prefers it to that of the request, which is with OpenAI's dialects alone.
    pub model: Option<String>,
    /// The text of what went wrong, also in the middle of a stream.
    pub error: Option<String>,
}

impl ReplyFacts {
    /// An object with the facts that there are.
    pub fn to_json(&self) -> String {
        let facts = [
            ("usage", self.usage.clone()),
            ("model", text(&self.model)),
            ("error", text(&self.error)),
        ];
        object(facts)
    }
}

/// A text as JSON.
fn text(text: &Option<String>) -> Option<String> {
    text.as_deref().map(|text| {
        let mut out = String::new();
        write_string(&mut out, text);
        out
    })
}

/// An object of members that are JSON text.
fn object<const N: usize>(members: [(&str, Option<String>); N]) -> String {
    let present = members.into_iter();
    let present = present.filter_map(|(key, text)| Some(format!("\"{key}\": {}", text?)));
    format!("{{{}}}", present.collect::<Vec<_>>().join(", "))
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

    /// What a request says, as an object: see [`RequestFacts`].
    pub fn request(self, request: &str) -> String {
        self.request_facts(request).to_json()
    }

    /// What a request says.
    pub fn request_facts(self, request: &str) -> RequestFacts {
        let mut request = read::members(request, &OF_REQUEST);
        let model = match self {
            Dialect::BedrockConverse => "modelId",
            _ => "model",
        };
        let model = string(take(&mut request, &[model]));
        let tools = match self {
            Dialect::Gemini => gemini::tools(&mut request),
            Dialect::BedrockConverse => bedrock::tools(&mut request),
            _ => tools::declared(take(&mut request, &["tools"])),
        };
        RequestFacts {
            model,
            tools: (!tools.is_empty()).then(|| to_text(&Value::Array(tools))),
        }
    }

    /// What a reply says, as an object: see [`ReplyFacts`].
    pub fn reply(self, reply: &str) -> String {
        self.reply_facts(reply).to_json()
    }

    /// What a reply says, whole or folded.
    pub fn reply_facts(self, reply: &str) -> ReplyFacts {
        self.facts(&match self {
            Dialect::BedrockConverse => read::members(reply, &OF_BEDROCK),
            _ => read::members(reply, &OF_REPLY),
        })
    }

    fn facts(self, reply: &Object) -> ReplyFacts {
        let usage = match self {
            Dialect::Anthropic => anthropic::usage(reply),
            Dialect::Gemini => gemini::usage(reply),
            Dialect::BedrockConverse => bedrock::usage(reply),
            Dialect::Ollama => ollama::usage(reply),
            _ => openai_chat::usage(reply),
        };
        let model = reply.get("model").filter(|_| self.replies_with_model());
        ReplyFacts {
            usage: usage.and_then(usage::Usage::into_text),
            model: model.and_then(Value::as_str).map(str::to_owned),
            error: self.error(reply),
        }
    }

    /// The reply that the events of a stream make: what the same call would have got without streaming. Of a stream that
    /// was cut, what there was; `null` of events without any meaning. An error in the stream becomes the member `error`.
    ///
    /// Events that are no JSON, such as `[DONE]`, are passed over. A whole reply is taken as an event, too. Embeddings in
    /// base64 become numbers.
    pub fn fold(self, chunks: &[&str]) -> String {
        whole_text(self.fold_events(chunks))
    }

    /// [`fold`](Self::fold), and what the reply says.
    pub fn fold_facts(self, chunks: &[&str]) -> (String, ReplyFacts) {
        let whole = self.fold_events(chunks);
        let facts = self.facts(&whole);
        (whole_text(whole), facts)
    }

    /// [`fold`](Self::fold) of the body of a reply as it came: server-sent events, one event in each line, or JSON as a
    /// whole.
    pub fn fold_body(self, body: &str) -> String {
        whole_text(self.fold_lines(body))
    }

    /// [`fold_body`](Self::fold_body), and what the reply says.
    pub fn fold_body_facts(self, body: &str) -> (String, ReplyFacts) {
        let whole = self.fold_lines(body);
        let facts = self.facts(&whole);
        (whole_text(whole), facts)
    }

    fn fold_lines(self, body: &str) -> Object {
        let whole = event::events(body);
        if !whole.is_empty() {
            return self.join(&mut whole.into_iter());
        }
        let lines = body.lines();
        let events = lines.map(|line| line.strip_prefix("data:").unwrap_or(line));
        self.fold_events(&events.collect::<Vec<_>>())
    }

    fn fold_events(self, chunks: &[&str]) -> Object {
        if self == Dialect::OpenAiResponses
            && let Some(response) = openai_responses::closing(chunks)
        {
            return response;
        }
        self.join(&mut chunks.iter().flat_map(|text| event::events(text)))
    }

    fn join(self, events: &mut dyn Iterator<Item = Event<'_>>) -> Object {
        let mut error = Value::Null;
        let mut events = events.filter_map(|mut event| {
            if let Some(found) = event.take_told("error") {
                error = found.into_value();
            }
            (!event.is_empty()).then_some(event)
        });
        let mut whole = match self {
            Dialect::OpenAiChat | Dialect::OpenAiCompletions => openai_chat::fold(&mut events),
            Dialect::Anthropic => anthropic::fold(&mut events),
            _ => self.join_objects(&mut events.map(Event::into_object)),
        };
        if !error.is_null() {
            set(&mut whole, "error", error);
        }
        whole
    }

    fn join_objects(self, events: &mut dyn Iterator<Item = Object>) -> Object {
        match self {
            Dialect::OpenAiResponses => openai_responses::fold(events),
            Dialect::OpenAiEmbeddings => openai_embeddings::fold(events),
            Dialect::Gemini => gemini::fold(events),
            Dialect::BedrockConverse => bedrock::fold(events),
            _ => ollama::fold(events),
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

fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn whole_text(whole: Object) -> String {
    match whole.is_empty() {
        true => "null".to_owned(),
        false => to_text(&Value::Object(whole)),
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
