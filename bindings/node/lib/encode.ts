import { momentToBigInt } from './clock.js';
import type { SpanRecord, StartRecord, TraceIdentity } from './record.js';
import type { AttributeValue, Plain } from './values.js';

/**
 * Writes frames for the engine into one reusable buffer: START, SPAN (a whole OTLP `Span` message, see
 * opentelemetry/proto/trace/v1/trace.proto), UPDATE, LOST and ATTACH; FOREIGN is written by `foreign.ts`. Frame header, little-endian: kind u8, flags u8, zero
 * u16, length u32. `core/src/ingest/mod.rs` says what each kind holds.
 */

/** Node's own fast writer: unlike `write` it does not look at its arguments. */
interface WireBuffer extends Buffer {
  utf8Write(text: string, offset: number): number;
  latin1Write(text: string, offset: number): number;
}

const INITIAL_BYTES = 128 * 1024;
/** A buffer that one huge span made larger than this is given back after it was drained. */
const KEPT_BYTES = 1024 * 1024;

const START = 1;
const SPAN = 2;
const UPDATE = 3;
const LOST = 4;
const ATTACH = 5;
const START_REMOTE_PARENT = 1;
const START_FOR_ERRORS = 2;
const SPAN_WITHHELD = 1;
const HEADER_BYTES = 8;

// Tags of OTLP fields: number << 3 | wire type.
const SPAN_TRACE_ID = 0x0a;
const SPAN_SPAN_ID = 0x12;
const SPAN_TRACE_STATE = 0x1a;
const SPAN_PARENT_ID = 0x22;
const SPAN_NAME = 0x2a;
const SPAN_START = 0x39;
const SPAN_END = 0x41;
const SPAN_ATTRIBUTE = 0x4a;
const SPAN_EVENT = 0x5a;
const SPAN_DROPPED_EVENTS = 0x60;
const SPAN_LINK = 0x6a;
const SPAN_STATUS = 0x7a;
const EVENT_TIME = 0x09;
const EVENT_NAME = 0x12;
const EVENT_ATTRIBUTE = 0x1a;
const LINK_ATTRIBUTE = 0x22;
const STATUS_MESSAGE = 0x12;
const STATUS_CODE = 0x18;
const STATUS_CODE_ERROR = 2;
const FIRST_MESSAGE = 0x0a;
const KEY = 0x0a;
const VALUE = 0x12;
const ANY_STRING = 0x0a;
const ANY_BOOL = 0x10;
const ANY_INT = 0x18;
const ANY_DOUBLE = 0x21;
const ANY_ARRAY = 0x2a;
const ANY_MAP = 0x32;

const TWO_32 = 4294967296;
/** Up to here a loop over the characters beats a call of the runtime's writer. */
const SHORT_TEXT = 24;
/** A key of so many characters takes at most 96 bytes, so its length is one byte. */
const SHORT_KEY = 32;
const MAX_TYPE_BYTES = 0xffff;
const MAX_CONTENT_BYTES = 0x7fffffff;
/** Room for the head of an attachment's frame, and what `openFrame` reserves. */
const ATTACH_BYTES = 256;
/** Room for everything of a span that has a fixed size. */
const FIXED_SPAN_BYTES = 128;

let buffer = Buffer.alloc(0) as WireBuffer;
/** The same bytes; V8 turns its setters into single stores. */
let view = new DataView(buffer.buffer);
let capacity = 0;
let position = 0;

/** The bytes written since the last `clearFrames`; only the first `length` of `buffer` count. */
export function pendingFrames(): { buffer: Buffer; length: number } {
  return { buffer, length: position };
}

export function clearFrames(): void {
  position = 0;
  if (capacity > KEPT_BYTES) {
    use(Buffer.alloc(0));
  }
}

