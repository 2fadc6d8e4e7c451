import { NO_OP_SPAN_TRACE_ID } from './constants.js';
import { type LiveSpan, type SpanEvent, type SpanLink, STATUS_UNSET } from './span.js';

/** A span that records nothing: tracing is off here, or cannot work. */
export class NoOpSpan implements LiveSpan {
  readonly traceId = NO_OP_SPAN_TRACE_ID;
  readonly spanId = '';
  readonly parentId = null;
  readonly name = '';
  readonly spanType = 'UNKNOWN';
  readonly logLevel = null;
  readonly inputs = undefined;
  readonly outputs = undefined;
  readonly status = STATUS_UNSET;
  readonly startTimeNs = 0n;
  readonly endTimeNs = null;

  get attributes(): Record<string, unknown> {
    return {};
  }

  get events(): SpanEvent[] {
    return [];
  }

  get links(): SpanLink[] {
    return [];
  }

  getAttribute(): undefined {
    return undefined;
  }

  setInputs(): void {}
  setOutputs(): void {}
  setAttribute(): void {}
  setAttributes(): void {}
  setSpanType(): void {}
  setLogLevel(): void {}
  setStatus(): void {}
  addEvent(): void {}
  addLink(): void {}
  recordException(): void {}
  end(): void {}
  [Symbol.dispose](): void {}
}

export const noOpSpan = new NoOpSpan();
