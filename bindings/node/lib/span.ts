import { randomUUID } from 'node:crypto';
import { noteEnd, noteStart } from './abandoned.js';
import { type Attacher, type Attachment, attachmentUri } from './attachment.js';
import { isBefore, type Moment, momentToBigInt, stamp, takeMoment } from './clock.js';
import {
  SpanLogLevel,
  type SpanStatus,
  SpanStatusCode,
  type SpanType,
  toSpanLogLevel,
  TRACE_ID_PREFIX,
} from './constants.js';
import { TraceHandle } from './context.js';
import { writeAttachment, writeSpan, writeStart } from './encode.js';
import { SpanEvent, SpanLink } from './entities/span.js';
import { describeException } from './exception.js';
import { parseSpanId, spanIdToHex } from './ids.js';
import { recorded, recordedEnd, report, settings } from './lifecycle.js';
import { endHooks, type ProcessedSpan, runHooks, startHooks } from './processors.js';
import type { SpanEventRecord, SpanLinkRecord, SpanRecord } from './record.js';
import {
  type AttributeValue,
  fromAttributeValue,
  type Plain,
  toAttributeValue,
  toPlain,
  toText,
} from './values.js';

/** Something that happened at one moment of a span: a `SpanEvent`, or any object like one. */
export interface SpanEventLike {
  /** What happened. */
  readonly name: string;
  /** More about it. */
  readonly attributes?: Record<string, unknown>;
  /** Nanoseconds since the Unix epoch; now when left out. */
  readonly timestamp?: bigint | number;
}

/** A span of another trace that has to do with this one: a `SpanLink`, or any object like one. */
export interface SpanLinkLike {
  /** `tr-` and 32 hex digits, or the digits alone. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** What the two have to do with each other. */
  readonly attributes?: Record<string, unknown>;
}

/** A status: an object, a `SpanStatusCode`, or `OK`, `ERROR`, `UNSET`. */
export type SpanStatusLike = SpanStatus | SpanStatusCode | 'OK' | 'ERROR' | 'UNSET';

/** What may be set as a span ends. */
export interface EndOptions {
  /** What it came to. */
  outputs?: unknown;
  /** As `setAttributes`. */
  attributes?: Record<string, unknown>;
  /** As `setStatus`; OK unless an error was recorded. */
  status?: SpanStatusLike;
  /** Nanoseconds since the Unix epoch; now when left out, and never before the start. */
  endTimeNs?: bigint | number;
}

/**
 * A span that is being recorded, or a stand-in that records nothing. No method throws: what cannot be recorded as it is
 * is recorded as text. After `end` nothing can be changed.
 */
export interface LiveSpan {
  /** `tr-` and 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** 16 hex digits; null for the root. */
  readonly parentId: string | null;
  /** What is done. */
  readonly name: string;
  /** What kind of work it is; `UNKNOWN` unless it was set. */
  readonly spanType: SpanType;
  /** Its severity; null until one is set, and then MLflow's default at the end. */
  readonly logLevel: SpanLogLevel | null;
  /** What it was given; undefined without. */
  readonly inputs: unknown;
  /** What it came to; undefined without. */
  readonly outputs: unknown;
  /** All attributes as they were recorded, MLflow's own among them. */
  readonly attributes: Record<string, unknown>;
  /** What happened so far. */
  readonly events: SpanEvent[];
  /** Spans of other traces that have to do with it. */
  readonly links: SpanLink[];
  /** What it has come to; OK at the end unless an error was recorded. */
  readonly status: SpanStatus;
  /** Nanoseconds since the Unix epoch. */
  readonly startTimeNs: bigint;
  /** Nanoseconds since the Unix epoch; null until the end. */
  readonly endTimeNs: bigint | null;
  /** The value of one attribute as it was recorded; undefined without. */
  getAttribute(key: string): unknown;
  /** Any value: see `docs/values.md`. */
  setInputs(inputs: unknown): void;
  /** Any value: see `docs/values.md`. */
  setOutputs(outputs: unknown): void;
  /** Any value: see `docs/values.md`. Of one key the last value counts. */
  setAttribute(key: string, value: unknown): void;
  /** As `setAttribute` for each member. */
  setAttributes(attributes: Record<string, unknown>): void;
  /** One of `SpanType`, or any other text. */
  setSpanType(spanType: SpanType): void;
  /** A level or its name; one that does not exist is ignored. */
  setLogLevel(level: SpanLogLevel | string): void;
  /** OK is final, UNSET changes nothing. `description` counts for ERROR. */
  setStatus(status: SpanStatusLike, description?: string): void;
  /** Adds something that happened now, or at its `timestamp`. */
  addEvent(event: SpanEventLike): void;
  addEvent(name: string, attributes?: Record<string, unknown>): void;
  /** Adds a span of another trace that has to do with this one. */
  addLink(link: SpanLinkLike): void;
  /** Adds the event `exception` and sets the status to ERROR. */
  recordException(error: unknown): void;
  /** Ends the span; only the first call counts. */
  end(options?: EndOptions): void;
  [Symbol.dispose](): void;
}

