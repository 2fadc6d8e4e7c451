import { DEFAULT_SPAN_NAME, type SpanType } from './constants.js';
import {
  type Context,
  contextOf,
  currentContext,
  foreignSpan,
  type RemoteParent,
  runIn,
  runScoped,
  TraceHandle,
  type TraceScope,
} from './context.js';
import { writeUpdate } from './encode.js';
import { describeException } from './exception.js';
import { follow } from './follow.js';
import { randomNonZeroWord, randomWord } from './ids.js';
import { canRecord, isDisabled, recorded, report, settings } from './lifecycle.js';
import { NoOpSpan, noOpSpan, UnsampledSpan } from './noop.js';
import { runHooks, startHooks } from './processors.js';
import { isKeptForErrors, isSampled } from './sampling.js';
import { type LiveSpan, RecordingSpan, type SpanPlace } from './span.js';
import { type TraceUpdate, updateJson } from './update.js';

/** The flag of W3C Trace Context that says that a trace is recorded. */
const SAMPLED = 0x01;

/** How a span starts. */
export interface SpanOptions {
  /** What is done; `span` when left out. */
  name?: string;
  /** What kind of work it is: one of `SpanType`, or any other text. */
  spanType?: SpanType;
  /** What it is given: any value, see `docs/values.md`. */
  inputs?: unknown;
  /** Any values, see `docs/values.md`. */
  attributes?: Record<string, unknown>;
  /** Nanoseconds since the Unix epoch; now when left out. */
  startTimeNs?: bigint | number;
  /** The span above; null starts a new trace; left out, it is the active span. */
  parent?: LiveSpan | null;
  /** Share of the traces that start here that is recorded, 0 to 1, instead of `samplingRatio`; for roots only. */
  samplingRatioOverride?: number;
}

/** What holds for all traces that start inside a `tracingContext`. */
export interface TracingContextOptions extends Pick<TraceUpdate, 'tags' | 'metadata' | 'sessionId' | 'user'> {
  /** False: spans that start inside are not recorded. */
  enabled?: boolean;
}

/** Starts a span. It does not become active: give it to `parent`, or use `withSpan`. End it with `end`. Never throws. */
export function startSpan(options: SpanOptions): LiveSpan {
  try {
    return createSpan(options.name ?? DEFAULT_SPAN_NAME, options);
  } catch (error) {
    report(`a span could not be started: ${describeException(error).message}`);
    return noOpSpan;
  }
}

/**
 * Runs `callback` inside a new span that is active in all it calls. What it returns, or its promise resolves to, becomes the
 * outputs, unless some were set; what it throws is recorded and thrown on. The span ends with it.
 */
export function withSpan<T>(callback: (span: LiveSpan) => T, options: SpanOptions = {}): T {
  const span = startSpan(options);
  return runInside(span, () => callback(span));
}

/** Runs `run` with `span` active, and ends the span with what comes of it. */
export function runInside<T>(span: LiveSpan, run: () => T, reduce?: (items: unknown[]) => unknown): T {
  const context = contextOf(span);
  let result: T;
  try {
    result = runIn(context, run);
  } catch (error) {
    span.recordException(error);
    span.end();
    throw error;
  }
  return follow(span, context, result, reduce);
}

/** The span that `withSpan` or `trace` made active here; null when there is none. */
export function getCurrentActiveSpan(): LiveSpan | null {
  const span = currentContext()?.span ?? null;
  return span instanceof NoOpSpan ? null : span;
}

/**
 * Changes the trace of the active span, or of `span` where one is given, as it must be for spans that `startSpan` made.
 * With `mlflow-trace/otel` the active span may be one of OpenTelemetry's. Without a span nothing happens. Never throws.
 */
export function updateCurrentTrace(update: TraceUpdate, span?: LiveSpan | null): void {
  try {
    const nearest = span ?? getCurrentActiveSpan();
    const own = nearest instanceof RecordingSpan ? nearest.trace : undefined;
    const trace = span ? own : (foreignSpan()?.trace ?? own);
    if (trace === undefined) {
      // One that records nothing is active where that was asked for.
      const isMissing = nearest === null && !(currentContext()?.span instanceof NoOpSpan);
      if (isMissing) report('updateCurrentTrace was called without an active span; ignored');
      return;
    }
    // Previews are content; what else there is are labels, chosen one by one.
    const json = updateJson(
      settings.withholdsContent
        ? { ...update, requestPreview: undefined, responsePreview: undefined }
        : update,
    );
    if (json !== '') recorded(writeUpdate(trace, json));
  } catch (error) {
    report(`a trace could not be updated: ${describeException(error).message}`);
  }
}

