//! A finished trace as bytes: the payload of a record of the spool.
//!
//! A protobuf message, so that a later version can add fields that an older one skips. `docs/spool.md` lists them
//! ("The payload of a trace").

use serde_json::{Map, Value};

use crate::config::Config;
use crate::destination::{self, Destination, Experiment};
use crate::finished::Finished;
use crate::id::TraceId;
use crate::mlflow::attachment::Attachment;
use crate::mlflow::info;
use crate::otlp::reader::{self, Field, Fields, SpanData};
use crate::otlp::{SCOPE_SPANS_SPANS, wire};
use crate::span::StatusCode;
use crate::trace::TraceUpdate;

mod field {
    pub(super) const FLAGS: u32 = 1;
    pub(super) const EARLIER: u32 = 2;
    pub(super) const SPAN_COUNT: u32 = 3;
    pub(super) const EXPERIMENT_ID: u32 = 4;
    pub(super) const EXPERIMENT_NAME: u32 = 5;
    pub(super) const WORKSPACE: u32 = 6;
    pub(super) const RESOURCE: u32 = 7;
    pub(super) const METADATA: u32 = 8;
    pub(super) const UPDATE: u32 = 9;
    pub(super) const ATTACHMENT: u32 = 10;
    pub(super) const SPANS: u32 = 11;
}

/// Spans that may have gone before the root of a trace that [`close`] closed. Nobody knows how many; not so many that
/// counting on could overflow.
const UNKNOWN: u32 = u32::MAX / 2;

const HAS_INFO: u64 = 1;
const GOES_ON: u64 = 1 << 1;

/// What is the same for all traces of a process: whoever sends them for it does not know it otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The fields of the OTLP `Resource` message.
    pub(crate) resource: Vec<u8>,
    /// The metadata that names the process: its user, source and git state.
    pub(crate) metadata: Vec<(String, String)>,
}

impl Origin {
    /// That of this process.
    pub(crate) fn of_process(resource: &[u8], config: &Config) -> Self {
        let metadata = info::process_metadata(config);
        Origin {
            resource: resource.to_vec(),
            metadata: metadata
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        }
    }

    /// Its fields of a record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let pairs = self.metadata.iter();
        let metadata: Map<String, Value> = pairs
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect();
        let mut out = Vec::new();
        wire::bytes_field(&mut out, field::RESOURCE, &self.resource);
        let metadata = Value::Object(metadata).to_string();
        wire::bytes_field(&mut out, field::METADATA, metadata.as_bytes());
        out
    }
}

/// Everything of a record before its spans, but for what `Origin::encode` gives: how many there are, and their length.
pub(crate) fn head(trace: &Finished, count: u32, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    let flags = flag(trace.has_info, HAS_INFO) | flag(trace.goes_on, GOES_ON);
    wire::varint_field(&mut out, field::FLAGS, flags);
    wire::varint_field(&mut out, field::EARLIER, u64::from(trace.earlier));
    wire::varint_field(&mut out, field::SPAN_COUNT, u64::from(count));
    let Destination {
        experiment,
        workspace,
    } = trace.destination;
    let (number, text) = match experiment {
        Experiment::Id(id) => (field::EXPERIMENT_ID, id),
        Experiment::Name(name) => (field::EXPERIMENT_NAME, name),
    };
    wire::bytes_field(&mut out, number, text.as_bytes());
    if let Some(workspace) = workspace {
        wire::bytes_field(&mut out, field::WORKSPACE, workspace.as_bytes());
    }
    if let Some(update) = &trace.update {
        wire::bytes_field(&mut out, field::UPDATE, update.to_json().as_bytes());
    }
    for attachment in &trace.attachments {
        wire::message_field(&mut out, field::ATTACHMENT, |out| attachment.encode(out));
    }
    wire::length_prefix(&mut out, field::SPANS, length);
    out
}

/// Reads a record back. `None` when it is not one.
pub(crate) fn decode(id: TraceId, payload: &[u8]) -> Option<(Finished, Origin)> {
    let mut trace = Finished::new(id, destination::by_number(0));
    let mut origin = Origin {
        resource: Vec::new(),
        metadata: Vec::new(),
    };
    let mut experiment = None;
    let mut workspace = None;
    for part in Fields::new(payload) {
        let part = part.ok()?;
        match part.number {
            field::FLAGS => {
                let flags = part.integer()?;
                trace.has_info = flags & HAS_INFO != 0;
                trace.goes_on = flags & GOES_ON != 0;
            }
            field::EARLIER => trace.earlier = count(part)?,
            field::SPAN_COUNT => trace.span_count = count(part)?,
            field::EXPERIMENT_ID => experiment = Some(Experiment::Id(text(part)?)),
            field::EXPERIMENT_NAME => experiment = Some(Experiment::Name(text(part)?)),
            field::WORKSPACE => workspace = Some(text(part)?),
            field::RESOURCE => origin.resource = part.bytes()?.to_vec(),
            field::METADATA => origin.metadata = pairs(&text(part)?)?,
            field::UPDATE => {
                trace.update = Some(Box::new(TraceUpdate::from_json(&text(part)?).ok()?));
            }
            field::ATTACHMENT => trace.attachments.push(Attachment::decode(part.bytes()?)?),
            field::SPANS => trace.spans = part.bytes()?.to_vec(),
            _ => {}
        }
    }
    trace.destination = destination::by_number(destination::intern(Destination {
        experiment: experiment?,
        workspace,
    }));
    Some((trace, origin))
}

impl Finished {
    /// Whether [`close`] closed it.
    pub(crate) fn is_orphan(&self) -> bool {
        self.earlier >= UNKNOWN
    }
}

/// The status of a root that nobody ended. What happened is not known, and not claimed.
const CLOSED: &str = "no end recorded; closed by recovery";

/// Closes a trace whose process died while it was open, and was last heard of at this time, in milliseconds since the
/// Unix epoch: its root ends there, as failed.
pub(crate) fn close(trace: &mut Finished, last: u64) -> Option<()> {
    let message = reader::spans(&trace.spans).next()?;
    let start = SpanData::decode(message).ok()?.start;
    let mut root = message.to_vec();
    // Of fields that occur twice, the last one counts.
    wire::fixed64_field(&mut root, 8, last.saturating_mul(1_000_000).max(start));
    wire::message_field(&mut root, 15, |out| {
        wire::bytes_field(out, 2, CLOSED.as_bytes());
        wire::varint_field(out, 3, StatusCode::Error as u64);
    });
    let mut spans = Vec::new();
    wire::bytes_field(&mut spans, SCOPE_SPANS_SPANS, &root);
    trace.spans = spans;
    trace.earlier = UNKNOWN;
    Some(())
}

fn count(part: Field<'_>) -> Option<u32> {
    part.integer()?.try_into().ok()
}

fn text(part: Field<'_>) -> Option<String> {
    String::from_utf8(part.bytes()?.to_vec()).ok()
}

fn pairs(json: &str) -> Option<Vec<(String, String)>> {
    let members: Map<String, Value> = serde_json::from_str(json).ok()?;
    let pair = |(key, value): (String, Value)| Some((key, value.as_str()?.to_owned()));
    members.into_iter().map(pair).collect()
}
