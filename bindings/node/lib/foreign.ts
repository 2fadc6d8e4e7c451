import type { Link, SpanContext } from '@opentelemetry/api';
import { type Moment, takeMoment } from './clock.js';
import { TraceHandle } from './context.js';
import {
  close,
  closeFrame,
  open,
  openFrame,
  putBytes,
  putCount,
  putFlags,
  putId,
  putPlainMembers,
  putText,
  putTime,
  takeWritten,
} from './encode.js';
import { parseSpanId } from './ids.js';
import { type Plain, toPlain } from './values.js';

/** A span of an OpenTelemetry SDK: what is read of the `ReadableSpan` of `@opentelemetry/sdk-trace-base` 2.x. */
export interface OtelSpan {
  readonly name: string;
  readonly kind: number;
  readonly parentSpanContext?: SpanContext;
  readonly startTime: OtelTime;
  readonly endTime: OtelTime;
  readonly status: { readonly code: number; readonly message?: string };
  readonly attributes: object;
  readonly links: Link[];
  readonly events: OtelEvent[];
  readonly instrumentationScope: { readonly name: string; readonly version?: string };
  readonly droppedAttributesCount: number;
  readonly droppedEventsCount: number;
  readonly droppedLinksCount: number;
  spanContext(): SpanContext;
}

/** Seconds since the Unix epoch, and nanoseconds. */
export type OtelTime = [number, number];

/** Something that happened at one moment of an `OtelSpan`. */
export interface OtelEvent {
  readonly time: OtelTime;
  readonly name: string;
  readonly attributes?: object;
  readonly droppedAttributesCount?: number;
}

const FOREIGN = 6;
const FOREIGN_WITHHELD = 1;
const WITHHELD_TEXT = '[redaction failed]';

// Tags of OTLP fields: number << 3 | wire type.
const REQUEST_RESOURCE_SPANS = 0x0a;
const RESOURCE_SCOPE_SPANS = 0x12;
const SCOPE = 0x0a;
const SCOPE_NAME = 0x0a;
const SCOPE_VERSION = 0x12;
const SCOPE_SPAN = 0x12;
const TRACE_ID = 0x0a;
const SPAN_ID = 0x12;
const TRACE_STATE = 0x1a;
const PARENT_ID = 0x22;
const NAME = 0x2a;
const KIND = 0x30;
const START = 0x39;
const END = 0x41;
const ATTRIBUTE = 0x4a;
const DROPPED_ATTRIBUTES = 0x50;
const EVENT = 0x5a;
const DROPPED_EVENTS = 0x60;
const LINK = 0x6a;
const DROPPED_LINKS = 0x70;
const STATUS = 0x7a;
const STATUS_MESSAGE = 0x12;
const STATUS_CODE = 0x18;
const EVENT_TIME = 0x09;
const EVENT_NAME = 0x12;
const EVENT_ATTRIBUTE = 0x1a;
const EVENT_DROPPED = 0x20;
const LINK_STATE = 0x1a;
const LINK_ATTRIBUTE = 0x22;
const LINK_DROPPED = 0x28;

const scratch: Moment = { high: 0, low: 0 };

/** The ids of a context; undefined where they are none. */
export function parseContext(
  context: SpanContext,
): { trace: TraceHandle; spanHigh: number; spanLow: number } | undefined {
  const state = context.traceState?.serialize() ?? '';
  const trace = TraceHandle.fromHex(context.traceId, context.traceFlags, state);
  const span = parseSpanId(context.spanId);
  return trace && span && { trace, spanHigh: span.high, spanLow: span.low };
}

/** A time in nanoseconds since the Unix epoch. */
export function toNanoseconds([seconds, nanoseconds]: OtelTime): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(Math.round(nanoseconds));
}

/** Writes an ended span, whose content the engine may be told to withhold. Returns the bytes pending. */
export function writeForeign(span: OtelSpan, isWithheld: boolean): number {
  // Made aside: a span that turns out to be unreadable half way must leave nothing behind.
  const message = takeWritten(() => putScopeSpans([span], false));
  const begin = openFrame(FOREIGN, isWithheld ? FOREIGN_WITHHELD : 0);
  putBytes(message);
  return closeFrame(begin);
}