/** Announces a span. `context` is JSON of what the new trace starts with, or empty. Returns the bytes pending. */
export function writeStart(span: StartRecord, context: string): number {
  const flags =
    (span.hasRemoteParent ? START_REMOTE_PARENT : 0) | (span.trace.isForErrors ? START_FOR_ERRORS : 0);
  const begin = openFrame(START, flags);
  const at = begin + HEADER_BYTES;
  setTraceId(view, at, span.trace);
  setId(view, at + 16, span.idHigh, span.idLow);
  setId(view, at + 24, span.parentHigh, span.parentLow);
  setMoment(view, at + 32, span.startHigh, span.startLow);
  position = at + 40;
  if (context !== '') putLongText(context);
  return closeFrame(begin);
}

/** Writes an ended span, whose content the engine may be told to withhold. Returns the bytes pending. */
export function writeSpan(span: SpanRecord, isWithheld: boolean): number {
  const begin = openFrame(SPAN, isWithheld ? SPAN_WITHHELD : 0);
  putIdentity(span);
  const body = position;
  try {
    putBody(span);
  } catch {
    // No memory for a value: the span itself still arrives.
    position = body;
  }
  return closeFrame(begin);
}

/** Writes changes to a trace's info. Returns the bytes pending. */
export function writeUpdate(trace: TraceIdentity, json: string): number {
  const begin = openFrame(UPDATE, 0);
  putTraceId(trace);
  putLongText(json);
  return closeFrame(begin);
}

/** Says that a span will never end. Returns the bytes pending. */
export function writeLost(span: Pick<SpanRecord, 'trace' | 'idHigh' | 'idLow'>): number {
  const begin = openFrame(LOST, 0);
  putTraceId(span.trace);
  putWord(span.idHigh);
  putWord(span.idLow);
  return closeFrame(begin);
}

/**
 * Writes content that inputs or outputs of the trace refer to. Returns the bytes pending.
 * @throws RangeError when no frame can hold it.
 */
export function writeAttachment(
  trace: TraceIdentity,
  id: string,
  contentType: string,
  content: Uint8Array,
): number {
  const typeBytes = Buffer.byteLength(contentType);
  if (typeBytes > MAX_TYPE_BYTES || content.byteLength > MAX_CONTENT_BYTES) {
    throw new RangeError('the attachment is too large');
  }
  reserve(ATTACH_BYTES + typeBytes + content.byteLength);
  const begin = openFrame(ATTACH, 0);
  putTraceId(trace);
  position += buffer.latin1Write(id, position);
  view.setUint16(position, typeBytes, true);
  position += 2;
  position += buffer.utf8Write(contentType, position);
  buffer.set(content, position);
  position += content.byteLength;
  return closeFrame(begin);
}

/** The fields of fixed size; `openFrame` reserved their room. */
function putIdentity(span: SpanRecord): void {
  const bytes = buffer;
  const words = view;
  let at = position;
  bytes[at] = SPAN_TRACE_ID;
  bytes[at + 1] = 16;
  setTraceId(words, at + 2, span.trace);
  bytes[at + 18] = SPAN_SPAN_ID;
  bytes[at + 19] = 8;
  setId(words, at + 20, span.idHigh, span.idLow);
  at += 28;
  if ((span.parentHigh | span.parentLow) !== 0) {
    bytes[at] = SPAN_PARENT_ID;
    bytes[at + 1] = 8;
    setId(words, at + 2, span.parentHigh, span.parentLow);
    at += 10;
  }
  bytes[at] = SPAN_START;
  setMoment(words, at + 1, span.startHigh, span.startLow);
  bytes[at + 9] = SPAN_END;
  setMoment(words, at + 10, span.endHigh, span.endLow);
  position = at + 18;
}

