import { types } from 'node:util';
import { type Context, contextOf, runIn } from '../context.js';
import { NoOpSpan, UnsampledSpan } from '../noop.js';
import type { LiveSpan, RecordingSpan } from '../span.js';
import { announce, openSpan, type SpanOptions } from '../trace.js';
import { guarded, reportOnce } from './guard.js';
import type { AnyFunction, Hooks } from './hooks.js';
import { type Ending, release, unwatch, watch } from './watch.js';

/** Characters of chunks that are kept of one stream: as many as a value may have. */
const MAX_CHARACTERS = 8 * 2 ** 20;

/** How a call becomes a span. What one of these throws costs that part of the recording and nothing else. */
export interface Spec extends Pick<SpanOptions, 'name' | 'spanType'> {
  /** Whether the request is sent in this span, and in none below it; it is where this is left out. */
  sends?(self: unknown): boolean;
  /** Records the arguments. */
  begin(span: RecordingSpan, args: readonly unknown[], self: unknown): void;
  /** The arguments to call with, where these are to be others. */
  outgoing?(args: readonly unknown[], self: unknown): readonly unknown[];
  /** Records what the call came to. */
  reply(span: RecordingSpan, reply: unknown, self: unknown): void;
  /** The JSON text of an item of a stream. */
  text(item: unknown): string;
  /** Records what the items of a stream make. */
  items(span: RecordingSpan, items: string[], self: unknown): void;
}

type Step = IteratorResult<unknown>;
type Then = (this: unknown, ...callbacks: unknown[]) => unknown;
type Source = Pick<AsyncGenerator, 'next'> & Partial<Pick<AsyncGenerator, 'return' | 'throw'>>;
/** What OpenAI's and Anthropic's libraries give: a promise that reads the body once somebody asks for it. */
interface ApiPromise {
  parse: (this: unknown) => Promise<unknown>;
  asResponse?: (this: unknown) => Promise<unknown>;
  _thenUnwrap?: (this: unknown, ...args: unknown[]) => unknown;
  readonly responsePromise: unknown;
}
/** What they give as a stream: everything that reads it does so through `iterator`. */
interface ApiStream {
  iterator: (this: unknown) => Source;
  readonly controller?: { readonly signal?: AbortSignal };
}

// Spans whose calls send their request themselves: a hook on HTTP has nothing to add to them.
const sending = new WeakSet<LiveSpan>();

/** Takes note that the request that is sent inside `span` is recorded by it. */
export function noteSending(span: LiveSpan): void {
  sending.add(span);
}

/** Whether the request that is sent inside `span` is recorded by it. */
export function isSending(span: LiveSpan | null | undefined): boolean {
  return span !== null && span !== undefined && sending.has(span);
}

/** What wraps a method so that each call of it is a span. */
export function traced(hooks: Hooks, spec: Spec): (original: AnyFunction) => AnyFunction {
  return (original) =>
    function (this: unknown, ...args: never[]): unknown {
      const send = (given: readonly unknown[]): unknown => Reflect.apply(original, this, given);
      const span = guarded('a call', () => openSpan(spec.name!, { spanType: spec.spanType }));
      if (span instanceof UnsampledSpan) return runIn(contextOf(span), () => send(args));
      if (span === undefined || span instanceof NoOpSpan) return send(args);
      return new Call(span as RecordingSpan, spec, this, hooks).run(args, send);
    };
}

/** A call whose span is open. It refers to nothing that the caller holds, so that it notices when that is forgotten. */
class Call implements Ending {
  private readonly context: Context;
  private readonly texts: string[] = [];
  private characters = 0;
  private chunks = 0;
  private isEnded = false;
  private isRead = false;

  constructor(
    private readonly span: RecordingSpan,
    private readonly spec: Spec,
    private readonly self: unknown,
    private readonly hooks: Hooks,
  ) {
    this.context = contextOf(span);
  }

