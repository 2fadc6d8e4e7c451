import { setImmediate } from 'node:timers';
import { isMainThread } from 'node:worker_threads';
import { onLostSpan, watchOpenSpans } from './abandoned.js';
import { monotonicMs, realign } from './clock.js';
import { clearFrames, pendingFrames } from './encode.js';
import { native, type Settings } from './native.js';

/** Frames are handed over at this size at the latest, otherwise a macrotask after the first of them. */
const DRAIN_BYTES = 64 * 1024;
/** How long the end of the process may wait for the network when nothing else was configured. */
const EXIT_TIMEOUT_MS = 2000;
const EXIT_TIMEOUT_KEY = 'shutdown.timeout_ms';
const FLUSH_TIMEOUT_MS = 30_000;
/** Lines about ourselves on stderr; the rest can be read with `diagnostics()`. */
const PRINTED_LINES = 5;
const KEPT_MESSAGES = 100;

/** What became of the spans of this process since the last `init`. `created = delivered + pending + dropped` at every moment. */
export interface Stats {
  /** Spans that were started. */
  created: number;
  /** Spans that arrived. */
  delivered: number;
  /** Spans that are open, waiting or on their way. */
  pending: number;
  /** Spans given up, by reason. */
  dropped: Record<string, number>;
  /** Recording calls that had no effect, as on a span that the engine does not know. */
  ignored: number;
  /** Spans that the engine ended for their host, because their trace took too long or was forgotten. */
  abandoned: number;
  /** Spans whose content was replaced by `[redaction failed]`. */
  redactionFailed: number;
  /** Replies of success that made no sense, as of a proxy that answers in the server's place. */
  odd2xx: number;
  /** With a spool, spans of those that are pending that are on disk and not in memory. */
  spooled?: number;
  /** With a spool, whether what ends is in memory alone, because the disk fails or is full. */
  spoolDegraded?: boolean;
  /** With a spool, what became of the spans that other processes left there, which are in none of the other counters. */
  recovered?: { adopted: number; delivered: number; pending: number; dropped: number };
  /** With dual export, what became of the copies for the collector. */
  mirror?: Pick<Stats, 'created' | 'delivered' | 'pending' | 'dropped'>;
}

/** The engine's spelling. */
type EngineStats = Omit<Stats, 'redactionFailed' | 'odd2xx' | 'spoolDegraded'> & {
  redaction_failed: number;
  odd_2xx: number;
  spool_degraded?: 0 | 1;
};

// Bound at load, so that a test's fake timers do not hold spans back.
const soon = setImmediate;

/** The settings in force, as far as this thread knows: those of the last frames that it handed over. */
export let settings: Settings = {
  number: -1,
  disabled: false,
  takesAll: true,
  keepsErrors: false,
  hasProcessors: false,
  withholdsContent: false,
  maxEvents: 8192,
  writesThrough: false,
};

let engineState: 'unused' | 'ready' | 'unusable' = 'unused';
let isDrainScheduled = false;
let isFlushDue = false;
let printedLines = 0;
let messages: string[] = [];
let exitTimeoutMs = exitTimeoutOf({});
let exitWaitedMs = 0;
let isEndAwaited = false;

// Workers may record where the main thread does not, but the end of the process is the main thread's.
if (isMainThread) process.once('worker', awaitEnd);

/** True when spans can be recorded. The first call loads the addon. Never throws. */
export function canRecord(): boolean {
  if (engineState === 'unused') {
    try {
      useEngine();
      // A worker uses what the main thread configured; without that, the engine reads the environment itself.
      if (isMainThread) configureEngine({}, false);
      else readSettings();
    } catch (error) {
      if (!isReady()) engineState = 'unusable';
      report(`${isReady() ? 'the defaults are used' : 'spans are not recorded'}: ${messageOf(error)}`);
    }
  }
  return isReady();
}

/** Whether the engine was loaded. */
export function isReady(): boolean {
  return engineState === 'ready';
}

/** Loads the addon and arranges for what is recorded to be sent before the process ends. */
function useEngine(): void {
  native();
  if (engineState === 'ready') return;
  engineState = 'ready';
  onLostSpan(recorded);
  awaitEnd();
  // A worker's end is not the end of the engine, which belongs to the process.
  if (isMainThread) process.on('beforeExit', onBeforeExit);
}

function awaitEnd(): void {
  if (isEndAwaited) return;
  isEndAwaited = true;
  process.on('exit', onExit);
}

function exitTimeoutOf(options: Record<string, string>): number {
  const timeout = options[EXIT_TIMEOUT_KEY] ?? process.env.MLFLOW_TRACE_SHUTDOWN_TIMEOUT_MS ?? '';
  return timeout === '' ? EXIT_TIMEOUT_MS : toTimeout(Number(timeout), EXIT_TIMEOUT_MS);
}

/**
 * (Re)configures the engine, from the environment and then these options by the engine's keys.
 * @throws Error with `code` when a value is malformed; the configuration is then as it was.
 */
export function configureEngine(options: Record<string, string>, hasProcessors: boolean): void {
  useEngine();
  handOver();
  // Left to itself, the engine would name the Node binary, which says nothing about the program.
  const source = process.env.MLFLOW_TRACE_SOURCE_NAME ?? process.argv[1];
  try {
    native().configure(source === undefined ? options : { 'source.name': source, ...options }, hasProcessors);
  } finally {
    readSettings();
  }
  exitTimeoutMs = exitTimeoutOf(options);
}