/** Runs `run` so that traces started in it carry these tags, metadata, session and user. Scopes nest; the inner one wins. */
export function tracingContext<T>(options: TracingContextOptions, run: () => T): T {
  const outer = currentContext();
  const scope = mergeScope(outer?.scope ?? null, options);
  const inForce = { span: outer?.span ?? null, remote: outer?.remote ?? null, run: outer?.run };
  return runScoped({ ...inForce, scope }, run);
}

/** Starts a span under the parent that the options or the context name, and lets processors see it. */
export function createSpan(name: string, options: SpanOptions): LiveSpan {
  const span = openSpan(name, options);
  announce(span);
  return span;
}

/** As `createSpan`, for who has more to set before processors may see it with `announce`. */
export function openSpan(name: string, options: SpanOptions): LiveSpan {
  const context = currentContext();
  const scope = context?.scope ?? null;
  const foreign = options.parent === undefined ? foreignSpan() : undefined;
  const parent = findParent(foreign, context, options);
  if (parent instanceof NoOpSpan) return parent;
  if (scope?.enabled === false || !canRecord()) return noOpSpan;
  const remote = options.parent === undefined && parent === null ? (foreign ?? context?.remote) : undefined;
  const place = findPlace(parent, remote ?? undefined, options);
  if (place instanceof NoOpSpan) return place;
  const isRoot = (place.parentHigh | place.parentLow) === 0;
  const span = new RecordingSpan(
    String(name),
    place,
    randomNonZeroWord(),
    randomWord(),
    options.startTimeNs,
    isRoot ? (scope?.json ?? '') : '',
  );
  if (options.spanType !== undefined) span.setSpanType(options.spanType);
  if (options.inputs !== undefined) span.setInputs(options.inputs);
  if (options.attributes !== undefined) span.setAttributes(options.attributes);
  return span;
}

/** Lets processors see a span that has started. */
export function announce(span: LiveSpan): void {
  if (startHooks.length !== 0 && span instanceof RecordingSpan) runHooks(startHooks, span);
}

/** The span of ours above a new one. */
function findParent(
  foreign: RemoteParent | undefined,
  context: Context | undefined,
  options: SpanOptions,
): LiveSpan | null {
  if (options.parent !== undefined) return options.parent;
  return foreign === undefined ? (context?.span ?? null) : null;
}

/** Where a new span stands, or what stands for one that is not recorded. */
function findPlace(
  parent: LiveSpan | null,
  remote: RemoteParent | undefined,
  options: SpanOptions,
): SpanPlace | NoOpSpan {
  // Whoever calls and is called may record.
  if (isDisabled()) {
    return remote ? new UnsampledSpan(remote.trace, remote.spanHigh, remote.spanLow) : noOpSpan;
  }
  if (parent instanceof RecordingSpan) {
    const { trace, idHigh, idLow } = parent;
    return { trace, parentHigh: idHigh, parentLow: idLow, hasRemoteParent: false };
  }
  if (remote) return placeUnder(remote);
  const trace = TraceHandle.start();
  if (isSampled(trace, options.samplingRatioOverride)) {
    return { trace, parentHigh: 0, parentLow: 0, hasRemoteParent: false };
  }
  return unsampled(trace);
}

/** The caller has decided whether its trace is recorded. */
function placeUnder({ trace, spanHigh, spanLow }: RemoteParent): SpanPlace | NoOpSpan {
  if ((trace.flags & SAMPLED) === 0) {
    if (!isKeptForErrors(trace)) return unsampled(trace);
    trace.isForErrors = true;
  }
  return { trace, parentHigh: spanHigh, parentLow: spanLow, hasRemoteParent: true };
}

function unsampled(trace: TraceHandle): UnsampledSpan {
  return new UnsampledSpan(trace, randomNonZeroWord(), randomWord());
}

function mergeScope(outer: TraceScope | null, options: TracingContextOptions): TraceScope {
  try {
    const update: TraceUpdate = {
      tags: { ...outer?.update.tags, ...options.tags },
      metadata: { ...outer?.update.metadata, ...options.metadata },
      sessionId: options.sessionId ?? outer?.update.sessionId,
      user: options.user ?? outer?.update.user,
    };
    return { enabled: options.enabled ?? outer?.enabled ?? true, update, json: updateJson(update) };
  } catch (error) {
    report(`a tracing context could not be read: ${describeException(error).message}`);
    return outer ?? { enabled: true, update: {}, json: '' };
  }
}