function putBody(span: SpanRecord): void {
  putText(SPAN_NAME, span.spanName);
  if (span.trace.traceState !== '') putText(SPAN_TRACE_STATE, span.trace.traceState);
  if (span.isError) {
    const mark = open(SPAN_STATUS);
    if (span.errorText !== '') putText(STATUS_MESSAGE, span.errorText);
    reserve(2);
    buffer[position++] = STATUS_CODE;
    buffer[position++] = STATUS_CODE_ERROR;
    close(mark);
  }
  if (span.type !== '') putAttribute('mlflow.spanType', span.type);
  if (span.hasGivenStart) {
    putAttribute('mlflow.spanStartTimeNs', momentToBigInt(span.startHigh, span.startLow));
  }
  if (span.input !== undefined) putAttribute('mlflow.spanInputs', span.input);
  if (span.output !== undefined) putAttribute('mlflow.spanOutputs', span.output);
  const { keys, values } = span;
  for (let i = 0; i < keys.length; i++) putAttribute(keys[i], values[i]);
  if (span.level !== 0) putAttribute('mlflow.spanLogLevel', span.level);
  for (const event of span.eventRecords) {
    const mark = open(SPAN_EVENT);
    putTime(EVENT_TIME, event.timeHigh, event.timeLow);
    putText(EVENT_NAME, event.name);
    putPlainMembers(EVENT_ATTRIBUTE, event.attributes);
    close(mark);
  }
  putCount(SPAN_DROPPED_EVENTS, span.droppedEvents);
  for (const link of span.linkRecords) {
    const mark = open(SPAN_LINK);
    reserve(32);
    buffer[position++] = SPAN_TRACE_ID;
    buffer[position++] = 16;
    putTraceId(link.trace);
    buffer[position++] = SPAN_SPAN_ID;
    buffer[position++] = 8;
    putWord(link.spanHigh);
    putWord(link.spanLow);
    putPlainMembers(LINK_ATTRIBUTE, link.attributes);
    close(mark);
  }
}

function putAttribute(key: string, value: AttributeValue): void {
  if (typeof value === 'string') {
    putTextAttribute(key, value);
  } else if (typeof value === 'object' && value !== null) {
    putTextAttribute(key, value.text);
  } else if (key.length <= SHORT_KEY) {
    // Key and value take less than 128 bytes whatever they are: lengths are one byte each and filled in afterwards.
    reserve(128);
    const bytes = buffer;
    const begin = position;
    bytes[begin] = SPAN_ATTRIBUTE;
    bytes[begin + 2] = KEY;
    const any = begin + 4 + putCharacters(key, begin + 4);
    bytes[begin + 3] = any - begin - 4;
    bytes[any] = VALUE;
    position = any + 2;
    putScalar(value);
    bytes[any + 1] = position - any - 2;
    bytes[begin + 1] = position - begin - 2;
  } else {
    putPlainMember(SPAN_ATTRIBUTE, key, value);
  }
}

function putTextAttribute(key: string, text: string): void {
  if (key.length <= SHORT_KEY && text.length <= SHORT_TEXT && tryShortAttribute(key, text)) return;
  // Nearly all text is ASCII, where bytes are characters: write on that guess, and again where it was wrong.
  if (!tryTextAttribute(key, key.length, text, text.length)) {
    tryTextAttribute(key, Buffer.byteLength(key), text, Buffer.byteLength(text));
  }
}

/** Where key and text are short and ASCII, so that all lengths are known and one byte each. */
function tryShortAttribute(key: string, text: string): boolean {
  reserve(128);
  const bytes = buffer;
  const begin = position;
  const keyBytes = key.length;
  const textBytes = text.length;
  const any = begin + 4 + keyBytes;
  if (!putAscii(bytes, key, begin + 4) || !putAscii(bytes, text, any + 4)) return false;
  bytes[begin] = SPAN_ATTRIBUTE;
  bytes[begin + 1] = 6 + keyBytes + textBytes;
  bytes[begin + 2] = KEY;
  bytes[begin + 3] = keyBytes;
  bytes[any] = VALUE;
  bytes[any + 1] = 2 + textBytes;
  bytes[any + 2] = ANY_STRING;
  bytes[any + 3] = textBytes;
  position = any + 4 + textBytes;
  return true;
}

