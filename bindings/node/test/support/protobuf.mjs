// A reader of protobuf wire format that shares nothing with the encoder under test.

/** The fields of a message as `[number, wireType, value]`, in order. */
export function readFields(bytes) {
  const fields = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= bytes.length) throw new Error('truncated varint');
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0n) throw new Error('varint is longer than it needs to be');
        return value;
      }
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const [number, type] = [tag >> 3, tag & 7];
    if (type === 0) {
      fields.push([number, type, varint()]);
    } else if (type === 1) {
      fields.push([number, type, Buffer.from(bytes.subarray(at, at + 8))]);
      at += 8;
    } else if (type === 2) {
      const length = Number(varint());
      if (at + length > bytes.length) throw new Error('length runs past the end');
      fields.push([number, type, bytes.subarray(at, at + length)]);
      at += length;
    } else {
      throw new Error(`unexpected wire type ${type}`);
    }
  }
  return fields;
}

const text = (bytes) => new TextDecoder('utf-8', { fatal: true }).decode(bytes);
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const all = (fields, number) => fields.filter((field) => field[0] === number).map((field) => field[2]);
const one = (fields, number) => all(fields, number)[0];

function readAnyValue(bytes) {
  const [field] = readFields(bytes);
  if (field === undefined) return null;
  const [number, , value] = field;
  switch (number) {
    case 1:
      return text(value);
    case 2:
      return value === 1n;
    case 3:
      return BigInt.asIntN(64, value);
    case 4:
      return value.readDoubleLE();
    case 5:
      return all(readFields(value), 1).map(readAnyValue);
    case 6:
      return readAttributes(all(readFields(value), 1));
    default:
      throw new Error(`unexpected AnyValue field ${number}`);
  }
}

function readAttributes(keyValues) {
  return Object.fromEntries(
    keyValues.map((keyValue) => {
      const fields = readFields(keyValue);
      return [text(one(fields, 1)), readAnyValue(one(fields, 2))];
    }),
  );
}

/** An OTLP `Span` message. Integers are bigints, so that they differ from doubles. */
export function readSpan(bytes) {
  const fields = readFields(bytes);
  const status = readFields(one(fields, 15) ?? Buffer.alloc(0));
  return {
    traceId: hex(one(fields, 1)),
    spanId: hex(one(fields, 2)),
    traceState: one(fields, 3) && text(one(fields, 3)),
    parentId: one(fields, 4) && hex(one(fields, 4)),
    name: text(one(fields, 5)),
    start: one(fields, 7).readBigUInt64LE(),
    end: one(fields, 8).readBigUInt64LE(),
    attributes: readAttributes(all(fields, 9)),
    events: all(fields, 11).map((event) => {
      const parts = readFields(event);
      return {
        time: one(parts, 1).readBigUInt64LE(),
        name: text(one(parts, 2)),
        attributes: readAttributes(all(parts, 3)),
      };
    }),
    droppedEvents: one(fields, 12) ?? 0n,
    links: all(fields, 13).map((link) => {
      const parts = readFields(link);
      return {
        traceId: hex(one(parts, 1)),
        spanId: hex(one(parts, 2)),
        attributes: readAttributes(all(parts, 4)),
      };
    }),
    status: { code: Number(one(status, 3) ?? 0n), message: one(status, 2) && text(one(status, 2)) },
  };
}

/** The frames that lie back to back in `bytes`. */
export function readFrames(bytes) {
  const frames = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32LE(at + 4);
    frames.push({
      kind: bytes[at],
      flags: bytes[at + 1],
      reserved: bytes.readUInt16LE(at + 2),
      payload: Buffer.from(bytes.subarray(at + 8, at + 8 + length)),
    });
    at += 8 + length;
  }
  return frames;
}
