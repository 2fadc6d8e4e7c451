import { NO_OP_SPAN_TRACE_ID, type SpanStatus } from './constants.js';
import type { TraceHandle } from './context.js';
import type { SpanEvent, SpanLink } from './entities/span.js';
import { spanIdToHex } from './ids.js';
import { type LiveSpan, STATUS_UNSET } from './span.js';

/** A span that records nothing: tracing is off here, or cannot work. */
export class NoOpSpan implements LiveSpan {
  /* eslint-disable @typescript-eslint/class-literal-property-style --
     fields would have to be filled in for every trace that is not sampled */
  get traceId(): string {
    return NO_OP_SPAN_TRACE_ID;
  }

  get spanId(): string {
    return '';
  }

  get parentId(): null {
    return null;
  }

  get name(): string {
    return '';
  }

  get spanType(): string {
    return 'UNKNOWN';
  }

  get logLevel(): null {
    return null;
  }

  get inputs(): undefined {
    return undefined;
  }

  get outputs(): undefined {
    return undefined;
  }

  get status(): SpanStatus {
    return STATUS_UNSET;
  }

  get startTimeNs(): bigint {
    return 0n;
  }

  get endTimeNs(): null {
    return null;
  }
  /* eslint-enable @typescript-eslint/class-literal-property-style */

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

/** Stands for all spans below one place of a trace that is not sampled. What they call learns of that decision. */
export class UnsampledSpan extends NoOpSpan {
  constructor(
    readonly trace: TraceHandle,
    readonly idHigh: number,
    readonly idLow: number,
  ) {
    super();
  }

  /** The span id for other processes. */
  get contextId(): string {
    return spanIdToHex(this.idHigh, this.idLow);
  }
}
