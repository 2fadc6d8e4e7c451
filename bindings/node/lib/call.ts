import { STATUS_CODES } from 'node:http';
import { parseTimes } from './entities/trace.js';
import { canRecord, handOver, pullDiagnostics } from './lifecycle.js';
import { type Failure, native } from './native.js';

/** Each is a thread of the engine and a connection; servers of MLflow stall at some forty. */
const MOST_AT_ONCE = 10;
const MAX_BODY = 1000;

let running = 0;
const waiting: (() => void)[] = [];

/** Why a call of `MlflowClient` failed. */
export class MlflowError extends Error {
  /** The name of the class. */
  override readonly name: string = 'MlflowError';
  /** `ERR_MLFLOW_TRACE_` and the kind: `ERR_MLFLOW_TRACE_NOT_FOUND`. */
  readonly code: string;
  /** One of those that `docs/reading.md` lists, such as `NotFound`, `InvalidFilter`, `Unauthorized` or `Transport`. */
  readonly kind: string;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;

  /** @internal */
  constructor(failure: Pick<Failure, 'code' | 'kind' | 'message' | 'retryable'>) {
    super(failure.message);
    this.code = failure.code;
    this.kind = failure.kind;
    this.retryable = failure.retryable;
  }
}

/** The same, where the server's reply is why. */
export class MlflowHttpError extends MlflowError {
  /** The name of the class. */
  override readonly name = 'MlflowHttpError';
  /** HTTP status: 404. */
  readonly status: number;
  /** What that status means: `Not Found`. */
  readonly statusText: string;
  /** What the server said, at most 1000 characters of it. */
  readonly body: string;
  /** MLflow's own code: `RESOURCE_DOES_NOT_EXIST`; undefined where the reply has none. */
  readonly errorCode: string | undefined;

  /** @internal */
  constructor(failure: Failure, status: number) {
    super(failure);
    this.status = status;
    this.statusText = STATUS_CODES[status] ?? '';
    this.body = failure.message.slice(0, MAX_BODY);
    this.errorCode = failure.serverCode;
  }
}

/** Calls a method of the engine's client. Rejects with `MlflowError`. @internal */
export async function call<T>(
  method: string,
  args: Record<string, unknown>,
  options: Record<string, string>,
): Promise<T> {
  const text = toText(method, args);
  await turn();
  try {
    // Loads the addon, and throws where there is none.
    if (!canRecord()) native();
    // What was recorded here has to be known there.
    handOver();
    const { json, failure } = await native().call(method, text, options);
    if (failure !== undefined) throw toError(failure);
    return parseTimes<T>(json ?? 'null');
  } finally {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
    pullDiagnostics();
  }
}

/** Waits until one more call may run, in the place of one that ends. */
async function turn(): Promise<void> {
  if (running < MOST_AT_ONCE) running++;
  else await new Promise<void>((resolve) => waiting.push(resolve));
}

/** An argument that cannot be sent. @internal */
export function invalid(message: string): MlflowError {
  return new MlflowError({
    code: 'ERR_MLFLOW_TRACE_INVALID_ARGUMENT',
    kind: 'InvalidArgument',
    message,
    retryable: false,
  });
}

function toText(method: string, args: Record<string, unknown>): string {
  try {
    return JSON.stringify(args);
  } catch (error) {
    throw invalid(`arguments of ${method} must be what JSON can hold: ${String(error)}`);
  }
}

function toError(failure: Failure): MlflowError {
  const { httpStatus } = failure;
  return httpStatus === undefined ? new MlflowError(failure) : new MlflowHttpError(failure, httpStatus);
}