/** Where a new span stands. */
export interface SpanPlace {
  readonly trace: TraceHandle;
  readonly parentHigh: number;
  readonly parentLow: number;
  readonly hasRemoteParent: boolean;
}

/** Attributes after which finding one by a scan takes longer than keeping an index. */
const SCANNED_KEYS = 32;
const LETTER_M = 'm'.charCodeAt(0);
const STATUS_OK: SpanStatus = Object.freeze({ statusCode: SpanStatusCode.OK, description: '' });
export const STATUS_UNSET: SpanStatus = Object.freeze({ statusCode: SpanStatusCode.UNSET, description: '' });

const noKeys: string[] = [];
const noValues: AttributeValue[] = [];
const noEvents: SpanEventRecord[] = [];
const noLinks: SpanLinkRecord[] = [];
const scratch: Moment = { high: 0, low: 0 };

let lastActiveTrace: TraceHandle | undefined;

/** Id of the trace whose root ended last in this thread. */
export function getLastActiveTraceId(): string | undefined {
  return lastActiveTrace?.mlflowId;
}

/** Takes note that a trace's root has ended. */
export function noteRootEnd(trace: TraceHandle): void {
  lastActiveTrace = trace;
}

/** A span that is being recorded. The fields are what `encode.ts` writes. */
export class RecordingSpan implements ProcessedSpan, SpanRecord, Attacher {
  readonly trace: TraceHandle;
  readonly parentHigh: number;
  readonly parentLow: number;
  readonly hasRemoteParent: boolean;
  readonly startHigh: number;
  readonly startLow: number;
  readonly hasGivenStart: boolean;
  endHigh = 0;
  endLow = 0;
  type = '';
  level = 0;
  input: AttributeValue | undefined = undefined;
  output: AttributeValue | undefined = undefined;
  keys = noKeys;
  values = noValues;
  eventRecords = noEvents;
  droppedEvents = 0;
  linkRecords = noLinks;
  isError = false;
  errorText = '';
  isEnded = false;
  /** Its end is decided, and for its processors to see. */
  private isEnding = false;
  isInHook = false;
  isWithheld = false;
  isWatched = false;
  private statusCode: SpanStatusCode = SpanStatusCode.UNSET;
  private index: Map<string, number> | undefined = undefined;
  /** References to the attachments that it was given. */
  private references: Map<Attachment, string> | undefined = undefined;

  constructor(
    readonly spanName: string,
    place: SpanPlace,
    readonly idHigh: number,
    readonly idLow: number,
    startTimeNs: bigint | number | undefined,
    context: string,
  ) {
    this.trace = place.trace;
    this.parentHigh = place.parentHigh;
    this.parentLow = place.parentLow;
    this.hasRemoteParent = place.hasRemoteParent;
    this.hasGivenStart = takeMoment(startTimeNs, scratch);
    if (!this.hasGivenStart) stamp(place.trace.anchor, scratch);
    this.startHigh = scratch.high;
    this.startLow = scratch.low;
    noteStart(this);
    recorded(writeStart(this, context));
  }

  get traceId(): string {
    return this.trace.mlflowId;
  }

  get spanId(): string {
    return spanIdToHex(this.idHigh, this.idLow);
  }