function tryTextAttribute(key: string, keyBytes: number, text: string, textBytes: number): boolean {
  const any = 1 + varintSize(textBytes) + textBytes;
  const body = 1 + varintSize(keyBytes) + keyBytes + 1 + varintSize(any) + any;
  // The 4 spare bytes matter: text that is longer than guessed must not look as if it had just fitted.
  reserve(1 + 5 + body + 4);
  const bytes = buffer;
  let at = position;
  bytes[at] = SPAN_ATTRIBUTE;
  at = setVarint(bytes, at + 1, body);
  bytes[at] = KEY;
  at = setVarint(bytes, at + 1, keyBytes);
  if (putCharacters(key, at) !== keyBytes) return false;
  at += keyBytes;
  bytes[at] = VALUE;
  at = setVarint(bytes, at + 1, any);
  bytes[at] = ANY_STRING;
  at = setVarint(bytes, at + 1, textBytes);
  if (putCharacters(text, at) !== textBytes) return false;
  position = at + textBytes;
  return true;
}

/** A field that holds text. */
export function putText(tag: number, text: string): void {
  const guess = text.length;
  reserve(1 + 5 + guess + 4);
  const begin = position;
  buffer[position++] = tag;
  putVarint(guess);
  if (putCharacters(text, position) === guess) {
    position += guess;
    return;
  }
  position = begin;
  const bytes = Buffer.byteLength(text);
  reserve(1 + 5 + bytes);
  buffer[position++] = tag;
  putVarint(bytes);
  position += buffer.utf8Write(text, position);
}

/** Text without tag and length. */
function putLongText(text: string): void {
  reserve(Buffer.byteLength(text));
  position += buffer.utf8Write(text, position);
}

/** Writes text at `at`, as far as it fits, and returns its bytes; the position stays. */
function putCharacters(text: string, at: number): number {
  const isWritten = text.length <= SHORT_TEXT && putAscii(buffer, text, at);
  return isWritten ? text.length : buffer.utf8Write(text, at);
}

/** Writes text at `at`, for which there is room; false where it is not ASCII. */
function putAscii(bytes: Uint8Array, text: string, at: number): boolean {
  const { length } = text;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return false;
    bytes[at + i] = code;
  }
  return true;
}

export function putPlainMembers(tag: number, members: Record<string, Plain>): void {
  for (const key of Object.keys(members)) putPlainMember(tag, key, members[key]);
}

/** One KeyValue with a native value. */
function putPlainMember(tag: number, key: string, value: Plain): void {
  const member = open(tag);
  putText(KEY, key);
  const any = open(VALUE);
  putPlain(value);
  close(any);
  close(member);
}

/** The fields of an AnyValue. */
function putPlain(value: Plain): void {
  if (typeof value === 'string') {
    putText(ANY_STRING, value);
  } else if (typeof value !== 'object' || value === null) {
    reserve(12);
    putScalar(value);
  } else if (Array.isArray(value)) {
    const list = open(ANY_ARRAY);
    for (const item of value) {
      const any = open(FIRST_MESSAGE);
      putPlain(item);
      close(any);
    }
    close(list);
  } else {
    const map = open(ANY_MAP);
    putPlainMembers(FIRST_MESSAGE, value);
    close(map);
  }
}

/** The field of an AnyValue that is no text; null has none. The caller reserved 11 bytes. */
function putScalar(value: number | boolean | bigint | null): void {
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) {
      buffer[position++] = ANY_INT;
      if (value >= 0 && value < TWO_32) putVarint(value);
      else putVarint64(Math.floor(value / TWO_32) | 0, value | 0);
    } else {
      buffer[position++] = ANY_DOUBLE;
      view.setFloat64(position, value, true);
      position += 8;
    }
  } else if (typeof value === 'boolean') {
    buffer[position++] = ANY_BOOL;
    buffer[position++] = value ? 1 : 0;
  } else if (typeof value === 'bigint') {
    buffer[position++] = ANY_INT;
    putVarint64(Number(BigInt.asIntN(32, value >> 32n)), Number(BigInt.asIntN(32, value)));
  }
}

/** Begins a frame; at least `FIXED_SPAN_BYTES` can be written to it without further ado. */
export function openFrame(kind: number, flags: number): number {
  reserve(HEADER_BYTES + FIXED_SPAN_BYTES);
  const begin = position;
  view.setInt32(begin, kind | (flags << 8), true);
  position += HEADER_BYTES;
  return begin;
}