  run(args: readonly unknown[], send: (args: readonly unknown[]) => unknown): unknown {
    const { span, spec, self } = this;
    guarded('a request', () => {
      if (spec.sends?.(self) ?? true) noteSending(span);
      spec.begin(span, args, self);
    });
    announce(span);
    const given =
      guarded('the headers of a trace', () => this.within(() => spec.outgoing?.(args, self))) ?? args;
    let result: unknown;
    try {
      result = this.within(() => send(given));
    } catch (error) {
      this.fail(error);
      throw error;
    }
    return this.instead(result, () => this.follow(result));
  }

  /** Ends the span with what there is. Only the first end counts. */
  end(failure?: { readonly error: unknown }): void {
    if (this.isEnded) return;
    this.isEnded = true;
    unwatch(this);
    if (this.texts.length !== 0) {
      guarded('a stream', () => {
        this.spec.items(this.span, this.texts, this.self);
      });
    }
    if (failure !== undefined) this.span.recordException(failure.error);
    this.span.end();
  }

  private fail(error: unknown): void {
    this.end({ error });
  }

  private within<T>(run: () => T): T {
    return runIn(this.context, run);
  }

  /** What `follow` makes of a result; the result itself where it fails. */
  private instead(result: unknown, follow: () => unknown): unknown {
    const followed = guarded('a result', () => ({ result: follow() }));
    if (followed !== undefined) return followed.result;
    this.end();
    return result;
  }

  private follow(result: unknown): unknown {
    if (isApiPromise(result)) {
      this.followApiPromise(result);
      return result;
    }
    if (has(result, 'then') && typeof result.then === 'function') {
      return this.followThenable(result, result.then as Then);
    }
    return this.take(result);
  }

  /** Gives a promise of what comes of a promise. One of another kind stays itself: it may be lazy, and have other methods. */
  private followThenable(result: object, then: Then): unknown {
    const fulfilled = (value: unknown): unknown => this.instead(value, () => this.take(value));
    const rejected = (error: unknown): never => {
      this.fail(error);
      throw error;
    };
    if (types.isPromise(result) && result.constructor === Promise) return result.then(fulfilled, rejected);
    define(result, 'then', (onFulfilled: unknown, onRejected: unknown) => {
      const both = [
        (value: unknown) => call(onFulfilled, fulfilled(value)),
        (error: unknown) => {
          this.fail(error);
          if (typeof onRejected !== 'function') throw error;
          return call(onRejected, error);
        },
      ] as const;
      return Reflect.apply(then, result, both);
    });
    return result;
  }

  /** Takes what the caller gets: the reply, or a stream of it. Gives what the caller is to have. */
  private take(value: unknown): unknown {
    if (this.isEnded || this.isRead) return value;
    if (isApiStream(value)) {
      this.isRead = true;
      this.followStream(value);
      return value;
    }
    if (isAsyncIterator(value)) {
      this.isRead = true;
      const iterator = this.followIterator(value);
      watch(this, iterator);
      return iterator;
    }
    guarded('a reply', () => {
      this.spec.reply(this.span, value, this.self);
    });
    this.end();
    return value;
  }

  /**
   * Listens in on a promise that starts to read when it is asked for its value. Its own promises are what the caller gets,
   * so that one that nobody handles is as unhandled as before.
   */
  private followApiPromise(promise: ApiPromise): void {
    const own = { parse: promise.parse, raw: promise.asResponse, unwrap: promise._thenUnwrap };
    let parsed: Promise<unknown> | undefined;
    define(promise, 'parse', () => {
      const reading = Reflect.apply(own.parse, promise, []);
      if (parsed === reading) return reading;
      parsed = reading;
      // Whoever waits for the value no longer needs the promise that gave it.
      release(this);
      reading.then(
        (value) => guarded('a reply', () => this.take(value)),
        (error: unknown) => {
          this.fail(error);
        },
      );
      return reading;
    });
    const { raw, unwrap } = own;
    if (raw !== undefined) {
      define(promise, 'asResponse', () => {
        release(this);
        return Reflect.apply(raw, promise, []).then(
          (response) => {
            // The body is the caller's: reading it here would take it away.
            if (parsed === undefined) this.end();
            return response;
          },
          (error: unknown) => {
            this.fail(error);
            throw error;
          },
        );
      });
    }
    if (unwrap !== undefined) {
      define(promise, '_thenUnwrap', (...args: unknown[]) => {
        const derived: unknown = Reflect.apply(unwrap, promise, args);
        if (isApiPromise(derived)) guarded('a result', () => this.followApiPromise(derived));
        return derived;
      });
    }
    if (!this.isEnded) watch(this, promise);
  }

