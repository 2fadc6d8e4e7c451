/**
 * The OpenTelemetry SDK for JavaScript on this engine: its spans and ours share traces. Importing this module makes each
 * kind of span the parent of what starts inside it, whichever API starts that; it registers nothing with OpenTelemetry.
 */
import {
  context as otelContext,
  createTraceState,
  isSpanContextValid,
  type Span,
  type SpanContext,
  trace as otelTrace,
} from '@opentelemetry/api';
import { noteEnd, noteStart } from './abandoned.js';
import { takeMoment } from './clock.js';
import { type Context, currentContext, joinForeign, type RemoteParent, type TraceHandle } from './context.js';
import { writeStart } from './encode.js';
import { describeException } from './exception.js';
import { encodeRequest, type OtelSpan, parseContext, toNanoseconds, writeForeign } from './foreign.js';
import { parseSpanId } from './ids.js';
import { canRecord, flushTraces, isDisabled, recorded, recordedEnd, report, settings } from './lifecycle.js';
import { native, type NativeOtelExporter } from './native.js';
import { UnsampledSpan } from './noop.js';
import type { StartRecord } from './record.js';
import { noteRootEnd, RecordingSpan } from './span.js';

export type { OtelEvent, OtelSpan, OtelTime } from './foreign.js';

const SAMPLED = 0x01;
/** How long a provider that shuts down waits for deliveries. */
const SHUTDOWN_TIMEOUT_MS = 5000;
/** How long spans wait for the root of their trace: five minutes. */
const ROOT_WAIT_MS = 300_000;
const SUCCESS = 0;
const FAILED = 1;

/**
 * Records the spans of a provider from their start to their end, in the traces of ours. A trace is complete when its root
 * has ended and no span of either kind is open. Use this rather than the exporter where you can: nothing waits, and every
 * span is counted.
 *
 *     new NodeTracerProvider({ spanProcessors: [new MlflowSpanProcessor()] }).register();
 */
export class MlflowSpanProcessor {
  private readonly open = new WeakMap<object, OpenSpan>();

  /** Notes that a span has started. Never throws. */
  onStart(span: OtelSpan): void {
    try {
      if (!isSampled(span.spanContext()) || currentContext()?.scope?.enabled === false) return;
      if (!canRecord() || isDisabled()) return;
      const started = new OpenSpan(span);
      this.open.set(span, started);
      noteStart(started);
      recorded(writeStart(started, ''));
    } catch (error) {
      report(`a span of OpenTelemetry was not recorded: ${describeException(error).message}`);
    }
  }

  /** Takes a span that has ended. Never throws. */
  onEnd(span: OtelSpan): void {
    const started = this.open.get(span);
    if (started === undefined || started.isEnded) return;
    started.isEnded = true;
    if (started.isWatched) noteEnd(started);
    if ((started.parentHigh | started.parentLow) === 0) noteRootEnd(started.trace);
    try {
      recordedEnd(writeForeign(span, mustWithhold()));
    } catch (error) {
      report(`a span of OpenTelemetry was lost: ${describeException(error).message}`);
    }
  }

  /** Waits until all that has ended is delivered or given up; what is left shows in `stats()`. Never rejects. */
  async forceFlush(): Promise<void> {
    await flushTraces();
  }

  /** Delivers what has ended. Recording goes on: the engine is not the provider's alone. Never rejects. */
  async shutdown(): Promise<void> {
    await flushTraces(SHUTDOWN_TIMEOUT_MS);
  }
}

/** What came of an export: `code` 0 is success, 1 failure. */
export interface OtelExportResult {
  /** 0 is success, 1 failure. */
  code: number;
  /** What went wrong. */
  error?: Error;
}

/** Settings of a `MlflowSpanExporter`. */
export interface OtelExporterOptions {
  /** Longest wait for the root of a trace, in milliseconds; five minutes when left out. */
  rootWaitMs?: number;
}

/**
 * Delivers batches of spans, for processors that allow nothing but an exporter. Spans wait for the root of their trace and
 * go as one trace with it. They go without the trace's information when its root does not come in time, and when it is one
 * of ours.
 */
export class MlflowSpanExporter {
  private readonly rootWaitMs: number;
  private engine: NativeOtelExporter | undefined;

  /** @throws RangeError when `rootWaitMs` is no number of milliseconds. */
  constructor({ rootWaitMs = ROOT_WAIT_MS }: OtelExporterOptions = {}) {
    if (!(rootWaitMs >= 0 && rootWaitMs <= 0xffffffff)) {
      throw new RangeError(`rootWaitMs: ${rootWaitMs} is no number of milliseconds from 0 to 4294967295`);
    }
    this.rootWaitMs = rootWaitMs;
  }