/** An `ExportTraceServiceRequest` with these spans, without their content where that is to be withheld. */
export function encodeRequest(spans: readonly OtelSpan[], isWithheld: boolean): Buffer {
  const byScope = new Map<unknown, OtelSpan[]>();
  for (const span of spans) {
    const group = byScope.get(span.instrumentationScope);
    if (group === undefined) byScope.set(span.instrumentationScope, [span]);
    else group.push(span);
  }
  return takeWritten(() => {
    const resource = open(REQUEST_RESOURCE_SPANS);
    for (const group of byScope.values()) {
      const scope = open(RESOURCE_SCOPE_SPANS);
      putScopeSpans(group, isWithheld);
      close(scope);
    }
    close(resource);
  });
}

/** The fields of a `ScopeSpans` message. */
function putScopeSpans(spans: readonly OtelSpan[], isWithheld: boolean): void {
  const { name, version } = spans[0].instrumentationScope;
  const scope = open(SCOPE);
  putText(SCOPE_NAME, name);
  if (version !== undefined) putText(SCOPE_VERSION, version);
  close(scope);
  for (const span of spans) {
    const message = open(SCOPE_SPAN);
    putSpan(span, isWithheld);
    close(message);
  }
}

function putSpan(span: OtelSpan, isWithheld: boolean): void {
  const context = span.spanContext();
  putContext(context, TRACE_STATE);
  const parent = span.parentSpanContext;
  const parentId = parent && parseSpanId(parent.spanId);
  if (parentId) putId(PARENT_ID, [parentId.high, parentId.low]);
  putText(NAME, span.name);
  putCount(KIND, span.kind + 1);
  putHrTime(START, span.startTime);
  putHrTime(END, span.endTime);
  putCount(DROPPED_ATTRIBUTES, span.droppedAttributesCount);
  putCount(DROPPED_EVENTS, span.droppedEventsCount);
  putCount(DROPPED_LINKS, span.droppedLinksCount);
  putFlags(parent?.isRemote === true);
  const status = open(STATUS);
  const { code, message } = span.status;
  if (message !== undefined) putText(STATUS_MESSAGE, isWithheld ? WITHHELD_TEXT : message);
  putCount(STATUS_CODE, code);
  close(status);
  if (isWithheld) return;
  putMembers(ATTRIBUTE, span.attributes);
  for (const event of span.events) putEvent(event);
  for (const link of span.links) putLink(link);
}

function putContext(context: SpanContext, stateTag: number): void {
  const ids = parseContext(context);
  if (ids === undefined) throw new RangeError('the span has no valid ids');
  const { trace, spanHigh, spanLow } = ids;
  putId(TRACE_ID, [trace.id0, trace.id1, trace.id2, trace.id3]);
  putId(SPAN_ID, [spanHigh, spanLow]);
  if (trace.traceState !== '') putText(stateTag, trace.traceState);
}

function putEvent(event: OtelEvent): void {
  const mark = open(EVENT);
  putHrTime(EVENT_TIME, event.time);
  putText(EVENT_NAME, event.name);
  if (event.attributes !== undefined) putMembers(EVENT_ATTRIBUTE, event.attributes);
  putCount(EVENT_DROPPED, event.droppedAttributesCount ?? 0);
  close(mark);
}

function putLink(link: Link): void {
  // One without valid ids says nothing.
  if (parseContext(link.context) === undefined) return;
  const mark = open(LINK);
  putContext(link.context, LINK_STATE);
  if (link.attributes !== undefined) putMembers(LINK_ATTRIBUTE, link.attributes);
  putCount(LINK_DROPPED, link.droppedAttributesCount ?? 0);
  close(mark);
}

function putMembers(tag: number, attributes: object): void {
  putPlainMembers(tag, toPlain(attributes) as Record<string, Plain>);
}

function putHrTime(tag: number, time: OtelTime): void {
  if (!takeMoment(toNanoseconds(time), scratch)) scratch.high = scratch.low = 0;
  putTime(tag, scratch.high, scratch.low);
}
