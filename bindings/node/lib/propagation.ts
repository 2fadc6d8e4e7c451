import { type Context, currentContext, type RemoteParent, runIn, TraceHandle } from './context.js';
import { parseSpanId } from './ids.js';
import { report } from './lifecycle.js';
import { RecordingSpan } from './span.js';

/** Headers of a request: Node's `IncomingHttpHeaders`, any plain object, a `Headers` or a `Map`. */
export type HeadersLike =
  Record<string, string | readonly string[] | undefined> | { get(name: string): string | null | undefined };

/** W3C Trace Context headers of a request to another process. */
export interface TracingContextHeaders {
  traceparent?: string;
  tracestate?: string;
}

/** A span that is recorded is sampled, whatever the caller did with its own. */
const SAMPLED = 0x01;
const MAX_STATE_MEMBERS = 32;
const STATE_MEMBER =
  /^[a-z0-9][a-z0-9_\-*/]{0,255}(?:@[a-z0-9][a-z0-9_\-*/]{0,255})?=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** The headers that make a request part of the active trace; none without an active span. */
export function getTracingContextHeaders(): TracingContextHeaders & Record<string, string> {
  const context = currentContext();
  const span = context?.span;
  if (span instanceof RecordingSpan) return toHeaders(span.trace, span.spanId, span.trace.flags | SAMPLED);
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
  const context: Context = { span: null, remote, scope: currentContext()?.scope ?? null };
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
  const traceparent = readHeader(headers, 'traceparent');
  if (traceparent === undefined) return undefined;
  const parts = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(traceparent.trim());
  // Version ff is forbidden; only versions to come may have more fields.
  if (parts === null || parts[1] === 'ff' || (parts[1] === '00' && parts[5] !== undefined)) {
    report('the header traceparent is malformed; a new trace starts');
    return undefined;
  }
  const [, , traceId, spanId, flags] = parts;
  const trace = TraceHandle.fromHex(
    traceId,
    parseInt(flags, 16) & 0x03,
    parseState(readHeader(headers, 'tracestate')),
  );
  const span = parseSpanId(spanId);
  return trace && span && { trace, spanHigh: span.high, spanLow: span.low, spanId };
}

/** The vendors' list as it is passed on; a list with a malformed member is dropped whole, as the standard asks. */
function parseState(header: string | undefined): string {
  const members = (header ?? '')
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '');
  const isValid = members.length <= MAX_STATE_MEMBERS && members.every((member) => STATE_MEMBER.test(member));
  return isValid ? members.join(',') : '';
}

/** A header by its name in any case; several of the same name are one list. */
function readHeader(headers: HeadersLike, name: string): string | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined;
  if (typeof headers.get === 'function') return headers.get(name) ?? undefined;
  for (const [key, value] of Object.entries(headers)) {
    if (key.toLowerCase() !== name) continue;
    if (typeof value === 'string') return value;
    if (Array.isArray(value)) return value.join(',');
  }
  return undefined;
}
