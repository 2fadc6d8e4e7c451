import { type Context, runIn } from './context.js';
import { describeException } from './exception.js';
import { report } from './lifecycle.js';
import type { LiveSpan } from './span.js';

/** Sees a span that starts or ends. It may change the span, cannot end it, and spans that it starts are not recorded. */
export type SpanHook = (span: LiveSpan) => void;

/**
 * Sees every span of its thread as it starts, with what it starts with, and as it ends, before it is handed over. The
 * methods are synchronous. One that throws, or returns a promise, must not let pass what it was there to take out: the
 * span is sent with `[redaction failed]` in place of its content, and counted in `stats().redactionFailed`.
 */
export interface SpanProcessor {
  /** Sees a span that has started. */
  onStart?(span: LiveSpan): void;
  /** Sees a span that is about to end, with all that was set. */
  onEnd?(span: LiveSpan): void;
}

/** A span as its processors are run. */
export interface ProcessedSpan extends LiveSpan {
  isInHook: boolean;
  isWithheld: boolean;
}

/** Without this, a processor that calls traced functions would process their spans, and so on. */
const UNRECORDED: Context = {
  span: null,
  remote: null,
  scope: { enabled: false, update: {}, json: '' },
};

let processors: readonly SpanProcessor[] = [];
const registeredStart = new Set<SpanHook>();
const registeredEnd = new Set<SpanHook>();

/** What runs at the start of every span; replaced, never changed. */
export let startHooks: readonly SpanHook[] = [];
/** What runs at the end of every span; replaced, never changed. */
export let endHooks: readonly SpanHook[] = [];

/**
 * Has `hook` see every span of this thread that starts from now on, after the processors of `init`; see `SpanProcessor`.
 * @returns a function that takes it back.
 * @throws TypeError when it is no function.
 */
export function registerOnSpanStartHook(hook: SpanHook): () => void {
  return register(registeredStart, hook);
}

/**
 * Has `hook` see every span of this thread that ends from now on, after the processors of `init`; see `SpanProcessor`.
 * @returns a function that takes it back.
 * @throws TypeError when it is no function.
 */
export function registerOnSpanEndHook(hook: SpanHook): () => void {
  return register(registeredEnd, hook);
}

function register(hooks: Set<SpanHook>, hook: SpanHook): () => void {
  if (typeof hook !== 'function') throw new TypeError('a span hook is a function');
  hooks.add(hook);
  collect();
  return () => {
    hooks.delete(hook);
    collect();
  };
}

/** The processors of a list of processors and functions; undefined where it holds anything else. */
export function toProcessors(list: unknown): SpanProcessor[] | undefined {
  if (!Array.isArray(list)) return undefined;
  const found: SpanProcessor[] = [];
  for (const item of list as unknown[]) {
    if (typeof item === 'function') {
      found.push({ onEnd: item as SpanHook });
    } else if (typeof item === 'object' && item !== null && isProcessor(item)) {
      found.push(item);
    } else {
      return undefined;
    }
  }
  return found;
}

function isProcessor(item: object): item is SpanProcessor {
  const { onStart, onEnd } = item as Record<keyof SpanProcessor, unknown>;
  const isHook = (hook: unknown): boolean => hook === undefined || typeof hook === 'function';
  return isHook(onStart) && isHook(onEnd) && (onStart !== undefined || onEnd !== undefined);
}

/** Replaces the processors that `init` set. */
export function setProcessors(list: readonly SpanProcessor[]): void {
  processors = list;
  collect();
}

function collect(): void {
  const starts = processors.filter((processor) => processor.onStart !== undefined);
  const ends = processors.filter((processor) => processor.onEnd !== undefined);
  startHooks = [
    ...starts.map((processor) => (span: LiveSpan) => processor.onStart?.(span)),
    ...registeredStart,
  ];
  endHooks = [...ends.map((processor) => (span: LiveSpan) => processor.onEnd?.(span)), ...registeredEnd];
}

/** Runs all hooks, also after one that failed. Never throws. */
export function runHooks(hooks: readonly SpanHook[], span: ProcessedSpan): void {
  span.isInHook = true;
  runIn(UNRECORDED, () => {
    for (const hook of hooks) runHook(hook, span);
  });
  span.isInHook = false;
}

function runHook(hook: SpanHook, span: ProcessedSpan): void {
  try {
    const result: unknown = hook(span);
    if (!isThenable(result)) return;
    // What it does later comes too late, and a rejection must not end the process.
    result.then(undefined, () => undefined);
    fail(span, 'it returned a promise');
  } catch (error) {
    // Its message may hold what should have been taken out.
    fail(span, describeException(error).type);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}

function fail(span: ProcessedSpan, why: string): void {
  span.isWithheld = true;
  report(`a span processor failed, content is withheld: ${why}`);
}