  private followStream(stream: ApiStream): void {
    const { iterator } = stream;
    let isTaken = false;
    define(stream, 'iterator', () => {
      const source = Reflect.apply(iterator, stream, []);
      // A second one has nothing to give, and may say so.
      if (isTaken) return source;
      isTaken = true;
      return this.instead(source, () => {
        const followed = this.followIterator(source);
        watch(this, followed);
        return followed;
      });
    });
    this.endWith(stream.controller?.signal);
    watch(this, stream);
  }

  /**
   * Ends with a stream that its caller aborts: without a reader nothing else tells. With one, the reader's next step tells
   * more. What listens must not refer to the stream, as the request refers to the signal.
   */
  private endWith(signal: AbortSignal | undefined): void {
    const end = (): void => {
      setImmediate(() => {
        this.end();
      }).unref();
    };
    signal?.addEventListener('abort', end, { once: true });
  }

  /** An iterator of the same kind, each of whose steps runs with the span active. */
  private followIterator(source: Source): object {
    const settle = (result: Step, isLast: boolean): Step => {
      guarded('an item of a stream', () => {
        if (result.done === true || isLast) this.end();
        else this.keep(result.value);
      });
      return result;
    };
    const step = (take: () => Promise<Step>, isLast: boolean): Promise<Step> => {
      let taken: Promise<Step>;
      try {
        taken = this.within(take);
      } catch (error) {
        this.fail(error);
        throw error;
      }
      if (!types.isPromise(taken)) return settle(taken, isLast) as never;
      return taken.then(
        (result) => settle(result, isLast),
        (error: unknown) => {
          this.fail(error);
          throw error;
        },
      );
    };
    const iterator = Object.create(
      Object.getPrototypeOf(source) as object | null,
      Object.getOwnPropertyDescriptors(source),
    ) as object;
    define(iterator, 'next', (...values: []) => step(() => source.next(...values), false));
    for (const name of ['return', 'throw'] as const) {
      if (typeof source[name] !== 'function') continue;
      define(iterator, name, (value: unknown) => step(() => source[name]!(value), name === 'return'));
    }
    return iterator;
  }

  private keep(item: unknown): void {
    const text = this.spec.text(item);
    if (this.hooks.options.chunkEvents === true) {
      this.span.addEvent(`mlflow.chunk.item.${this.chunks++}`, { 'mlflow.chunk.value': text });
    }
    this.characters += text.length;
    if (this.characters <= MAX_CHARACTERS) this.texts.push(text);
    else reportOnce('the end of a stream is not recorded', `it has more than ${MAX_CHARACTERS} characters`);
  }
}

/** What a callback of a promise makes of a value; without one it is passed on. */
function call(callback: unknown, value: unknown): unknown {
  return typeof callback === 'function' ? (Reflect.apply(callback, undefined, [value]) as unknown) : value;
}

function isApiPromise(value: unknown): value is ApiPromise {
  return has(value, 'responsePromise') && typeof (value as Partial<ApiPromise>).parse === 'function';
}

function isApiStream(value: unknown): value is ApiStream {
  return has(value, 'iterator') && typeof value.iterator === 'function' && Symbol.asyncIterator in value;
}

function isAsyncIterator(value: unknown): value is Source {
  return has(value, 'next') && typeof value.next === 'function' && Symbol.asyncIterator in value;
}

function has<K extends string>(value: unknown, name: K): value is Record<K, unknown> {
  return typeof value === 'object' && value !== null && name in value;
}

/** Sets a property on this one object as its class would: not among those that are listed. */
function define(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, configurable: true, writable: true });
}
