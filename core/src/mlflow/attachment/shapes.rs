//! The shapes of values in which MLflow (3.17.2) looks for base64 content.
//!
//! | shape | content type |
//! |---|---|
//! | text `data:<type>;base64,<content>` | `<type>` |
//! | OpenAI `{"type": "input_audio", "input_audio": {"data", "format"}}` | `audio/<format>`, `mp3` is `audio/mpeg` |
//! | Anthropic `{"type": "image", "source": {"type": "base64", "media_type", "data"}}` | `<media_type>` |
//! | OpenAI `{"b64_json"}` | `image/png` |
//! | OpenAI `{"audio": {"data"}}` | `audio/wav` |
//! | Bedrock `{"image": {"format", "source": {"bytes"}}}` | `image/<format>` |
//! | Gemini `{"inline_data": {"mime_type", "data"}}` | `<mime_type>` |
//! | OpenAI `{"type": "image_generation_call", "output_format", "result"}` | `image/<output_format>` |
//!
//! Content is standard base64 with padding and nothing else; what is not, is left alone.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;

use super::spans::Edit;
use super::tree::{self, Json, Node};
use super::{Attachment, Form, SCHEME, TooLarge};
use crate::id::TraceId;

/// As Python's decoder, which MLflow uses, it does not care for the bits after the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Content where a shape has it.
struct Candidate<'a> {
    /// A string.
    data: Json<'a>,
    content_type: String,
    /// The content may be a Python bytes literal.
    literal: bool,
    /// Another shape may be in the same object.
    more: bool,
}

type Shape = for<'a> fn(Json<'a>) -> Option<Candidate<'a>>;

/// In the order in which they are tried.
const SHAPES: [Shape; 7] = [
    input_audio,
    image_source,
    b64_json,
    audio,
    image_bytes,
    inline_data,
    generated_image,
];

/// How many shapes one object may have at once: MLflow looks twice, and each time takes the first.
const MOST: usize = 2;