  get parentId(): string | null {
    return (this.parentHigh | this.parentLow) === 0 ? null : spanIdToHex(this.parentHigh, this.parentLow);
  }

  get name(): string {
    return this.spanName;
  }

  get spanType(): SpanType {
    return this.type === '' ? 'UNKNOWN' : this.type;
  }

  get logLevel(): SpanLogLevel | null {
    return this.level === 0 ? null : (this.level as SpanLogLevel);
  }

  get inputs(): unknown {
    return this.input === undefined ? undefined : fromAttributeValue(this.input);
  }

  get outputs(): unknown {
    return this.output === undefined ? undefined : fromAttributeValue(this.output);
  }

  get attributes(): Record<string, unknown> {
    const entries: [string, unknown][] = [
      ['mlflow.traceRequestId', this.traceId],
      ['mlflow.spanType', this.spanType],
    ];
    if (this.hasGivenStart) entries.push(['mlflow.spanStartTimeNs', this.startTimeNs]);
    if (this.input !== undefined) entries.push(['mlflow.spanInputs', this.inputs]);
    if (this.output !== undefined) entries.push(['mlflow.spanOutputs', this.outputs]);
    this.keys.forEach((key, i) => entries.push([key, fromAttributeValue(this.values[i])]));
    if (this.level !== 0) entries.push(['mlflow.spanLogLevel', this.level]);
    return Object.fromEntries(entries);
  }

  get events(): SpanEvent[] {
    return this.eventRecords.map(
      ({ name, attributes, timeHigh, timeLow }) =>
        new SpanEvent({ name, attributes: { ...attributes }, timestamp: momentToBigInt(timeHigh, timeLow) }),
    );
  }

  get links(): SpanLink[] {
    return this.linkRecords.map(
      (link) =>
        new SpanLink({
          traceId: (link.trace as TraceHandle).mlflowId,
          spanId: spanIdToHex(link.spanHigh, link.spanLow),
          attributes: { ...link.attributes },
        }),
    );
  }

  get status(): SpanStatus {
    if (this.isError) return { statusCode: SpanStatusCode.ERROR, description: this.errorText };
    // A span that ended without an error went well, as in MLflow's SDKs.
    return this.isEnded || this.isEnding || this.statusCode === SpanStatusCode.OK ? STATUS_OK : STATUS_UNSET;
  }

  get startTimeNs(): bigint {
    return momentToBigInt(this.startHigh, this.startLow);
  }

  get endTimeNs(): bigint | null {
    return this.isEnded || this.isEnding ? momentToBigInt(this.endHigh, this.endLow) : null;
  }

  getAttribute(key: string): unknown {
    return this.attributes[key];
  }

  setInputs(inputs: unknown): void {
    if (!this.isEnded) this.input = inputs === undefined ? undefined : toAttributeValue(inputs, this);
  }

  setOutputs(outputs: unknown): void {
    if (!this.isEnded) this.output = outputs === undefined ? undefined : toAttributeValue(outputs, this);
  }

  setAttribute(key: string, value: unknown): void {
    this.takeAttribute(key, value, -1);
  }

  setAttributes(attributes: Record<string, unknown>): void {
    if (typeof attributes !== 'object' || attributes === null) return;
    // Keys of one object differ from each other. What is read may set attributes as well.
    let count = this.keys === noKeys ? 0 : -1;
    try {
      // V8 reads members that it goes through like this without looking them up.
      for (const key in attributes) {
        if (!Object.prototype.hasOwnProperty.call(attributes, key)) continue;
        let value: unknown;
        try {
          value = attributes[key];
        } catch (error) {
          value = `<unreadable: ${describeException(error).message}>`;
        }
        count = this.takeAttribute(key, value, count);
      }
    } catch {
      // A proxy that does not tell its keys has no attributes to record.
    }
  }

  setSpanType(spanType: SpanType): void {
    if (!this.isEnded && typeof spanType === 'string') this.type = spanType;
  }

  setLogLevel(level: SpanLogLevel | string): void {
    if (this.isEnded) return;
    try {
      this.level = toSpanLogLevel(level);
    } catch (error) {
      report(String(error));
    }
  }

