//! Binary content of a trace that is stored beside its spans (MLflow 3.17.2, "trace attachments").
//!
//! Spans hold a reference, `mlflow-attachment://<id>?content_type=..&trace_id=..&size=..`, and the bytes
//! lie in the artifact `attachments/<id>` of the trace. Which content is moved there without being
//! asked is the business of [`shapes`]; `docs/attachments.md` tells users.

mod shapes;
pub(super) mod spans;
mod tree;

use std::fmt::{self, Write};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use memchr::memmem::{self, Finder};
use regex::bytes::Regex;

use crate::id::{TraceId, random_u64};
use crate::otlp::reader::{Field, Fields};
use crate::otlp::wire;
use spans::{Edit, rewrite_content};

/// What every reference begins with.
const SCHEME: &str = "mlflow-attachment://";

/// A UUID that no attachment has.
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

mod record {
    pub(super) const ID: u32 = 1;
    pub(super) const CONTENT_TYPE: u32 = 2;
    pub(super) const CONTENT: u32 = 3;
    pub(super) const IS_BARE: u32 = 4;
    pub(super) const IS_REFERENCED: u32 = 5;
}

/// Binary content, to be stored as an artifact of a trace.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    id: String,
    content_type: String,
    bytes: Bytes,
    form: Form,
    /// Spans that went ahead refer to it.
    referenced: bool,
}

/// How content is written where it cannot be an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `data:<content type>;base64,<content>` (RFC 2397).
    DataUri,
    /// The content in base64, its type lies beside it.
    Base64,
}

impl Attachment {
    /// An attachment with a new random id. The content type is a MIME type such as `image/png`.
    pub fn new(content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::extracted(content_type.into(), bytes.into(), Form::DataUri)
    }

    /// An attachment whose host chose the id; `None` unless that is a UUID, in 36 lower-case characters.
    pub fn with_id(
        id: &str,
        content_type: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Option<Self> {
        is_uuid(id).then(|| Attachment {
            id: id.to_owned(),
            content_type: content_type.into(),
            bytes: bytes.into().into(),
            form: Form::DataUri,
            referenced: false,
        })
    }

    fn extracted(content_type: String, bytes: Vec<u8>, form: Form) -> Self {
        Attachment {
            id: uuid4(),
            content_type,
            bytes: bytes.into(),
            form,
            referenced: false,
        }
    }

    /// Its id, a version 4 UUID (RFC 9562).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its MIME type.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Its content.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that it holds, for the queue's bound.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.id.len() + self.content_type.len() + self.bytes.len()
    }

    /// The fields of an attachment in a record of the spool.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let is_bare = self.form == Form::Base64;
        wire::bytes_field(out, record::ID, self.id.as_bytes());
        wire::bytes_field(out, record::CONTENT_TYPE, self.content_type.as_bytes());
        wire::bytes_field(out, record::CONTENT, &self.bytes);
        wire::varint_field(out, record::IS_BARE, u64::from(is_bare));
        wire::varint_field(out, record::IS_REFERENCED, u64::from(self.referenced));
    }

    /// Reads them back. `None` when they are not an attachment's.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let text = |part: Field<'_>| String::from_utf8(part.bytes()?.to_vec()).ok();
        let mut attachment = Self::with_id(NO_ID, "", Vec::new())?;
        for part in Fields::new(message) {
            let part = part.ok()?;
            match part.number {
                record::ID => attachment.id = text(part).filter(|id| is_uuid(id))?,
                record::CONTENT_TYPE => attachment.content_type = text(part)?,
                record::CONTENT => attachment.bytes = part.bytes()?.to_vec().into(),
                record::IS_BARE if part.integer()? != 0 => attachment.form = Form::Base64,
                record::IS_REFERENCED => attachment.referenced = part.integer()? != 0,
                _ => {}
            }
        }
        (attachment.id != NO_ID).then_some(attachment)
    }

    /// As [`Self::bytes`], shared instead of copied.
    pub(crate) fn shared_bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// What stands in the span instead of the content. The size is in bytes.
    pub fn uri(&self, trace_id: &TraceId) -> String {
        let mut uri = format!("{SCHEME}{}?content_type=", self.id);
        form_encode(&mut uri, &self.content_type);
        let _ = write!(
            uri,
            "&trace_id={}&size={}",
            trace_id.to_mlflow(),
            self.bytes.len()
        );
        uri
    }

    /// The content as text.
    fn inline(&self) -> String {
        let content = STANDARD.encode(&self.bytes);
        match self.form {
            Form::DataUri => format!("data:{};base64,{content}", self.content_type),
            Form::Base64 => content,
        }
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("id", &self.id)
            .field("content_type", &self.content_type)
            .field("size", &self.bytes.len())
            .finish()
    }
}

