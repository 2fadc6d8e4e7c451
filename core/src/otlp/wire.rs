//! The protobuf wire format, written by hand: a generated encoder costs six times as much per span.

/// Wire types (protobuf encoding, "Message Structure").
pub(crate) const VARINT: u32 = 0;
pub(crate) const FIXED64: u32 = 1;
pub(crate) const LENGTH: u32 = 2;
pub(crate) const FIXED32: u32 = 5;

/// Bytes reserved for the length of a nested message before it is known: enough for 2 MiB - 1.
const SHORT_LENGTH: usize = 1;

#[inline]
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes `value` takes as a varint.
#[inline]
pub(crate) fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// How many bytes a length-delimited field takes, for field numbers up to 15.
pub(crate) fn field_len(payload: usize) -> usize {
    1 + varint_len(payload as u64) + payload
}

#[inline]
fn tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    varint(out, u64::from(number << 3 | wire_type));
}

/// The tag and length of a length-delimited field whose payload follows.
#[inline]
pub(crate) fn length_prefix(out: &mut Vec<u8>, number: u32, length: usize) {
    tag(out, number, LENGTH);
    varint(out, length as u64);
}

#[inline]
pub(crate) fn bytes_field(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    length_prefix(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

#[inline]
pub(crate) fn varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, VARINT);
    varint(out, value);
}

#[inline]
pub(crate) fn fixed32_field(out: &mut Vec<u8>, number: u32, value: u32) {
    tag(out, number, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

#[inline]
pub(crate) fn fixed64_field(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A nested message written in place. Its length is patched in afterwards; only messages of 128
/// bytes and more pay for moving their payload by the extra length bytes.
#[inline]
pub(crate) fn message_field(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, number, LENGTH);
    let length_at = out.len();
    out.push(0);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    let needed = varint_len(length as u64);
    if needed == SHORT_LENGTH {
        out[length_at] = length as u8;
        return;
    }
    let end = out.len();
    out.resize(end + needed - SHORT_LENGTH, 0);
    out.copy_within(start..end, length_at + needed);
    let mut value = length as u64;
    for byte in &mut out[length_at..length_at + needed] {
        *byte = value as u8 & 0x7f | 0x80;
        value >>= 7;
    }
    out[length_at + needed - 1] &= 0x7f;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_lengths_of_every_width() {
        for size in [0usize, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let payload = vec![7u8; size];
            let mut nested = Vec::new();
            message_field(&mut nested, 3, |out| out.extend_from_slice(&payload));
            let mut flat = Vec::new();
            bytes_field(&mut flat, 3, &payload);
            assert_eq!(nested, flat);
            assert_eq!(flat.len(), field_len(size));
        }
    }

    #[test]
    fn varint_lengths() {
        for value in [0, 1, 127, 128, 1 << 14, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }
}
