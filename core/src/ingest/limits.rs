//! The limits of a span whose host encoded it: what `live.rs` enforces as fields are set, on the message.

use std::mem;

use crate::limits::{Limits, SPAN_BYTES, clip};
use crate::mlflow::keys;
use crate::otlp::reader::{Field, FieldValue, Fields, raw_fields};
use crate::otlp::{span as field, wire};
use crate::value::any_value;

/// Nested values in which texts are looked for; readers take deeper ones for null.
const MAX_DEPTH: usize = 64;

/// How many there are of what limits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) attributes: u64,
    pub(super) events: u64,
    pub(super) links: u64,
}

/// The message as the limits allow it; `None` when nothing in it can exceed them, which takes no second look.
#[inline]
pub(super) fn enforce(message: &[u8], counts: Counts, limits: &Limits) -> Option<Vec<u8>> {
    let within = message.len() <= limits.value_bytes as usize
        && counts.attributes <= u64::from(limits.attributes)
        && counts.events <= u64::from(limits.events)
        && counts.links <= u64::from(limits.links);
    (!within).then(|| cut(message, limits))
}

#[cold]
fn cut(message: &[u8], limits: &Limits) -> Vec<u8> {
    let mut cut = Cut {
        limits,
        out: Vec::with_capacity(message.len().min(SPAN_BYTES as usize)),
        kept: Counts::default(),
        dropped: Counts::default(),
    };
    for (part, raw) in raw_fields(message) {
        cut.field(part, raw);
    }
    cut.finish()
}

/// A message that is being written again.
struct Cut<'a> {
    limits: &'a Limits,
    out: Vec<u8>,
    kept: Counts,
    /// What the host left out, and what is left out here.
    dropped: Counts,
}

impl Cut<'_> {
    fn field(&mut self, part: Field<'_>, raw: &[u8]) {
        match (part.number, part.value) {
            (field::NAME, FieldValue::Bytes(name)) => self.text(field::NAME, name),
            (field::ATTRIBUTES, FieldValue::Bytes(key_value)) => self.attribute(key_value),
            (field::EVENTS, FieldValue::Bytes(event)) => {
                if self.kept.events >= u64::from(self.limits.events) || self.is_full() {
                    self.dropped.events += 1;
                    return;
                }
                self.kept.events += 1;
                self.annotated(field::EVENTS, event, 3);
            }
            (field::LINKS, FieldValue::Bytes(link)) => {
                if self.kept.links >= u64::from(self.limits.links) || self.is_full() {
                    self.dropped.links += 1;
                    return;
                }
                self.kept.links += 1;
                self.annotated(field::LINKS, link, 4);
            }
            (field::STATUS, FieldValue::Bytes(status)) => self.annotated(field::STATUS, status, 0),
            (field::DROPPED_ATTRIBUTES, FieldValue::Varint(count)) => {
                self.dropped.attributes += u64::from(count as u32);
            }
            (field::DROPPED_EVENTS, FieldValue::Varint(count)) => {
                self.dropped.events += u64::from(count as u32);
            }
            (field::DROPPED_LINKS, FieldValue::Varint(count)) => {
                self.dropped.links += u64::from(count as u32);
            }
            _ => self.out.extend_from_slice(raw),
        }
    }

    fn finish(mut self) -> Vec<u8> {
        for (number, count) in [
            (field::DROPPED_ATTRIBUTES, self.dropped.attributes),
            (field::DROPPED_EVENTS, self.dropped.events),
            (field::DROPPED_LINKS, self.dropped.links),
        ] {
            if count > 0 {
                wire::varint_field(&mut self.out, number, count.min(u64::from(u32::MAX)));
            }
        }
        self.out
    }

    fn is_full(&self) -> bool {
        self.out.len() > SPAN_BYTES as usize
    }

    /// Bytes that the next text may have.
    fn most(&self) -> usize {
        let room = (SPAN_BYTES as usize).saturating_sub(self.out.len());
        room.min(self.limits.value_bytes as usize)
    }

    fn attribute(&mut self, key_value: &[u8]) {
        let key = key_of(key_value);
        let is_over = self.kept.attributes >= u64::from(self.limits.attributes)
            && !key.starts_with(keys::RESERVED.as_bytes());
        if is_over || key.len() > self.most() {
            self.dropped.attributes += 1;
            return;
        }
        self.kept.attributes += 1;
        self.key_value(field::ATTRIBUTES, key_value, 0);
    }

    /// A field that holds text.
    fn text(&mut self, number: u32, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let text = clip(&text, self.most() as u32);
        wire::bytes_field(&mut self.out, number, text.as_bytes());
    }

    /// An event, a link or a status: field 2 may be its text, `attributes` are its attributes.
    fn annotated(&mut self, number: u32, message: &[u8], attributes: u32) {
        self.nested(number, message, |cut, part, raw| {
            match (part.number, part.value) {
                (2, FieldValue::Bytes(text)) if number != field::LINKS => cut.text(2, text),
                (found, FieldValue::Bytes(key_value)) if found == attributes => {
                    cut.key_value(found, key_value, 0);
                }
                _ => cut.out.extend_from_slice(raw),
            }
        });
    }

    fn key_value(&mut self, number: u32, key_value: &[u8], depth: usize) {
        self.nested(number, key_value, |cut, part, raw| {
            match (part.number, part.value) {
                (2, FieldValue::Bytes(value)) => cut.any_value(2, value, depth),
                _ => cut.out.extend_from_slice(raw),
            }
        });
    }

    fn any_value(&mut self, number: u32, value: &[u8], depth: usize) {
        self.nested(number, value, |cut, part, raw| {
            let deeper = depth + 1;
            match (part.number, part.value) {
                (any_value::STRING, FieldValue::Bytes(text)) => cut.text(any_value::STRING, text),
                (any_value::ARRAY, FieldValue::Bytes(list)) if depth < MAX_DEPTH => {
                    cut.nested(any_value::ARRAY, list, |cut, item, raw| {
                        match item.bytes() {
                            Some(item) => cut.any_value(1, item, deeper),
                            None => cut.out.extend_from_slice(raw),
                        }
                    });
                }
                (any_value::KVLIST, FieldValue::Bytes(map)) if depth < MAX_DEPTH => {
                    cut.nested(any_value::KVLIST, map, |cut, member, raw| {
                        match member.bytes() {
                            Some(member) => cut.key_value(1, member, deeper),
                            None => cut.out.extend_from_slice(raw),
                        }
                    });
                }
                _ => cut.out.extend_from_slice(raw),
            }
        });
    }

    /// A message inside the message; one in which no text can be too long stays as it is.
    fn nested(
        &mut self,
        number: u32,
        message: &[u8],
        mut put: impl FnMut(&mut Self, Field<'_>, &[u8]),
    ) {
        if message.len() <= self.most() {
            return wire::bytes_field(&mut self.out, number, message);
        }
        let mut out = mem::take(&mut self.out);
        wire::message_field(&mut out, number, |out| {
            mem::swap(out, &mut self.out);
            for (part, raw) in raw_fields(message) {
                put(self, part, raw);
            }
            mem::swap(out, &mut self.out);
        });
        self.out = out;
    }
}

