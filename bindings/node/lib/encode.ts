import { momentToBigInt } from './clock.js';
import { JsonText, type AttributeValue, type Plain } from './values.js';

/**
 * Writes frames for the engine into one reusable buffer: START, SPAN (a whole OTLP `Span` message, see
 * opentelemetry/proto/trace/v1/trace.proto), UPDATE, LOST and ATTACH; FOREIGN is written by `foreign.ts`. Frame header, little-endian: kind u8, flags u8, zero
 * u16, length u32. `core/src/ingest/mod.rs` says what each kind holds.
 */

/** What of a trace goes into its spans' frames. Words are 32 bits, signed. */
export interface TraceIdentity {
  readonly id0: number;
  readonly id1: number;
  readonly id2: number;
  readonly id3: number;
  readonly traceState: string;
  /** The engine keeps the trace only if a span of it fails. */
  readonly isForErrors: boolean;
}

export interface SpanEventRecord {
  readonly name: string;
  readonly timeHigh: number;
  readonly timeLow: number;
  readonly attributes: Record<string, Plain>;
}

export interface SpanLinkRecord {
  readonly trace: TraceIdentity;
  readonly spanHigh: number;
  readonly spanLow: number;
  readonly attributes: Record<string, Plain>;
}

/** What is known of a span when it starts. */
export interface StartRecord {
  readonly trace: TraceIdentity;
  readonly idHigh: number;
  readonly idLow: number;
  readonly parentHigh: number;
  readonly parentLow: number;
  readonly hasRemoteParent: boolean;
  readonly startHigh: number;
  readonly startLow: number;
}

/** What a span's frames are written from. */
export interface SpanRecord extends StartRecord {
  /** The host told when it started, which MLflow keeps as an attribute. */
  readonly hasGivenStart: boolean;
  readonly endHigh: number;
  readonly endLow: number;
  readonly spanName: string;
  readonly type: string;
  readonly level: number;
  readonly input: AttributeValue | undefined;
  readonly output: AttributeValue | undefined;
  readonly keys: readonly string[];
  readonly values: readonly AttributeValue[];
  readonly eventRecords: readonly SpanEventRecord[];
  readonly droppedEvents: number;
  readonly linkRecords: readonly SpanLinkRecord[];
  /** Any other status is OK in the end, which the engine writes. */
  readonly isError: boolean;
  readonly errorText: string;
}

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
  putTraceId(span.trace);
  putWord(span.idHigh);
  putWord(span.idLow);
  putWord(span.parentHigh);
  putWord(span.parentLow);
  putMoment(span.startHigh, span.startLow);
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
  buffer[position++] = SPAN_TRACE_ID;
  buffer[position++] = 16;
  putTraceId(span.trace);
  buffer[position++] = SPAN_SPAN_ID;
  buffer[position++] = 8;
  putWord(span.idHigh);
  putWord(span.idLow);
  if ((span.parentHigh | span.parentLow) !== 0) {
    buffer[position++] = SPAN_PARENT_ID;
    buffer[position++] = 8;
    putWord(span.parentHigh);
    putWord(span.parentLow);
  }
  buffer[position++] = SPAN_START;
  putMoment(span.startHigh, span.startLow);
  buffer[position++] = SPAN_END;
  putMoment(span.endHigh, span.endLow);
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
  } else if (value instanceof JsonText) {
    putTextAttribute(key, value.text);
  } else if (key.length <= SHORT_KEY) {
    // Key and value take less than 128 bytes whatever they are: lengths are one byte each and filled in afterwards.
    reserve(128);
    const begin = position;
    buffer[begin] = SPAN_ATTRIBUTE;
    buffer[begin + 2] = KEY;
    const keyBytes = putCharacters(key, begin + 4);
    buffer[begin + 3] = keyBytes;
    const any = begin + 4 + keyBytes;
    buffer[any] = VALUE;
    position = any + 2;
    putScalar(value);
    buffer[any + 1] = position - any - 2;
    buffer[begin + 1] = position - begin - 2;
  } else {
    putPlainMember(SPAN_ATTRIBUTE, key, value);
  }
}

function putTextAttribute(key: string, text: string): void {
  // Nearly all text is ASCII, where bytes are characters: write on that guess, and again where it was wrong.
  if (!tryTextAttribute(key, key.length, text, text.length)) {
    tryTextAttribute(key, Buffer.byteLength(key), text, Buffer.byteLength(text));
  }
}

function tryTextAttribute(key: string, keyBytes: number, text: string, textBytes: number): boolean {
  const any = 1 + varintSize(textBytes) + textBytes;
  const body = 1 + varintSize(keyBytes) + keyBytes + 1 + varintSize(any) + any;
  // The 4 spare bytes matter: text that is longer than guessed must not look as if it had just fitted.
  reserve(1 + 5 + body + 4);
  const begin = position;
  buffer[position++] = SPAN_ATTRIBUTE;
  putVarint(body);
  buffer[position++] = KEY;
  putVarint(keyBytes);
  if (putCharacters(key, position) !== keyBytes) {
    position = begin;
    return false;
  }
  position += keyBytes;
  buffer[position++] = VALUE;
  putVarint(any);
  buffer[position++] = ANY_STRING;
  putVarint(textBytes);
  if (putCharacters(text, position) !== textBytes) {
    position = begin;
    return false;
  }
  position += textBytes;
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
  const { length } = text;
  if (length > SHORT_TEXT) return buffer.utf8Write(text, at);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return buffer.utf8Write(text, at);
    buffer[at + i] = code;
  }
  return length;
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
  putWord(trace.id0);
  putWord(trace.id1);
  putWord(trace.id2);
  putWord(trace.id3);
}

/** Identifiers are written from the highest byte. */
function putWord(word: number): void {
  view.setInt32(position, word);
  position += 4;
}

/** Times are fixed64: from the lowest byte. */
function putMoment(high: number, low: number): void {
  view.setInt32(position, low, true);
  view.setInt32(position + 4, high, true);
  position += 8;
}

/** Of a number below 2^32. */
function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  return value < 0x10000000 ? 4 : 5;
}

function putVarint(value: number): void {
  while (value > 0x7f) {
    buffer[position++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  buffer[position++] = value;
}

function putVarint64(high: number, low: number): void {
  while (high !== 0 || (low & ~0x7f) !== 0) {
    buffer[position++] = (low & 0x7f) | 0x80;
    low = (low >>> 7) | (high << 25);
    high >>>= 7;
  }
  buffer[position++] = low;
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
