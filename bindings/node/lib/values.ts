import { EventEmitter } from 'node:events';
import { types } from 'node:util';
import { type Attacher, Attachment } from './attachment.js';

/** JSON text of an array or an object, kept as text: it is written once, when it is set. */
export class JsonText {
  constructor(readonly text: string) {}
}

/** What an attribute holds once it is recorded. */
export type AttributeValue = string | number | boolean | bigint | null | JsonText;

/** A tree of values of JSON, plus integers of 64 bits: a copy that the host can no longer change. */
export type Plain = null | boolean | number | bigint | string | Plain[] | { [key: string]: Plain };

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

// MLflow servers accept deeper JSON than they and MLflow's client can read back: an object costs 3, an array 2 of what a
// reader survives. The engine's budget is the same.
const DEPTH_BUDGET = 95;
const OBJECT_DEPTH = 3;
const ARRAY_DEPTH = 2;

/** Values visited before the quick path gives up; a graph with shared nodes grows exponentially as a tree. */
const QUICK_NODES = 2_000_000;
/** Values copied before the rest becomes `<truncated>`. */
const COPIED_NODES = 100_000;
/**
 * Characters of text that a value keeps: as many as the engine keeps bytes by default (`limits.value_bytes`). Without a
 * bound the copies on the way would take many times the value's room, and no string may be longer than 2^29.
 */
const MAX_TEXT = 8 * 2 ** 20;
/** The bytes whose base64 is that long. */
const MAX_BYTES = (MAX_TEXT / 4) * 3;

/** The recorded form of any value of the host; attachments in it go to `attacher`. Never throws. */
export function toAttributeValue(value: unknown, attacher?: Attacher): AttributeValue {
  // Not by a `switch`, for which V8 makes the name of the type.
  if (typeof value === 'string') return head(value, MAX_TEXT);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  switch (typeof value) {
    case 'boolean':
      return value;
    case 'object': {
      if (value === null) return null;
      const quick = quickJson(value);
      if (quick !== undefined) return new JsonText(quick);
      const plain = toPlain(value, attacher);
      return typeof plain === 'object' && plain !== null ? new JsonText(plainToText(plain)) : plain;
    }
    case 'undefined':
      return null;
    default:
      return toPlain(value) as AttributeValue;
  }
}

/** What a recorded value reads as. */
export function fromAttributeValue(value: AttributeValue): unknown {
  return value instanceof JsonText ? (JSON.parse(value.text) as unknown) : value;
}

/** A plain copy of any value. Never throws. */
export function toPlain(value: unknown, attacher?: Attacher): Plain {
  return new Copier(attacher).copy(value, DEPTH_BUDGET);
}

/** JSON text of anything. Never throws. */
export function toJson(value: unknown): string {
  const recorded = toAttributeValue(value);
  return recorded instanceof JsonText ? recorded.text : plainToText(recorded);
}

/** Text of anything, for a message. Never throws. */
export function toText(value: unknown): string {
  const plain = toPlain(value);
  return typeof plain === 'object' && plain !== null ? plainToText(plain) : String(plain);
}

let quickNodes = 0;
let quickText = 0;

/** JSON text by the runtime's own serialiser, where that loses nothing; undefined where the careful copy is needed. */
function quickJson(value: object): string | undefined {
  try {
    quickNodes = 0;
    quickText = 0;
    if (!isPlainJson(value, DEPTH_BUDGET)) return undefined;
    const text = JSON.stringify(value);
    // The serialiser escapes a lone surrogate, and a reader would get it back as one.
    return text.length > MAX_TEXT || text.includes('\\ud') ? undefined : text;
  } catch {
    return undefined;
  }
}

