//! Frames of hosts that encode their spans themselves.

pub(crate) fn frame(kind: u8, payload: &[&[u8]]) -> Vec<u8> {
    let payload = payload.concat();
    let mut out = vec![kind, 0, 0, 0];
    out.extend((payload.len() as u32).to_le_bytes());
    out.extend(payload);
    out
}

/// Announces a span; ids are the byte repeated, parent 0 is a root.
pub(crate) fn start(trace: u8, span: u8, parent: u8, context: &str) -> Vec<u8> {
    let ids: [&[u8]; 5] = [
        &[trace; 16],
        &[span; 8],
        &[parent; 8],
        &[0; 8],
        context.as_bytes(),
    ];
    frame(1, &ids)
}

/// A length-delimited field of a protobuf message.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

/// An attribute with a text.
pub(crate) fn text(key: &str, value: &str) -> Vec<u8> {
    let value = field(1, value.as_bytes());
    field(9, &[field(1, key.as_bytes()), field(2, &value)].concat())
}

/// Ends a span; `more` are fields of its OTLP message.
pub(crate) fn end(trace: u8, span: u8, parent: u8, name: &str, more: &[u8]) -> Vec<u8> {
    let parent = match parent {
        0 => Vec::new(),
        parent => field(4, &[parent; 8]),
    };
    let fields: [&[u8]; 5] = [
        &field(1, &[trace; 16]),
        &field(2, &[span; 8]),
        &parent,
        &field(5, name.as_bytes()),
        more,
    ];
    frame(2, &fields)
}