fn input_audio(value: Json<'_>) -> Option<Candidate<'_>> {
    let audio = value
        .object("input_audio")
        .filter(|_| value.is("type", "input_audio"))?;
    let content_type = match text_or(audio.get("format"), "wav").as_ref() {
        "mp3" => "audio/mpeg".to_owned(),
        format => format!("audio/{format}"),
    };
    only(audio.get("data"), content_type)
}

fn image_source(value: Json<'_>) -> Option<Candidate<'_>> {
    let source = value
        .object("source")
        .filter(|source| value.is("type", "image") && source.is("type", "base64"))?;
    let content_type = text_or(source.get("media_type"), "image/png").into_owned();
    only(source.get("data"), content_type)
}

fn b64_json(value: Json<'_>) -> Option<Candidate<'_>> {
    only(value.get("b64_json"), "image/png".to_owned())
}

fn audio(value: Json<'_>) -> Option<Candidate<'_>> {
    let audio = value.object("audio")?;
    first(audio.get("data"), "audio/wav".to_owned())
}

fn image_bytes(value: Json<'_>) -> Option<Candidate<'_>> {
    let image = value.object("image")?;
    let content_type = format!("image/{}", text_or(image.get("format"), "png"));
    first(image.object("source")?.get("bytes"), content_type)
}

fn inline_data(value: Json<'_>) -> Option<Candidate<'_>> {
    let inline = value.object("inline_data")?;
    let content_type = text_or(inline.get("mime_type"), "application/octet-stream").into_owned();
    Some(Candidate {
        literal: true,
        ..first(inline.get("data"), content_type)?
    })
}

fn generated_image(value: Json<'_>) -> Option<Candidate<'_>> {
    let content_type = format!("image/{}", text_or(value.get("output_format"), "png"));
    first(value.get("result"), content_type).filter(|_| value.is("type", "image_generation_call"))
}

/// The text of a member that has any.
fn text_or<'a>(member: Option<Json<'a>>, default: &'a str) -> Cow<'a, str> {
    member
        .and_then(Json::string)
        .filter(|text| !text.is_empty())
        .unwrap_or(Cow::Borrowed(default))
}

/// Content after which no other shape of the same object is looked for.
fn only(data: Option<Json<'_>>, content_type: String) -> Option<Candidate<'_>> {
    let data = data.filter(|data| data.string().is_some_and(|text| !text.is_empty()))?;
    Some(Candidate {
        data,
        content_type,
        literal: false,
        more: false,
    })
}

/// Content beside which another shape may be; what is a reference already is none.
fn first(data: Option<Json<'_>>, content_type: String) -> Option<Candidate<'_>> {
    only(data, content_type)
        .filter(|candidate| {
            let text = candidate.data.string();
            text.is_some_and(|text| !text.starts_with(SCHEME))
        })
        .map(|candidate| Candidate {
            more: true,
            ..candidate
        })
}

/// Moves the content of every shape in a value into `attachments`.
///
/// `text` is an attribute as it is on the wire: the JSON text of an object or array, or else a string.
pub(super) fn extract(
    text: &str,
    trace_id: &TraceId,
    limit: usize,
    attachments: &mut Vec<Attachment>,
) -> Edit {
    let mut extraction = Extraction {
        text,
        trace_id,
        limit,
        attachments,
        edits: Vec::new(),
        problems: Vec::new(),
    };
    if !tree::is_container(text) {
        let text = data_uri(text).map(|(content_type, bytes)| {
            extraction.replacement(content_type.to_owned(), bytes, Form::DataUri)
        });
        return Edit {
            text,
            problems: extraction.problems,
        };
    }
    if let Some(root) = tree::parse(text) {
        extraction.visit(&root);
    }
    Edit {
        text: tree::splice(text, extraction.edits),
        problems: extraction.problems,
    }
}

struct Extraction<'a> {
    text: &'a str,
    trace_id: &'a TraceId,
    limit: usize,
    attachments: &'a mut Vec<Attachment>,
    /// String tokens and what stands in them from now on.
    edits: Vec<(Range<usize>, String)>,
    problems: Vec<String>,
}

impl Extraction<'_> {
    fn visit(&mut self, node: &Node) {
        match node {
            Node::String(token) => self.visit_string(node, token),
            Node::Array(items) => items.iter().for_each(|item| self.visit(item)),
            Node::Object(members) => {
                self.visit_object(node);
                members.iter().for_each(|(_, member)| self.visit(member));
            }
            Node::Other => {}
        }
    }

    fn visit_string(&mut self, node: &Node, token: &Range<usize>) {
        // Most strings are none, and need not be unescaped to be seen as such.
        let raw = self.text[token.clone()].as_bytes();
        if memmem::find(raw, b";base64,").is_none() {
            return;
        }
        let text = self.text;
        let value = Json { text, node }.string();
        let Some((content_type, bytes)) = value.as_deref().and_then(data_uri) else {
            return;
        };
        let replacement = self.replacement(content_type.to_owned(), bytes, Form::DataUri);
        self.edits.push((token.clone(), quoted(&replacement)));
    }

    fn visit_object(&mut self, node: &Node) {
        let text = self.text;
        let candidates = SHAPES.iter().filter_map(|shape| shape(Json { text, node }));
        for candidate in candidates.take(MOST) {
            let (Node::String(token), Some(bytes)) = (candidate.data.node, decode(&candidate))
            else {
                return;
            };
            let fits = bytes.len() <= self.limit;
            let replacement = self.replacement(candidate.content_type, bytes, Form::Base64);
            self.edits.push((token.clone(), quoted(&replacement)));
            if !(fits && candidate.more) {
                return;
            }
        }
    }

    /// What stands in the value instead of this content.
    fn replacement(&mut self, content_type: String, bytes: Vec<u8>, form: Form) -> String {
        let (size, limit) = (bytes.len(), self.limit);
        if size > limit {
            let too_large = TooLarge { size, limit };
            self.problems.push(too_large.problem());
            return too_large.placeholder();
        }
        let attachment = Attachment::extracted(content_type, bytes, form);
        let uri = attachment.uri(self.trace_id);
        self.attachments.push(attachment);
        uri
    }
}

/// Neither references nor placeholders need escaping.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn decode(candidate: &Candidate<'_>) -> Option<Vec<u8>> {
    let text = candidate.data.string()?;
    let literal = || candidate.literal.then(|| bytes_literal(&text)).flatten();
    literal().or_else(|| BASE64.decode(text.as_bytes()).ok())
}

/// The type and content of a `data:` URI in base64.
fn data_uri(text: &str) -> Option<(&str, Vec<u8>)> {
    let (content_type, content) = text.strip_prefix("data:")?.split_once(";base64,")?;
    let bytes = BASE64.decode(content).ok()?;
    (!content_type.is_empty()).then_some((content_type, bytes))
}

/// The value of a bytes literal as Python's `repr` writes it: Gemini's SDK passes such as text.
fn bytes_literal(text: &str) -> Option<Vec<u8>> {
    let quoted = text.strip_prefix('b')?;
    let quote = quoted.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut rest = quoted
        .strip_prefix(quote)?
        .strip_suffix(quote)?
        .as_bytes()
        .iter()
        .copied();
    let mut out = Vec::new();
    while let Some(byte) = rest.next() {
        let value = match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                escaped @ (b'\\' | b'\'' | b'"') => escaped,
                b'x' => {
                    let mut digit = || char::from(rest.next()?).to_digit(16);
                    (digit()? << 4 | digit()?) as u8
                }
                _ => return None,
            },
            b' '..=b'~' if char::from(byte) != quote => byte,
            _ => return None,
        };
        out.push(value);
    }
    Some(out)
}
