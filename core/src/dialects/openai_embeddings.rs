//! `openai.embeddings`: vectors, which the client libraries ask for in base64 because that is shorter.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Object;

/// The reply with its vectors as numbers; there are no streams.
#[inline(never)]
pub(super) fn fold(mut events: &mut dyn Iterator<Item = Object>) -> Object {
    let Some(mut reply) = Iterator::find(&mut events, |event| event.contains_key("data")) else {
        return Object::new();
    };
    if let Some(Value::Array(items)) = reply.get_mut("data") {
        for item in items {
            if let Some(embedding) = item.get_mut("embedding")
                && let Some(numbers) = embedding.as_str().and_then(decoded)
            {
                *embedding = numbers;
            }
        }
    }
    reply
}

/// The numbers, which are of single precision and in little-endian order.
fn decoded(text: &str) -> Option<Value> {
    let bytes = STANDARD.decode(text).ok()?;
    let (numbers, []) = bytes.as_chunks::<4>() else {
        return None;
    };
    let numbers = numbers
        .iter()
        .map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
    Some(numbers.collect())
}