/// The key of a `KeyValue`.
fn key_of(key_value: &[u8]) -> &[u8] {
    Fields::new(key_value)
        .map_while(Result::ok)
        .find(|part| part.number == 1)
        .and_then(Field::bytes)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::reader::SpanData;
    use crate::value::{Value, encode_key_value, encode_native_key_value};

    fn limits(value_bytes: u32, attributes: u32, events: u32, links: u32) -> Limits {
        Limits {
            value_bytes,
            attributes,
            events,
            links,
        }
    }

    fn counts(message: &[u8]) -> Counts {
        let count = |number| {
            let fields = Fields::new(message).map(Result::unwrap);
            fields.filter(|part| part.number == number).count() as u64
        };
        Counts {
            attributes: count(field::ATTRIBUTES),
            events: count(field::EVENTS),
            links: count(field::LINKS),
        }
    }

    /// What is left of a message, and how much was left out of it.
    fn enforced(message: &[u8], limits: &Limits) -> (SpanData, [u64; 3]) {
        let cut = enforce(message, counts(message), limits).unwrap();
        let dropped = [
            field::DROPPED_ATTRIBUTES,
            field::DROPPED_EVENTS,
            field::DROPPED_LINKS,
        ]
        .map(|number| {
            let mut found = Fields::new(&cut).map(Result::unwrap);
            let found = found.find(|part| part.number == number);
            found.and_then(Field::integer).unwrap_or(0)
        });
        (SpanData::decode(&cut).unwrap(), dropped)
    }

    fn sample(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        wire::bytes_field(&mut out, field::NAME, text.as_bytes());
        let list = [Value::Str("short"), Value::Str(text)];
        for key in ["a", "mlflow.b", "c"] {
            encode_key_value(&mut out, field::ATTRIBUTES, key, Value::Str(text));
        }
        for name in ["one", text] {
            wire::message_field(&mut out, field::EVENTS, |out| {
                wire::fixed64_field(out, 1, 7);
                wire::bytes_field(out, 2, name.as_bytes());
                encode_native_key_value(out, 3, "list", Value::Array(&list));
            });
            wire::message_field(&mut out, field::LINKS, |out| {
                wire::bytes_field(out, 1, &[1; 16]);
                wire::bytes_field(out, 2, &[2; 8]);
                encode_native_key_value(out, 4, "why", Value::Str(name));
            });
        }
        wire::message_field(&mut out, field::STATUS, |out| {
            wire::bytes_field(out, 2, text.as_bytes());
            wire::varint_field(out, 3, 2);
        });
        out
    }

    #[test]
    fn nothing_is_done_within_the_limits() {
        let message = sample("text");
        let length = message.len() as u32;
        let within = limits(length, 3, 2, 2);
        assert_eq!(enforce(&message, counts(&message), &within), None);
        for exceeded in [
            limits(length, 2, 2, 2),
            limits(length, 3, 1, 2),
            limits(length, 3, 2, 1),
        ] {
            assert!(enforce(&message, counts(&message), &exceeded).is_some());
        }
        // A long message of short texts is looked at, and stays as it is.
        let looked_at = enforce(&message, counts(&message), &limits(64, 3, 2, 2));
        assert_eq!(looked_at, Some(message));
    }

    #[test]
    fn long_texts_are_cut_wherever_they_are() {
        let text = "\u{e9}".repeat(100);
        let note = format!("{}... [truncated, 200 bytes]", "\u{e9}".repeat(35));
        let (span, dropped) = enforced(&sample(&text), &limits(71, 9, 9, 9));
        assert_eq!(dropped, [0, 0, 0]);
        assert_eq!(span.name, note);
        assert_eq!(span.status_message, note);
        assert_eq!(span.status_code, 2);
        for key in ["a", "mlflow.b", "c"] {
            assert_eq!(span.attribute(key).unwrap(), &note);
        }
        assert_eq!(span.events[1].name, note);
        assert_eq!(span.events[1].time, 7);
        let list = serde_json::json!(["short", note]);
        assert_eq!(span.events[0].attributes, [("list".to_owned(), list)]);
        assert_eq!(span.links[0].span_id, [2; 8]);
        assert_eq!(span.links[1].attributes[0].1, note);
    }

    #[test]
    fn what_is_too_many_is_counted_with_what_the_host_left_out() {
        let mut message = sample("text");
        wire::varint_field(&mut message, field::DROPPED_EVENTS, 5);
        let (span, dropped) = enforced(&message, &limits(1000, 1, 1, 0));
        // MLflow's own attributes stay, whatever their number.
        let keys: Vec<&str> = span.attributes.iter().map(|(key, _)| &key[..]).collect();
        assert_eq!(keys, [keys::TRACE_REQUEST_ID, "a", "mlflow.b"]);
        assert_eq!(span.events.len(), 1);
        assert!(span.links.is_empty());
        assert_eq!(dropped, [1, 6, 2]);
    }

    #[test]
    fn a_key_that_is_too_long_takes_its_attribute_with_it() {
        let mut message = Vec::new();
        let key = "k".repeat(65);
        encode_key_value(&mut message, field::ATTRIBUTES, &key, Value::Int(1));
        let (span, dropped) = enforced(&message, &limits(64, 9, 9, 9));
        assert_eq!(span.attribute(&key), None);
        assert_eq!(dropped, [1, 0, 0]);
    }

    #[test]
    fn texts_inside_lists_and_maps_of_any_depth_are_cut() {
        let mut value = Vec::new();
        wire::bytes_field(&mut value, any_value::STRING, &[b'x'; 100]);
        for depth in 0..20 {
            let mut outer = Vec::new();
            match depth % 2 {
                0 => wire::message_field(&mut outer, any_value::ARRAY, |out| {
                    wire::bytes_field(out, 1, &value);
                }),
                _ => wire::message_field(&mut outer, any_value::KVLIST, |out| {
                    wire::message_field(out, 1, |out| {
                        wire::bytes_field(out, 1, b"k");
                        wire::bytes_field(out, 2, &value);
                    });
                }),
            }
            value = outer;
        }
        let mut message = Vec::new();
        wire::message_field(&mut message, field::ATTRIBUTES, |out| {
            wire::bytes_field(out, 1, b"deep");
            wire::bytes_field(out, 2, &value);
        });
        let (span, _) = enforced(&message, &limits(64, 9, 9, 9));
        let text = span.attribute("deep").unwrap().to_string();
        assert!(text.contains(&format!("{}... [truncated, 100 bytes]", "x".repeat(64))));
        assert!(!text.contains(&"x".repeat(65)));
    }

    #[test]
    fn a_whole_span_is_bounded() {
        let mut message = Vec::new();
        let text = "x".repeat(8 << 20);
        for key in ["1", "2", "3", "4", "5", "6", "7", "8"] {
            encode_key_value(&mut message, field::ATTRIBUTES, key, Value::Str(&text));
        }
        let (span, dropped) = enforced(&message, &limits(8 << 20, 99, 9, 9));
        let length = |key| span.attribute(key).unwrap().as_str().unwrap().len();
        assert_eq!(length("5"), 8 << 20);
        // The last that there is room for ends with the note; further ones are left out.
        let last = span.attribute("6").unwrap().as_str().unwrap();
        assert!(last.ends_with("x... [truncated, 8388608 bytes]"));
        assert!(length("1") * 5 + last.len() < SPAN_BYTES as usize + 1024);
        assert_eq!(dropped, [2, 0, 0]);
    }
}
