import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The engine, one per process. Frames: see `encode.ts`. */
export interface Native {
  /** `hasProcessors`: spans are to be seen by processors, which are functions of the calling thread. */
  configure(options: Record<string, string>, hasProcessors: boolean): void;
  /** Has all threads withhold content until `configure` succeeds. */
  withholdContent(): void;
  settings(): Settings;
  /** What becomes of a trace: 0 it is not recorded, 1 recorded for its errors, 2 recorded. `ratio`: NaN is the configured one. */
  sample(id0: number, id1: number, id2: number, id3: number, ratio: number): number;
  /** Whether an open trace is recorded for its errors. */
  keepsErrorsOf(id0: number, id1: number, id2: number, id3: number): boolean;
  /** Answers the number of the settings in force. */
  drain(buffer: Uint8Array, length: number): number;
  flush(timeoutMs: number): Promise<number>;
  flushSync(timeoutMs: number): number;
  shutdownSync(timeoutMs: number): number;
  stats(): string;
  /** JSON of `Health`, by the engine's names. */
  health(): string;
  diagnostics(): string[];
  /** The tracking URI in force, without credentials; empty without one. */
  trackingServer(): string;
  /** Calls a method of the client on a thread of its own; `args` are JSON, `options` the engine's. Is always resolved. */
  call(method: string, args: string, options: Record<string, string>): Promise<Outcome>;
  /** JSON of `{model?, tools?}`: what a request to a model provider says. Throws for a dialect that does not exist. */
  dialectRequest(dialect: string, request: string): string;
  /** JSON of `{usage?, model?, error?}`: what its reply says. */
  dialectReply(dialect: string, reply: string): string;
  /** The reply that the events of a stream make, one by one or the whole body; `null` of events without any meaning. */
  dialectFold(dialect: string, chunks: string[] | string): string;
  version(): string;
  /** Runs the command `mlflow-trace`; its exit code. */
  runCommand(arguments_: string[]): number;
  OtelExporter: new (rootWaitMs: number) => NativeOtelExporter;
}

/** Takes batches of ended spans of an OpenTelemetry SDK, children before roots. */
export interface NativeOtelExporter {
  /** Takes an `ExportTraceServiceRequest` of OTLP; answers whether all of it was taken. */
  submit(request: Uint8Array, length: number): boolean;
  /** Hands on what waits for its root. */
  release(): void;
}

/** What a call of the client came to: one of the two is there. */
export interface Outcome {
  /** The result, as JSON. */
  readonly json?: string;
  /** Why there is none. */
  readonly failure?: Failure;
}

/** Why a call of the client failed. */
export interface Failure {
  readonly code: string;
  readonly kind: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly httpStatus?: number;
  readonly serverCode?: string;
}

/** What a thread has to know of the configuration, read once for each. */
export interface Settings {
  readonly number: number;
  /** Nothing is recorded. */
  readonly disabled: boolean;
  /** Every trace that starts here is recorded. */
  readonly takesAll: boolean;
  /** Traces that are not sampled may be recorded for their errors. */
  readonly keepsErrors: boolean;
  /** Spans are to be seen by processors, which another thread may have. */
  readonly hasProcessors: boolean;
  /** `init` failed where it was to take content out. */
  readonly withholdsContent: boolean;
  /** Events of one span. */
  readonly maxEvents: number;
  /** Each span is to be handed over before its `end` returns: a spool has it then. */
  readonly writesThrough: boolean;
}

let loaded: Native | undefined;
let failure: Error | undefined;

/**
 * The native addon: the one built in this checkout, else the package of this platform.
 * @throws Error with code `ERR_MLFLOW_TRACE_UNSUPPORTED` where there is none.
 */
export function native(): Native {
  if (loaded !== undefined) return loaded;
  if (failure !== undefined) throw failure;
  const platform = platformName();
  const reasons: string[] = [];
  for (const place of [join(__dirname, '..', `mlflow-trace.${platform}.node`), platformPackage()]) {
    try {
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      loaded = require(place) as Native;
      return loaded;
    } catch (error) {
      reasons.push(error instanceof Error ? error.message.split('\n', 1)[0] : String(error));
    }
  }
  failure = Object.assign(new Error(`mlflow-trace has no addon for ${platform}: ${reasons.join('; ')}`), {
    code: 'ERR_MLFLOW_TRACE_UNSUPPORTED',
  });
  throw failure;
}

/** The package with the addon for this platform. */
export function platformPackage(): string {
  return `mlflow-trace-${platformName()}`;
}

/** Platform, architecture and C library, as napi names its files: `linux-x64-gnu`, `darwin-arm64`, `win32-x64-msvc`. */
function platformName(): string {
  const base = `${process.platform}-${process.arch}`;
  switch (process.platform) {
    case 'linux':
      return `${base}-${usesMusl() ? 'musl' : 'gnu'}`;
    case 'win32':
      return `${base}-msvc`;
    default:
      return base;
  }
}

function usesMusl(): boolean {
  try {
    // A script that names its own library; quicker than a subprocess or a process report.
    return readFileSync('/usr/bin/ldd', 'utf8').includes('musl');
  } catch {
    const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
    return report?.header?.glibcVersionRuntime === undefined;
  }
}
