import { AsyncLocalStorage } from 'node:async_hooks';
import type { Channel } from 'node:diagnostics_channel';
import { type Anchor, currentAnchor } from './clock.js';
import { TRACE_ID_PREFIX } from './constants.js';
import { hexToWord, isId, randomNonZeroWord, randomWord, wordToHex } from './ids.js';
import type { TraceIdentity } from './record.js';
import type { LiveSpan } from './span.js';
import type { TraceUpdate } from './update.js';

/** W3C trace flags of the traces that start here: sampled, and the id is random. */
const OWN_FLAGS = 0x03;

/** What all spans of a trace share in this process. */
export class TraceHandle implements TraceIdentity {
  /** It is not sampled, and recorded for its errors only. Decided before its first span. */
  isForErrors = false;
  /** All spans of a trace tell the time from one anchor, so that no child starts before its parent. */
  readonly anchor: Anchor = currentAnchor();

  constructor(
    readonly id0: number,
    readonly id1: number,
    readonly id2: number,
    readonly id3: number,
    public flags: number,
    readonly traceState: string,
  ) {}

  static start(): TraceHandle {
    return new TraceHandle(randomNonZeroWord(), randomWord(), randomWord(), randomWord(), OWN_FLAGS, '');
  }

  /** The trace with this id, 32 hex digits; undefined when the text is no valid one. */
  static fromHex(hex: string, flags: number, traceState: string): TraceHandle | undefined {
    if (!isId(hex, 32)) return undefined;
    const [id0, id1, id2, id3] = [0, 8, 16, 24].map((at) => hexToWord(hex, at));
    return new TraceHandle(id0, id1, id2, id3, flags, traceState);
  }

  /** 32 lower-case hex digits. */
  get hex(): string {
    return wordToHex(this.id0) + wordToHex(this.id1) + wordToHex(this.id2) + wordToHex(this.id3);
  }

  get mlflowId(): string {
    return TRACE_ID_PREFIX + this.hex;
  }
}

/** The span of another process that a request names as its parent. */
export interface RemoteParent {
  readonly trace: TraceHandle;
  readonly spanHigh: number;
  readonly spanLow: number;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
}

/** What new traces start with inside a `tracingContext`. */
export interface TraceScope {
  readonly enabled: boolean;
  readonly update: TraceUpdate;
  /** The engine's form of `update`; empty when there is nothing in it. */
  readonly json: string;
}

/** What is in force for the code that runs now and for what it starts. */
export interface Context {
  readonly span: LiveSpan | null;
  readonly remote: RemoteParent | null;
  readonly scope: TraceScope | null;
  /** The run of a framework inside which this came to be in force. */
  readonly run?: string;
}

/** A framework that knows itself which of its runs executes the present code. */
export interface RunSource {
  /** The id of the run. */
  current(): string | undefined;
  /** Its span. */
  span(run: string): LiveSpan | undefined;
}

/** The context of another tracing library, whose spans and ours share traces. */
export interface ForeignContext {
  /** Its current span; undefined where there is none, or where it stands for one of ours. */
  current(): RemoteParent | undefined;
  /** Runs `run` with the span of `context`, which is one of ours, as its current span. */
  run<T>(context: Context, run: () => T): T;
}

const storage = new AsyncLocalStorage<Context>();
let foreign: ForeignContext | undefined;

/** Lets the spans of another library be parents of ours, and the other way round, from now on. */
export function joinForeign(context: ForeignContext): void {
  foreign = context;
}

/** The current span of the other library, if it is nearer than any of ours. */
export function foreignSpan(): RemoteParent | undefined {
  return foreign?.current();
}

let runs: RunSource | undefined;

/** Lets the runs of a framework be parents of what starts inside them. */
export function joinRuns(source: RunSource): void {
  runs ??= source;
}

export function currentContext(): Context | undefined {
  const context = storage.getStore();
  return runs === undefined ? context : nearest(context, runs);
}

/** The run that executes the present code is nearer than a span, unless that was started inside it. */
function nearest(context: Context | undefined, source: RunSource): Context | undefined {
  const run = source.current();
  if (run === undefined || context?.run === run) return context;
  const span = source.span(run);
  return span === undefined ? context : { span, remote: null, scope: context?.scope ?? null, run };
}

/** Has what runs inside an event of `channel` be in the context that `toContext` makes of it, until what is returned is called. */
export function bindContext<M>(
  channel: Channel<unknown, M>,
  toContext: (message: M, outer: Context | undefined) => Context | undefined,
): () => void {
  // The store may be undefined, as outside of every context.
  const store = storage as AsyncLocalStorage<Context | undefined>;
  channel.bindStore(store, (message) => toContext(message, store.getStore()));
  return () => {
    channel.unbindStore(store);
  };
}

/** Runs `run` and all that it starts inside `context`, whose span is the nearest then. */
export function runIn<T>(context: Context, run: () => T): T {
  if (foreign === undefined) return storage.run(context, run);
  return foreign.run(context, () => storage.run(context, run));
}

/** As `runIn`, for a context with the present span, which stays as near as it is. */
export function runScoped<T>(context: Context, run: () => T): T {
  return storage.run(context, run);
}

/** The present context with `span` active in it. */
export function contextOf(span: LiveSpan): Context {
  const outer = storage.getStore();
  return { span, remote: null, scope: outer === undefined ? null : outer.scope, run: runs?.current() };
}