fn uuid4() -> String {
    let (high, low) = (random_u64(), random_u64());
    // Version 4 and variant 10, RFC 9562 section 5.4.
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// Ids become part of a path on the server.
fn is_uuid(text: &str) -> bool {
    let expects = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(expects)
}

/// As HTML forms encode a value (`application/x-www-form-urlencoded`), which is how MLflow reads it.
fn form_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// One of these lies in every value that [`shapes`] could know.
static MARKERS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // All of them are looked for in one pass.
    Regex::new("base64|audio|b64_json|bytes|inline_data|image_generation_call").ok()
});

/// Whether some of these bytes may be content to extract: a quick look that errs on the safe side.
fn may_hold(bytes: &[u8]) -> bool {
    MARKERS
        .as_ref()
        .is_none_or(|markers| markers.is_match(bytes))
}

/// Moves the content of every known shape out of the inputs and outputs of spans.
///
/// `run` is a run of `ScopeSpans.spans` fields; the result is what is to be sent instead, `None` when
/// there is no such content. Content of more than `limit` bytes is discarded and its span marked as failed.
pub(crate) fn extract(
    run: &[u8],
    trace_id: &TraceId,
    limit: usize,
) -> Option<(Vec<u8>, Vec<Attachment>)> {
    let mut attachments = Vec::new();
    let rewritten = rewrite_content(run, may_hold, |text| {
        shapes::extract(text, trace_id, limit, &mut attachments)
    })?;
    Some((rewritten, attachments))
}

/// Drops attachments that no span refers to: what was redacted or overwritten must not be stored.
pub(crate) fn drop_unreferenced(run: &[u8], attachments: &mut Vec<Attachment>) {
    mark_referenced(run, attachments);
    attachments.retain(|attachment| attachment.referenced);
}

/// Notes which attachments spans refer to that are about to go ahead of them.
pub(crate) fn mark_referenced(run: &[u8], attachments: &mut [Attachment]) {
    for attachment in attachments.iter_mut().filter(|found| !found.referenced) {
        attachment.referenced = memmem::find(run, attachment.id.as_bytes()).is_some();
    }
}

/// Discards attachments of more than `limit` bytes, and marks the spans that refer to them as failed.
pub(crate) fn discard_oversized(
    run: &[u8],
    trace_id: &TraceId,
    limit: usize,
    attachments: &mut Vec<Attachment>,
) -> Option<Vec<u8>> {
    let oversized: Vec<Attachment> = attachments
        .extract_if(.., |attachment| attachment.bytes.len() > limit)
        .collect();
    substitute(run, trace_id, &oversized, |attachment| {
        let too_large = TooLarge {
            size: attachment.bytes.len(),
            limit,
        };
        (too_large.placeholder(), Some(too_large.problem()))
    })
}

/// Puts the content of attachments where their references are.
pub(crate) fn put_inline(
    run: &[u8],
    trace_id: &TraceId,
    attachments: &[Attachment],
) -> Option<Vec<u8>> {
    substitute(run, trace_id, attachments, |attachment| {
        (attachment.inline(), None)
    })
}

/// Replaces references by text. They are found within strings as well: JSON that was too deep is text now.
fn substitute(
    run: &[u8],
    trace_id: &TraceId,
    attachments: &[Attachment],
    text_for: impl Fn(&Attachment) -> (String, Option<String>),
) -> Option<Vec<u8>> {
    if attachments.is_empty() {
        return None;
    }
    let references: Vec<(String, &Attachment)> = attachments
        .iter()
        .map(|attachment| (attachment.uri(trace_id), attachment))
        .collect();
    let scheme = Finder::new(SCHEME);
    let is_candidate = |span: &[u8]| scheme.find(span).is_some();
    rewrite_content(run, is_candidate, |text| {
        let mut problems = Vec::new();
        let text = tree::map_strings(text, |value| {
            let mut changed = None;
            for (uri, attachment) in &references {
                let current = changed.as_deref().unwrap_or(value);
                if current.contains(uri) {
                    let (content, problem) = text_for(attachment);
                    changed = Some(current.replace(uri, &content));
                    problems.extend(problem);
                }
            }
            changed
        });
        Edit { text, problems }
    })
}

/// Content that is larger than the configuration allows.
struct TooLarge {
    size: usize,
    limit: usize,
}

impl TooLarge {
    /// What stands in the span instead of it.
    fn placeholder(&self) -> String {
        format!(
            "[Attachment too large: {} bytes exceeds {} bytes limit]",
            self.size, self.limit
        )
    }

    /// What the span's status says.
    fn problem(&self) -> String {
        format!(
            "Attachment too large ({} bytes > {} bytes limit). Content discarded.",
            self.size, self.limit
        )
    }
}

#[cfg(test)]
mod tests;