/** Ends a frame. Returns the bytes pending. */
export function closeFrame(begin: number): number {
  view.setInt32(begin + 4, position - begin - HEADER_BYTES, true);
  return position;
}

/** A field that holds an integer below 2^32; zero is left out. */
export function putCount(tag: number, value: number): void {
  if (value === 0) return;
  reserve(6);
  buffer[position++] = tag;
  putVarint(value);
}

/** The field of a span's flags: where its parent lives (`SpanFlags` of OTLP 1.1). */
export function putFlags(isParentRemote: boolean): void {
  reserve(6);
  buffer[position++] = 0x85;
  buffer[position++] = 0x01;
  view.setInt32(position, isParentRemote ? 0x300 : 0x100, true);
  position += 4;
}

/** Bytes as they are. */
export function putBytes(bytes: Uint8Array): void {
  reserve(bytes.byteLength);
  buffer.set(bytes, position);
  position += bytes.byteLength;
}

/** A field that holds a moment. */
export function putTime(tag: number, high: number, low: number): void {
  reserve(9);
  buffer[position++] = tag;
  putMoment(high, low);
}

/** A field that holds an id of so many words. */
export function putId(tag: number, words: readonly number[]): void {
  reserve(2 + 4 * words.length);
  buffer[position++] = tag;
  buffer[position++] = 4 * words.length;
  words.forEach(putWord);
}

/** Runs `write`, and gives what it wrote instead of keeping it for the engine. */
export function takeWritten(write: () => void): Buffer {
  const begin = position;
  try {
    write();
    return Buffer.from(buffer.subarray(begin, position));
  } finally {
    position = begin;
  }
}

/** Begins a nested message and guesses that its length takes one byte. */
export function open(tag: number): number {
  reserve(2);
  buffer[position] = tag;
  position += 2;
  return position;
}

export function close(mark: number): void {
  const length = position - mark;
  const extra = varintSize(length) - 1;
  if (extra > 0) {
    reserve(extra);
    buffer.copyWithin(mark + extra, mark, position);
  }
  position = mark - 1;
  putVarint(length);
  position += length;
}

function putTraceId(trace: TraceIdentity): void {
  setTraceId(view, position, trace);
  position += 16;
}

/** Identifiers are written from the highest byte. */
function putWord(word: number): void {
  view.setInt32(position, word);
  position += 4;
}

function putMoment(high: number, low: number): void {
  setMoment(view, position, high, low);
  position += 8;
}

function setTraceId(words: DataView, at: number, trace: TraceIdentity): void {
  setId(words, at, trace.id0, trace.id1);
  setId(words, at + 8, trace.id2, trace.id3);
}

function setId(words: DataView, at: number, high: number, low: number): void {
  words.setInt32(at, high);
  words.setInt32(at + 4, low);
}

/** Times are fixed64: from the lowest byte. */
function setMoment(words: DataView, at: number, high: number, low: number): void {
  words.setInt32(at, low, true);
  words.setInt32(at + 4, high, true);
}

/** Of a number below 2^32. */
function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  return value < 0x10000000 ? 4 : 5;
}

function putVarint(value: number): void {
  position = setVarint(buffer, position, value);
}

/** Writes a varint at `at`; returns where it ends. */
function setVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value > 0x7f) {
    bytes[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  bytes[at] = value;
  return at + 1;
}

function putVarint64(high: number, low: number): void {
  const bytes = buffer;
  let at = position;
  while (high !== 0 || (low & ~0x7f) !== 0) {
    bytes[at++] = (low & 0x7f) | 0x80;
    low = (low >>> 7) | (high << 25);
    high >>>= 7;
  }
  bytes[at++] = low;
  position = at;
}

function reserve(bytes: number): void {
  if (position + bytes > capacity) grow(position + bytes);
}

function grow(needed: number): void {
  const larger = Buffer.allocUnsafeSlow(Math.max(INITIAL_BYTES, needed + (needed >>> 1)));
  buffer.copy(larger, 0, 0, position);
  use(larger);
}

function use(bytes: Buffer): void {
  buffer = bytes as WireBuffer;
  view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  capacity = bytes.length;
}