/** Has all threads withhold content until `configureEngine` succeeds. Never throws. */
export function withholdContent(): void {
  try {
    useEngine();
    native().withholdContent();
    readSettings();
  } catch {
    // Without an engine nothing is sent.
  }
}

function readSettings(): void {
  settings = native().settings();
}

/** To be called after a frame was written; `bytes` are pending now. */
export function recorded(bytes: number): void {
  if (bytes >= DRAIN_BYTES) handOver();
  else visitEngineSoon();
}

/** As `recorded`, after the frame of a span that has ended: where a spool writes through, the engine has it at once. */
export function recordedEnd(bytes: number): void {
  if (settings.writesThrough) handOver();
  else recorded(bytes);
}

/** Whether nothing is recorded. Then nothing is handed over either, so another thread's `init` has to be asked for. */
export function isDisabled(): boolean {
  if (settings.disabled) visitEngineSoon();
  return settings.disabled;
}

function visitEngineSoon(): void {
  if (isDrainScheduled) return;
  isDrainScheduled = true;
  soon(onMacrotask).unref();
}

function onMacrotask(): void {
  isDrainScheduled = false;
  handOver();
  if (settings.disabled) readSettings();
  pullDiagnostics();
}

/** Hands everything written so far to the engine. Never throws. */
export function handOver(): void {
  watchOpenSpans();
  const { buffer, length } = pendingFrames();
  if (length === 0) return;
  isFlushDue = true;
  try {
    if (native().drain(buffer, length) !== settings.number) readSettings();
  } catch (error) {
    report(`${length} bytes of spans were lost: ${messageOf(error)}`);
  }
  clearFrames();
  realign();
}

/**
 * Waits until all that was recorded so far is delivered or given up.
 * @param timeoutMs longest wait in milliseconds.
 * @returns how many spans are still pending; 0 means none. Never rejects.
 */
export async function flushTraces(timeoutMs: number = FLUSH_TIMEOUT_MS): Promise<number> {
  if (engineState !== 'ready') return 0;
  handOver();
  try {
    return await native().flush(toTimeout(timeoutMs, FLUSH_TIMEOUT_MS));
  } catch (error) {
    report(`flush failed: ${messageOf(error)}`);
    return stats().pending;
  } finally {
    pullDiagnostics();
  }
}

/** Counters since the last `init`, of all threads. Never throws. */
export function stats(): Stats {
  if (isReady()) {
    handOver();
    try {
      const {
        redaction_failed: redactionFailed,
        odd_2xx: odd2xx,
        spool_degraded: degraded,
        ...counts
      } = JSON.parse(native().stats()) as EngineStats;
      const spool = degraded === undefined ? {} : { spoolDegraded: degraded === 1 };
      return { ...counts, ...spool, redactionFailed, odd2xx };
    } catch (error) {
      report(`stats failed: ${messageOf(error)}`);
    }
  }
  return {
    created: 0,
    delivered: 0,
    pending: 0,
    dropped: {},
    ignored: 0,
    abandoned: 0,
    redactionFailed: 0,
    odd2xx: 0,
  };
}

/** Messages of mlflow-trace about itself since the last call, oldest first; at most the newest 100 are kept. */
export function diagnostics(): string[] {
  pullDiagnostics();
  const result = messages;
  messages = [];
  return result;
}

/** Adds a message about ourselves, and prints it when it is one of the first. Never throws. */
export function report(message: string): void {
  messages.push(message);
  if (messages.length > KEPT_MESSAGES) messages.shift();
  if (printedLines >= PRINTED_LINES || process.env.MLFLOW_TRACE_QUIET === 'true') return;
  printedLines++;
  try {
    process.stderr.write(`mlflow-trace: ${message}\n`);
  } catch {
    // Nobody reads stderr.
  }
}

/** Takes over the messages of the engine. Never throws. */
export function pullDiagnostics(): void {
  if (engineState !== 'ready') return;
  try {
    native().diagnostics().forEach(report);
  } catch {
    // The messages are about ourselves; the host has no use for this one.
  }
}

/** The loop has run dry: there is time to send what is left, within the bound that the end of the process has. */
function onBeforeExit(): void {
  handOver();
  const remaining = exitTimeoutMs - exitWaitedMs;
  // Waiting revives the loop, which then ends in another `beforeExit`; only new spans make it wait again.
  if (!isFlushDue || remaining <= 0) return;
  isFlushDue = false;
  const begin = monotonicMs();
  void flushTraces(remaining).then((pending) => {
    exitWaitedMs = pending === 0 ? 0 : exitWaitedMs + monotonicMs() - begin;
  });
}

function onExit(): void {
  handOver();
  if (!isMainThread) return;
  try {
    native().shutdownSync(Math.max(0, exitTimeoutMs - exitWaitedMs));
  } catch {
    // The process ends; there is nobody left to tell.
  }
  pullDiagnostics();
}

function toTimeout(value: number, fallback: number): number {
  if (typeof value !== 'number' || Number.isNaN(value)) return fallback;
  return Math.min(Math.max(Math.ceil(value), 0), 0x7fffffff);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
