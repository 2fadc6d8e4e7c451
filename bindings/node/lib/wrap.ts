import { toInputs } from './arguments.js';
import { SpanAttributeKey } from './constants.js';
import { describeException } from './exception.js';
import { report } from './lifecycle.js';
import { NoOpSpan, noOpSpan } from './noop.js';
import { isRatio } from './sampling.js';
import type { LiveSpan } from './span.js';
import { announce, openSpan, runInside, type SpanOptions } from './trace.js';
import { toText } from './values.js';

/** How calls of a traced function are recorded. */
export interface TraceOptions extends Pick<
  SpanOptions,
  'name' | 'spanType' | 'attributes' | 'samplingRatioOverride'
> {
  /** Makes the outputs of a generator out of the items it gave; without it they are the list of items. */
  outputReducer?: (items: unknown[]) => unknown;
}

type AnyFunction = (this: unknown, ...args: never[]) => unknown;

/** What a decorator of either kind gets besides the options: see `trace`. */
interface DecoratorContext {
  readonly kind: string;
  readonly name: string | symbol;
}

/** A decorator for methods, of TypeScript's older kind and of the standard one. */
export interface TraceDecorator {
  <F extends (...args: never[]) => unknown>(method: F, context: ClassMethodDecoratorContext): F;
  <T>(value: undefined, context: ClassFieldDecoratorContext<unknown, T>): (initial: T) => T;
  <T>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<T>,
  ): TypedPropertyDescriptor<T>;
}

const ANONYMOUS = 'anonymous';

/**
 * Makes every call of `fn` a span: its inputs are `{parameter: value}`, its outputs what the call returns or resolves to.
 * `trace(fn, options)` gives a function that otherwise behaves as `fn`; `@trace(options)` and `@trace` decorate methods.
 * @throws TypeError when it is given something that is no function, or decorates what is no method.
 * @throws RangeError when `samplingRatioOverride` is no number from 0 to 1.
 */
export function trace<F extends (...args: never[]) => unknown>(fn: F, options?: TraceOptions): F;
export function trace<F extends (...args: never[]) => unknown>(
  method: F,
  context: ClassMethodDecoratorContext,
): F;
export function trace<T>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T>,
): TypedPropertyDescriptor<T>;
export function trace(options?: TraceOptions): TraceDecorator;
export function trace(first?: unknown, second?: unknown, third?: unknown): unknown {
  if (isStandardContext(second) || third !== undefined) return decorate({}, first, second, third);
  if (typeof first === 'function') return wrap(first as AnyFunction, second as TraceOptions | undefined);
  if (first !== undefined && (typeof first !== 'object' || first === null)) {
    throw new TypeError(`trace takes a function or options, not ${toText(first)}`);
  }
  const options = (first ?? {}) as TraceOptions;
  return (value: unknown, context: unknown, descriptor?: unknown) =>
    decorate(options, value, context, descriptor);
}

function isStandardContext(value: unknown): value is DecoratorContext {
  return typeof value === 'object' && value !== null && 'kind' in value && 'name' in value;
}

function decorate(options: TraceOptions, value: unknown, context: unknown, descriptor: unknown): unknown {
  if (isStandardContext(context)) {
    const named = { ...options, name: options.name ?? String(context.name) };
    if (context.kind === 'method') return wrap(value as AnyFunction, named);
    if (context.kind === 'field') {
      return (initial: unknown) =>
        typeof initial === 'function' ? wrap(initial as AnyFunction, named) : initial;
    }
    throw new TypeError(`trace decorates methods, not a ${context.kind}`);
  }
  const method: unknown = (descriptor as PropertyDescriptor | undefined)?.value;
  if (typeof method !== 'function')
    throw new TypeError(`${String(context)} is no method; trace decorates those`);
  const named = { ...options, name: options.name ?? String(context) };
  return { ...(descriptor as PropertyDescriptor), value: wrap(method as AnyFunction, named) };
}

function wrap(fn: AnyFunction, options: TraceOptions = {}): AnyFunction {
  const name = options.name ?? (fn.name === '' ? ANONYMOUS : fn.name);
  const { spanType, samplingRatioOverride } = options;
  if (samplingRatioOverride !== undefined && !isRatio(samplingRatioOverride)) {
    throw new RangeError(`samplingRatioOverride: ${toText(samplingRatioOverride)} is no number from 0 to 1`);
  }
  const spanOptions: SpanOptions = { spanType, samplingRatioOverride };
  const traced = function (this: unknown, ...args: never[]): unknown {
    if (new.target !== undefined) {
      return Reflect.construct(fn, args, new.target === traced ? fn : new.target) as unknown;
    }
    const span = startCall(name, fn, args, spanOptions, options.attributes);
    return runInside(span, () => Reflect.apply(fn, this, args), options.outputReducer);
  };
  return impersonate(traced, fn);
}

function startCall(
  name: string,
  fn: AnyFunction,
  args: readonly unknown[],
  spanOptions: SpanOptions,
  attributes: Record<string, unknown> | undefined,
): LiveSpan {
  try {
    const span = openSpan(name, spanOptions);
    if (span instanceof NoOpSpan) return span;
    span.setInputs(toInputs(fn, args));
    if (fn.name !== '') span.setAttribute(SpanAttributeKey.FUNCTION_NAME, fn.name);
    if (attributes !== undefined) span.setAttributes(attributes);
    announce(span);
    return span;
  } catch (error) {
    report(`a span could not be started: ${describeException(error).message}`);
    return noOpSpan;
  }
}

/** Gives the wrapper the name, length and own properties of the function it stands for. */
export function impersonate(traced: AnyFunction, fn: AnyFunction): AnyFunction {
  for (const key of Reflect.ownKeys(fn)) {
    const descriptor = Reflect.getOwnPropertyDescriptor(fn, key);
    // A function's own `prototype` cannot be redefined; `arguments` and `caller` belong to one function alone.
    const isFixed = key === 'prototype' || key === 'arguments' || key === 'caller';
    if (!isFixed && descriptor !== undefined) Reflect.defineProperty(traced, key, descriptor);
  }
  Reflect.set(traced, 'prototype', fn.prototype);
  return traced;
}