  /** Queues a batch; neither blocks nor does I/O. Never throws. */
  export(spans: readonly OtelSpan[], resultCallback: (result: OtelExportResult) => void): void {
    resultCallback(this.take(spans));
  }

  /** Delivers what has ended, roots or not. Never rejects. */
  async forceFlush(): Promise<void> {
    this.engine?.release();
    await flushTraces();
  }

  /** Delivers what has ended. Recording goes on: the engine is not the provider's alone. Never rejects. */
  async shutdown(): Promise<void> {
    this.engine?.release();
    await flushTraces(SHUTDOWN_TIMEOUT_MS);
  }

  private take(spans: readonly OtelSpan[]): OtelExportResult {
    try {
      if (spans.length === 0 || !canRecord() || isDisabled()) return { code: SUCCESS };
      this.engine ??= new (native().OtelExporter)(Math.ceil(this.rootWaitMs));
      const request = encodeRequest(spans, mustWithhold());
      if (this.engine.submit(request, request.length)) return { code: SUCCESS };
      return { code: FAILED, error: new Error('mlflow-trace did not take all spans') };
    } catch (error) {
      return { code: FAILED, error: error instanceof Error ? error : new Error(String(error)) };
    }
  }
}

/** A span of the SDK that has started, without the span itself: it must not be kept from being garbage. */
class OpenSpan implements StartRecord {
  readonly trace: TraceHandle;
  readonly idHigh: number;
  readonly idLow: number;
  readonly parentHigh: number;
  readonly parentLow: number;
  readonly hasRemoteParent: boolean;
  readonly startHigh: number;
  readonly startLow: number;
  isEnded = false;
  isWatched = false;

  constructor(span: OtelSpan) {
    const ids = parseContext(span.spanContext());
    if (ids === undefined) throw new RangeError('it has no valid ids');
    this.trace = ids.trace;
    this.idHigh = ids.spanHigh;
    this.idLow = ids.spanLow;
    const parent = span.parentSpanContext && parseSpanId(span.parentSpanContext.spanId);
    this.parentHigh = parent?.high ?? 0;
    this.parentLow = parent?.low ?? 0;
    this.hasRemoteParent = span.parentSpanContext?.isRemote === true;
    const start = { high: 0, low: 0 };
    takeMoment(toNanoseconds(span.startTime), start);
    this.startHigh = start.high;
    this.startLow = start.low;
  }
}

function isSampled(context: SpanContext): boolean {
  return (context.traceFlags & SAMPLED) !== 0;
}

/** Processors are made for spans of ours: what they have not seen goes without its content. */
function mustWithhold(): boolean {
  return settings.withholdsContent || settings.hasProcessors;
}

/** What stands for our spans in OpenTelemetry's context. */
const ours = new WeakSet<Span>();
const known = new WeakMap<SpanContext, RemoteParent>();

/** OpenTelemetry's current span; undefined where that stands for one of ours. */
function current(): RemoteParent | undefined {
  const span = otelTrace.getSpan(otelContext.active());
  if (span === undefined || ours.has(span)) return undefined;
  const context = span.spanContext();
  let parent = known.get(context);
  if (parent === undefined && isSpanContextValid(context)) {
    const ids = parseContext(context);
    if (ids === undefined) return undefined;
    parent = { ...ids, spanId: context.spanId };
    known.set(context, parent);
  }
  return parent;
}

/** Runs `run` with what stands for the span of `context` as OpenTelemetry's current one. */
function runWith<T>(context: Context, run: () => T): T {
  const spanContext = contextOf(context);
  if (spanContext === undefined) return run();
  const span = otelTrace.wrapSpanContext(spanContext);
  ours.add(span);
  return otelContext.with(otelTrace.setSpan(otelContext.active(), span), run);
}

function contextOf({ span, remote }: Context): SpanContext | undefined {
  if (span instanceof RecordingSpan) return toContext(span.trace, span.spanId);
  if (span instanceof UnsampledSpan) return toContext(span.trace, span.contextId);
  return remote === null ? undefined : toContext(remote.trace, remote.spanId);
}

function toContext(trace: TraceHandle, spanId: string): SpanContext {
  const traceState = trace.traceState === '' ? undefined : createTraceState(trace.traceState);
  // Its root is not among the spans of any SDK, whose exporters must not wait for it.
  return { traceId: trace.hex, spanId, traceFlags: trace.flags, isRemote: true, traceState };
}

joinForeign({ current, run: runWith });