function isPlainJson(value: unknown, budget: number): boolean {
  switch (typeof value) {
    case 'string':
      quickText += value.length;
      return quickText <= MAX_TEXT;
    case 'boolean':
    case 'undefined':
      return true;
    case 'number':
      return Number.isFinite(value) && Math.abs(value) < 2 ** 63;
    case 'object':
      break;
    default:
      return false;
  }
  if (value === null) return true;
  if (++quickNodes > QUICK_NODES) return false;
  if (Array.isArray(value)) {
    if (budget < ARRAY_DEPTH || 'toJSON' in value) return false;
    return value.every((item) => isPlainJson(item, budget - ARRAY_DEPTH));
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  if (budget < OBJECT_DEPTH || 'toJSON' in value) return false;
  const record = value as Record<string, unknown>;
  for (const key in record) {
    if (!isPlainJson(record[key], budget - OBJECT_DEPTH)) return false;
  }
  return true;
}

/** Copies values of any kind. One per value: it remembers the way down, to notice cycles. */
class Copier {
  private readonly ancestors: object[] = [];
  private nodes = 0;
  /** Characters of text that may still be copied. */
  private room = MAX_TEXT;
  private insideText = false;

  constructor(private readonly attacher: Attacher | undefined) {}

  copy(value: unknown, budget: number): Plain {
    switch (typeof value) {
      case 'string':
        return this.copyText(value);
      case 'boolean':
        return value;
      case 'number':
        return Number.isFinite(value) ? value : String(value);
      case 'bigint': {
        const copied = copyBigInt(value);
        return typeof copied === 'string' ? this.copyText(copied) : copied;
      }
      case 'symbol':
        return this.copyText(String(value));
      case 'undefined':
        return null;
      case 'function':
        return unlessThrown(() => `<function ${value.name || 'anonymous'}>`);
      case 'object':
        return value === null ? null : unlessThrown(() => this.copyObject(value, budget));
    }
  }

  private copyText(text: string): string {
    const kept = head(text, this.room);
    this.room = Math.max(0, this.room - text.length);
    return kept.isWellFormed() ? kept : kept.toWellFormed();
  }

  private copyObject(value: object, budget: number): Plain {
    if (value instanceof Attachment && this.attacher !== undefined) return this.attacher.attach(value);
    if (this.ancestors.includes(value)) return '<cycle>';
    const leaf = copyLeaf(value);
    if (leaf !== undefined) return typeof leaf === 'string' ? this.copyText(leaf) : leaf;
    this.ancestors.push(value);
    try {
      const toJSON: unknown = (value as { toJSON?: unknown }).toJSON;
      if (typeof toJSON === 'function') {
        const replaced: unknown = Reflect.apply(toJSON, value, ['']);
        if (replaced !== value) return this.copy(replaced, budget);
      }
      const cost = isList(value) ? ARRAY_DEPTH : OBJECT_DEPTH;
      return budget < cost ? this.copyAsText(value) : this.copyContainer(value, budget - cost);
    } finally {
      this.ancestors.pop();
    }
  }

  /** What lies too deep for a reader becomes a string that holds its JSON text. */
  private copyAsText(value: object): Plain {
    if (this.insideText) return '<too deep>';
    this.insideText = true;
    try {
      return plainToText(this.copyContainer(value, DEPTH_BUDGET));
    } finally {
      this.insideText = false;
    }
  }

  private copyContainer(value: object, budget: number): Plain {
    if (Array.isArray(value)) return this.copyList(value, budget);
    if (types.isSet(value)) return this.copyList(value, budget);
    if (ArrayBuffer.isView(value)) return this.copyList(value as unknown as Iterable<unknown>, budget);
    if (types.isMap(value)) return this.copyMap(value, budget);
    const record = emptyRecord();
    if (types.isNativeError(value) || value instanceof Error) {
      for (const key of ['name', 'message', 'cause'] as const) {
        if (value[key] !== undefined) record[key] = this.copy(value[key], budget);
      }
    }
    for (const key of Object.keys(value)) {
      if (this.isFull()) {
        record['<truncated>'] = true;
        break;
      }
      const item = unlessThrown(() => (value as Record<string, unknown>)[key]);
      if (item !== undefined) record[this.copyText(key)] = this.copy(item, budget);
    }
    return record;
  }

  private copyList(values: Iterable<unknown>, budget: number): Plain {
    const list: Plain[] = [];
    for (const item of values) {
      if (this.isFull()) {
        list.push('<truncated>');
        break;
      }
      list.push(this.copy(item, budget));
    }
    return list;
  }

  /** A map whose keys are primitives is an object; any other a list of pairs. */
  private copyMap(value: ReadonlyMap<unknown, unknown>, budget: number): Plain {
    const isRecord = [...value.keys()].every((key) => key === null || typeof key !== 'object');
    if (!isRecord) return this.copyList(value, budget);
    const record = emptyRecord();
    for (const [key, item] of value) {
      if (this.isFull()) {
        record['<truncated>'] = true;
        break;
      }
      record[this.copyText(String(key))] = this.copy(item, budget);
    }
    return record;
  }

  private isFull(): boolean {
    return ++this.nodes > COPIED_NODES;
  }
}

/** Objects that stand for one value; undefined for all others. */
function copyLeaf(value: object): Plain | undefined {
  if (types.isDate(value)) {
    return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  }
  if (types.isUint8Array(value) || types.isUint8ClampedArray(value) || types.isDataView(value)) {
    return copyBytes(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  }
  if (types.isAnyArrayBuffer(value)) return copyBytes(Buffer.from(value));
  if (types.isBoxedPrimitive(value)) return toPlain((value as { valueOf(): unknown }).valueOf());
  if (types.isRegExp(value)) return String(value);
  if (types.isPromise(value)) return '<Promise>';
  // Streams, sockets and servers drag half the process behind them.
  if (value instanceof EventEmitter || isLazyIterable(value)) return `<${className(value)}>`;
  return undefined;
}

function copyBytes(bytes: Buffer): string {
  const text = bytes.toString('base64', 0, MAX_BYTES);
  return bytes.length <= MAX_BYTES ? text : `${text}... [truncated, ${bytes.length} bytes]`;
}

/** As much of a text as `length` characters hold, with a note of how long it was. */
function head(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}... [truncated, ${text.length} characters]`;
}

function isLazyIterable(value: object): boolean {
  return Symbol.asyncIterator in value || types.isGeneratorObject(value);
}

function isList(value: object): boolean {
  return Array.isArray(value) || types.isSet(value) || ArrayBuffer.isView(value);
}

function copyBigInt(value: bigint): Plain {
  if (value < INT64_MIN || value > INT64_MAX) return String(value);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function emptyRecord(): Record<string, Plain> {
  // Without a prototype `__proto__` is a key like any other.
  return Object.create(null) as Record<string, Plain>;
}

/** Name of a value's class, as the host wrote it. */
export function className(value: object): string {
  const name: unknown = (value.constructor as { name?: unknown } | undefined)?.name;
  return typeof name === 'string' && name !== '' ? name : 'Object';
}

/** What `read` gives, or a text that says why it cannot be read. */
function unlessThrown<T>(read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    try {
      return `<unreadable: ${String(error)}>`.toWellFormed();
    } catch {
      return '<unreadable>';
    }
  }
}

function plainToText(plain: Plain): string {
  switch (typeof plain) {
    case 'string':
      return JSON.stringify(plain);
    case 'number':
      // Written out in digits, this would be an integer that no reader can hold in 64 bits.
      return Math.abs(plain) >= 2 ** 63 ? plain.toExponential() : JSON.stringify(plain);
    case 'object':
      break;
    default:
      return String(plain);
  }
  if (plain === null) return 'null';
  if (Array.isArray(plain)) return `[${plain.map(plainToText).join(',')}]`;
  const members = Object.entries(plain).map(([key, item]) => `${JSON.stringify(key)}:${plainToText(item)}`);
  return `{${members.join(',')}}`;
}
