import type { TraceHandle } from './context.js';
import { handOver, report, settings } from './lifecycle.js';
import { native } from './native.js';
import { toText } from './values.js';

/** W3C flags of a trace that starts here and is not sampled: its id is random. */
const UNSAMPLED_FLAGS = 0x02;

/** What the engine answers, besides that the trace is sampled. */
const DROP = 0;
const KEEP_ERRORS = 1;

/** Whether a trace that starts here is recorded; the engine decides. `ratio` overrides the configured one. */
export function isSampled(trace: TraceHandle, ratio: number | undefined): boolean {
  const own = ratio === undefined || isRatio(ratio) ? ratio : undefined;
  if (own !== ratio) report(`samplingRatioOverride ignored: ${toText(ratio)} is no number from 0 to 1`);
  if (own === undefined && settings.takesAll) return true;
  const decision = native().sample(trace.id0, trace.id1, trace.id2, trace.id3, own ?? NaN);
  trace.isForErrors = decision === KEEP_ERRORS;
  if (decision === DROP || decision === KEEP_ERRORS) trace.flags = UNSAMPLED_FLAGS;
  return decision !== DROP;
}

/** Whether a trace that its caller did not sample is recorded here for its errors, because it began here. */
export function isKeptForErrors(trace: TraceHandle): boolean {
  if (!settings.keepsErrors) return false;
  // The engine has to know of the spans that started just before.
  handOver();
  return native().keepsErrorsOf(trace.id0, trace.id1, trace.id2, trace.id3);
}

export function isRatio(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= 1;
}