  setStatus(status: SpanStatusLike, description?: string): void {
    if (!this.isEnded) unlessHostile('span status', () => this.takeStatus(status, description));
  }

  addEvent(eventOrName: SpanEventLike | string, attributes?: Record<string, unknown>): void {
    if (this.isEnded) return;
    unlessHostile('span event', () => {
      this.takeEvent(typeof eventOrName === 'object' ? eventOrName : { name: eventOrName, attributes });
    });
  }

  addLink(link: SpanLinkLike): void {
    if (!this.isEnded) unlessHostile('span link', () => this.takeLink(link));
  }

  recordException(error: unknown): void {
    if (this.isEnded) return;
    const { type, message, stacktrace } = describeException(error);
    this.addEvent('exception', {
      'exception.message': message,
      'exception.type': type,
      'exception.stacktrace': stacktrace,
    });
    this.setStatus(SpanStatusCode.ERROR, `${type}: ${message}`);
  }

  end(options?: EndOptions): void {
    if (this.isEnded || this.isInHook) return;
    let endTimeNs: bigint | number | undefined;
    if (options !== undefined) {
      unlessHostile('an option of end', () => {
        if (options.outputs !== undefined) this.setOutputs(options.outputs);
        if (options.attributes !== undefined) this.setAttributes(options.attributes);
        if (options.status !== undefined) this.setStatus(options.status);
        endTimeNs = options.endTimeNs;
      });
    }
    if (!takeMoment(endTimeNs, scratch)) stamp(this.trace.anchor, scratch);
    if (isBefore(scratch.high, scratch.low, this.startHigh, this.startLow)) {
      scratch.high = this.startHigh;
      scratch.low = this.startLow;
    }
    this.endHigh = scratch.high;
    this.endLow = scratch.low;
    if (endHooks.length !== 0) {
      this.isEnding = true;
      runHooks(endHooks, this);
    }
    this.isEnded = true;
    if (this.hasRemoteParent || (this.parentHigh | this.parentLow) === 0) lastActiveTrace = this.trace;
    if (this.isWatched) noteEnd(this);
    try {
      recordedEnd(writeSpan(this, this.isWithheld || mustWithhold()));
    } catch (error) {
      report(`a span was lost: ${describeException(error).message}`);
    }
  }

  [Symbol.dispose](): void {
    this.end();
  }

  /** Hands an attachment over, once for each span. */
  attach(attachment: Attachment): string {
    const known = this.references?.get(attachment);
    if (known !== undefined) return known;
    const id = randomUUID();
    const contentType = attachment.contentType.toWellFormed();
    recorded(writeAttachment(this.trace, id, contentType, attachment.content));
    const reference = attachmentUri(id, contentType, this.traceId, attachment.content.byteLength);
    this.references ??= new Map();
    this.references.set(attachment, reference);
    return reference;
  }

  /** A span that is put into a value is shown as what it is, without its insides. */
  toJSON(): unknown {
    return { traceId: this.traceId, spanId: this.spanId, parentId: this.parentId, name: this.name };
  }

  /**
   * Takes an attribute. Where there are as many as the caller knows, all of them with other keys, it is a new one.
   * Returns how many the caller knows now.
   */
  private takeAttribute(key: string, value: unknown, known: number): number {
    if (this.isEnded || typeof key !== 'string' || key === '') return known;
    if (key.charCodeAt(0) === LETTER_M && key.startsWith('mlflow.') && this.setReserved(key, value)) {
      return known;
    }
    const recordedValue = toAttributeValue(value);
    if (this.keys === noKeys) {
      this.keys = [];
      this.values = [];
    }
    const isNew = this.keys.length === known;
    const at = isNew ? -1 : this.find(key);
    if (at >= 0) {
      this.values[at] = recordedValue;
      return -1;
    }
    this.index?.set(key, this.keys.length);
    this.keys.push(key);
    this.values.push(recordedValue);
    return isNew ? known + 1 : -1;
  }

