import { types } from 'node:util';
import { type Context, runIn } from './context.js';
import { describeException } from './exception.js';
import { report } from './lifecycle.js';
import { type LiveSpan, RecordingSpan } from './span.js';
import { toJson } from './values.js';

/** Items of a generator that are kept as the span's outputs. */
const MAX_ITEMS = 10_000;

type Callback = ((value: unknown) => unknown) | null | undefined;
type AnyGenerator = Generator | AsyncGenerator;

/**
 * Ends `span` when `result` is settled: a promise resolved, a generator exhausted, anything else at once. What is returned
 * behaves as `result` does.
 */
export function follow<T>(
  span: LiveSpan,
  context: Context,
  result: T,
  reduce?: (items: unknown[]) => unknown,
): T {
  if (!(span instanceof RecordingSpan)) return result;
  if (typeof result !== 'object' || result === null) {
    succeed(span, result);
    return result;
  }
  if (result instanceof Promise && result.constructor === Promise) {
    return result.then(
      (value: unknown) => {
        succeed(span, value);
        return value;
      },
      (error: unknown) => {
        fail(span, error);
        throw error;
      },
    ) as T;
  }
  if (types.isGeneratorObject(result)) {
    return followGenerator(span, context, result, reduce) as T;
  }
  if (!followThenable(span, result)) succeed(span, result);
  return result;
}

function succeed(span: RecordingSpan, value: unknown): void {
  if (value !== undefined && (span.output === undefined || span.output === null)) span.setOutputs(value);
  span.end();
}

function fail(span: RecordingSpan, error: unknown): void {
  span.recordException(error);
  span.end();
}

/**
 * Listens in on the `then` of a promise of another kind (a query builder, an API client's promise). Calling `then` here
 * would start what is lazy, and a promise derived from it would lack its other methods.
 */
function followThenable(span: RecordingSpan, result: object): boolean {
  try {
    const then: unknown = (result as { then?: unknown }).then;
    if (typeof then !== 'function') return false;
    const value = function (this: unknown, onFulfilled: Callback, onRejected: Callback): unknown {
      const fulfilled = (reply: unknown): unknown => {
        succeed(span, reply);
        return typeof onFulfilled === 'function' ? onFulfilled(reply) : reply;
      };
      const rejected = (error: unknown): unknown => {
        fail(span, error);
        if (typeof onRejected === 'function') return onRejected(error);
        throw error;
      };
      return Reflect.apply(then, this, [fulfilled, rejected]);
    };
    Object.defineProperty(result, 'then', property(value));
    return true;
  } catch {
    // A frozen object: what it resolves to stays unknown.
    return false;
  }
}

/** A generator that behaves as `source`, runs each step with the span active, and ends the span with its own end. */
function followGenerator(
  span: RecordingSpan,
  context: Context,
  source: AnyGenerator,
  reduce: ((items: unknown[]) => unknown) | undefined,
): AnyGenerator {
  const items: unknown[] = [];
  let count = 0;

  const take = (step: IteratorResult<unknown>): IteratorResult<unknown> => {
    if (step.done === true) {
      succeed(span, reduced(items, reduce));
    } else {
      span.addEvent(`mlflow.chunk.item.${count++}`, { 'mlflow.chunk.value': toJson(step.value) });
      if (items.length < MAX_ITEMS) items.push(step.value);
    }
    return step;
  };
  const failed = (error: unknown): never => {
    fail(span, error);
    throw error;
  };
  const step = (call: () => unknown): unknown => {
    let result: unknown;
    try {
      result = runIn(context, call);
    } catch (error) {
      return failed(error);
    }
    return types.isPromise(result)
      ? result.then((value) => take(value as IteratorResult<unknown>), failed)
      : take(result as IteratorResult<unknown>);
  };

  return Object.create(Object.getPrototypeOf(source) as object, {
    next: property((...values: []) => step(() => source.next(...values))),
    return: property((value: unknown) => step(() => source.return(value))),
    throw: property((error: unknown) => step(() => source.throw(error))),
  }) as AnyGenerator;
}

function reduced(items: unknown[], reduce: ((items: unknown[]) => unknown) | undefined): unknown {
  if (reduce === undefined) return items;
  try {
    return reduce(items);
  } catch (error) {
    report(`an output reducer failed: ${describeException(error).message}`);
    return items;
  }
}

function property(value: unknown): PropertyDescriptor {
  return { value, configurable: true, writable: true };
}
