import {
  type Context,
  currentContext,
  foreignSpan,
  type RemoteParent,
  runIn,
  TraceHandle,
} from './context.js';
import { parseSpanId } from './ids.js';
import { report } from './lifecycle.js';
import { UnsampledSpan } from './noop.js';
import { RecordingSpan } from './span.js';

/** The value of a header; several headers of one name may come as an array. */
type HeaderValue = string | readonly string[] | undefined;

/**
 * Headers of a request: Node's `IncomingHttpHeaders`, any plain object, pairs of name and value such as a `Headers`, a
 * `Map` or an array, or an object that finds a header by its name.
 */
export type HeadersLike =
  | Record<string, HeaderValue>
  | Iterable<readonly [string, HeaderValue]>
  | { get(name: string): string | null | undefined };

/** W3C Trace Context headers of a request to another process. */
export interface TracingContextHeaders {
  /** Trace, parent and whether it is recorded. */
  traceparent?: string;
  /** Vendors' list, as it came. */
  tracestate?: string;
}

/** The flags of W3C Trace Context level 2: sampled, and the trace id is random. */
const KNOWN_FLAGS = 0x03;
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[^]*)?$/;
const MAX_STATE_MEMBERS = 32;
const STATE_MEMBER =
  /^([a-z0-9][a-z0-9_\-*/@]{0,255})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** The headers that make a request part of the active trace; none without an active span. */
export function getTracingContextHeaders(): TracingContextHeaders & Record<string, string> {
  const foreign = foreignSpan();
  if (foreign !== undefined) return toHeaders(foreign.trace, foreign.spanId, foreign.trace.flags);
  const context = currentContext();
  const span = context?.span;
  if (span instanceof RecordingSpan) return toHeaders(span.trace, span.spanId, span.trace.flags);
  if (span instanceof UnsampledSpan) return toHeaders(span.trace, span.contextId, span.trace.flags);
  const remote = span === null ? context?.remote : null;
  return remote ? toHeaders(remote.trace, remote.spanId, remote.trace.flags) : {};
}

/**
 * Runs `run` inside the trace that the headers of a request name: spans that start in it are children of the caller's span.
 * Without such headers, or with malformed ones, they start traces of their own.
 */
export function withTracingContextFromHeaders<T>(headers: HeadersLike, run: () => T): T {
  let remote: RemoteParent | undefined;
  try {
    remote = parseHeaders(headers);
  } catch (error) {
    report(`headers of the caller's trace could not be read: ${String(error)}`);
  }
  if (remote === undefined) return run();
  const outer = currentContext();
  const context: Context = { span: null, remote, scope: outer?.scope ?? null, run: outer?.run };
  return runIn(context, run);
}

function toHeaders(
  trace: TraceHandle,
  spanId: string,
  flags: number,
): TracingContextHeaders & Record<string, string> {
  const traceparent = `00-${trace.hex}-${spanId}-${flags.toString(16).padStart(2, '0')}`;
  return trace.traceState === '' ? { traceparent } : { traceparent, tracestate: trace.traceState };
}

function parseHeaders(headers: HeadersLike): RemoteParent | undefined {
  const parents = readHeaders(headers, 'traceparent');
  if (parents.length === 0) return undefined;
  const parts = parents.length === 1 ? TRACEPARENT.exec(trim(parents[0])) : null;
  // Version ff is forbidden; only versions to come may have more fields.
  if (parts === null || parts[1] === 'ff' || (parts[1] === '00' && parts[5] !== undefined)) {
    report('the header traceparent is malformed; a new trace starts');
    return undefined;
  }
  const [, , traceId, spanId, flags] = parts;
  const state = parseState(readHeaders(headers, 'tracestate'));
  const trace = TraceHandle.fromHex(traceId, parseInt(flags, 16) & KNOWN_FLAGS, state);
  const span = parseSpanId(spanId);
  return trace && span && { trace, spanHigh: span.high, spanLow: span.low, spanId };
}

/**
 * The vendors' list as it is passed on; a list with a malformed member is dropped whole. Of several members with one key
 * the first stays: vendors put what they change at the front, so it is the latest.
 */
function parseState(lists: readonly string[]): string {
  const members = lists
    .flatMap((list) => list.split(','))
    .map(trim)
    .filter((member) => member !== '');
  if (members.length > MAX_STATE_MEMBERS) return '';
  const byKey = new Map<string, string>();
  for (const member of members) {
    const key = STATE_MEMBER.exec(member)?.[1];
    if (key === undefined) return '';
    if (!byKey.has(key)) byKey.set(key, member);
  }
  return [...byKey.values()].join(',');
}

/** The values of a header in their order, by its name in any case. */
function readHeaders(headers: HeadersLike, name: string): string[] {
  if (typeof headers !== 'object' || headers === null) return [];
  if (!isIterable(headers) && typeof headers.get === 'function') {
    const value: unknown = headers.get(name);
    return typeof value === 'string' ? [value] : [];
  }
  const pairs = isIterable(headers) ? headers : Object.entries(headers);
  const values: string[] = [];
  for (const [key, value] of pairs) {
    if (String(key).toLowerCase() !== name) continue;
    for (const one of Array.isArray(value) ? value : [value]) if (typeof one === 'string') values.push(one);
  }
  return values;
}

function isIterable(headers: HeadersLike): headers is Iterable<readonly [string, HeaderValue]> {
  return typeof (headers as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function';
}

/** Without the optional white space of HTTP, which is less than what `String.prototype.trim` takes off. */
function trim(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, '');
}