  private takeStatus(status: SpanStatusLike, description: string | undefined): void {
    const isObject = typeof status === 'object';
    const code = toStatusCode(isObject ? status.statusCode : status);
    if (code === undefined) throw new RangeError(`${toText(status)} is none of OK, ERROR, UNSET`);
    // OK is final and UNSET changes nothing, as OpenTelemetry asks.
    if (this.statusCode === SpanStatusCode.OK || code === SpanStatusCode.UNSET) return;
    const text = description ?? (isObject ? status.description : '');
    this.statusCode = code;
    this.isError = code === SpanStatusCode.ERROR;
    this.errorText = this.isError ? String(text) : '';
  }

  private takeEvent(event: SpanEventLike): void {
    const name = String(event.name);
    const isException = name === 'exception';
    if (isException) this.level = Math.max(this.level, SpanLogLevel.ERROR);
    if (this.eventRecords.length >= settings.maxEvents) {
      this.droppedEvents++;
      // What went wrong takes the place of what else happened last.
      const at = isException ? this.eventRecords.findLastIndex(({ name }) => name !== 'exception') : -1;
      if (at < 0) return;
      this.eventRecords.splice(at, 1);
    }
    const attributes = toMembers(event.attributes);
    if (!takeMoment(event.timestamp, scratch)) stamp(this.trace.anchor, scratch);
    if (this.eventRecords === noEvents) this.eventRecords = [];
    this.eventRecords.push({ name, timeHigh: scratch.high, timeLow: scratch.low, attributes });
  }

  private takeLink(link: SpanLinkLike): void {
    const trace = TraceHandle.fromHex(link.traceId.replace(TRACE_ID_PREFIX, ''), 0, '');
    const span = parseSpanId(link.spanId);
    if (trace === undefined || span === undefined) {
      throw new RangeError(`${link.traceId} ${link.spanId} is no trace and span id`);
    }
    const attributes = toMembers(link.attributes);
    if (this.linkRecords === noLinks) this.linkRecords = [];
    this.linkRecords.push({ trace, spanHigh: span.high, spanLow: span.low, attributes });
  }

  /** Keys that are fields here. True when `key` is one of them. */
  private setReserved(key: string, value: unknown): boolean {
    switch (key) {
      case 'mlflow.spanInputs':
        this.setInputs(value);
        return true;
      case 'mlflow.spanOutputs':
        this.setOutputs(value);
        return true;
      case 'mlflow.spanType':
        this.setSpanType(value as SpanType);
        return true;
      case 'mlflow.spanLogLevel':
        this.setLogLevel(value as SpanLogLevel);
        return true;
      case 'mlflow.traceRequestId':
        return true;
      default:
        return false;
    }
  }

  private find(key: string): number {
    const { keys } = this;
    if (keys.length < SCANNED_KEYS) {
      for (let i = 0; i < keys.length; i++) if (keys[i] === key) return i;
      return -1;
    }
    this.index ??= new Map(keys.map((name, i) => [name, i]));
    return this.index.get(key) ?? -1;
  }
}

let isWithholdingReported = false;

/** Whether no content may be sent from here: nobody sees to it that what should be taken out is. */
function mustWithhold(): boolean {
  if (settings.withholdsContent) return true;
  if (!settings.hasProcessors || startHooks.length + endHooks.length !== 0) return false;
  if (!isWithholdingReported) {
    isWithholdingReported = true;
    report('this thread has no span processors, unlike the one that called init: content is withheld');
  }
  return true;
}

function toMembers(attributes: Record<string, unknown> | undefined): Record<string, Plain> {
  const plain = toPlain(attributes);
  return typeof plain === 'object' && plain !== null && !Array.isArray(plain) ? plain : {};
}

function toStatusCode(value: unknown): SpanStatusCode | undefined {
  switch (value) {
    case 'OK':
    case SpanStatusCode.OK:
      return SpanStatusCode.OK;
    case 'ERROR':
    case SpanStatusCode.ERROR:
      return SpanStatusCode.ERROR;
    case 'UNSET':
    case SpanStatusCode.UNSET:
      return SpanStatusCode.UNSET;
    default:
      return undefined;
  }
}

/** Runs `take`; what it throws over is reported and ignored: recording does not throw into the host. */
function unlessHostile(what: string, take: () => void): void {
  try {
    take();
  } catch (error) {
    report(`${what} ignored: ${describeException(error).message}`);
  }
}
