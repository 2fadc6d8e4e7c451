import { configureEngine } from './lifecycle.js';

/** Settings of `init`. What is left out comes from the environment, then from the engine's defaults. */
export interface InitOptions {
  /** MLflow server, `http://` or `https://` (`MLFLOW_TRACKING_URI`). Without one, traces go to files. */
  trackingUri?: string;
  /** Experiment of new traces, decimal digits (`MLFLOW_EXPERIMENT_ID`). Wins over the name. */
  experimentId?: string | number;
  /** Experiment of new traces by name; made when missing (`MLFLOW_EXPERIMENT_NAME`). */
  experimentName?: string;
  /** Bearer token (`MLFLOW_TRACKING_TOKEN`). User name and password win over it. */
  trackingToken?: string;
  /** User name of Basic authentication (`MLFLOW_TRACKING_USERNAME`). */
  username?: string;
  /** Password of Basic authentication (`MLFLOW_TRACKING_PASSWORD`). */
  password?: string;
  /** Workspace of new traces (`MLFLOW_WORKSPACE`). */
  workspace?: string;
  /** Resource attribute `service.name` (`OTEL_SERVICE_NAME`). */
  serviceName?: string;
  /** Where traces go; `auto` is `mlflow` with a tracking URI and `file` without (`MLFLOW_TRACE_EXPORTER`). */
  exporter?: 'auto' | 'mlflow' | 'file' | 'memory' | 'none';
  /** Directory of the file exporter's OTLP/JSON lines (`MLFLOW_TRACE_FILE_DIRECTORY`). */
  fileDirectory?: string;
  /** Memory for traces that wait; newer ones are dropped and counted (`MLFLOW_TRACE_QUEUE_MAX_BYTES`). */
  queueMaxBytes?: number;
  /** Spans in one request (`MLFLOW_TRACE_BATCH_MAX_SPANS`). */
  batchMaxSpans?: number;
  /** Bytes of spans in one request (`MLFLOW_TRACE_BATCH_MAX_BYTES`). */
  batchMaxBytes?: number;
  /** Longest wait of a finished trace before it is sent, in milliseconds (`MLFLOW_TRACE_BATCH_DELAY_MS`). */
  batchDelayMs?: number;
  /** Limit of one request, in milliseconds (`MLFLOW_TRACE_HTTP_TIMEOUT_MS`). */
  httpTimeoutMs?: number;
  /** Longest wait for deliveries as the process ends, in milliseconds (`MLFLOW_TRACE_SHUTDOWN_TIMEOUT_MS`). */
  shutdownTimeoutMs?: number;
  /** Name that MLflow gives this option; see `trackingToken`. */
  trackingServerToken?: string;
  /** Name that MLflow gives this option; see `username`. */
  trackingServerUsername?: string;
  /** Name that MLflow gives this option; see `password`. */
  trackingServerPassword?: string;
}

/** The engine's key of each option. */
const KEYS: Readonly<Record<keyof InitOptions, string>> = {
  trackingUri: 'tracking_uri',
  experimentId: 'experiment_id',
  experimentName: 'experiment_name',
  trackingToken: 'tracking_token',
  username: 'tracking_username',
  password: 'tracking_password',
  workspace: 'workspace',
  serviceName: 'service.name',
  exporter: 'exporter',
  fileDirectory: 'file.directory',
  queueMaxBytes: 'queue.max_bytes',
  batchMaxSpans: 'batch.max_spans',
  batchMaxBytes: 'batch.max_bytes',
  batchDelayMs: 'batch.delay_ms',
  httpTimeoutMs: 'http.timeout_ms',
  shutdownTimeoutMs: 'shutdown.timeout_ms',
  trackingServerToken: 'tracking_token',
  trackingServerUsername: 'tracking_username',
  trackingServerPassword: 'tracking_password',
};

const INVALID_CONFIG = 'ERR_MLFLOW_TRACE_INVALID_CONFIG';

/**
 * Configures tracing. Optional: without it the environment decides. May be called again; traces that start from then on
 * follow the new settings, while what was recorded before is still delivered where it belongs.
 * @throws Error with `code` `ERR_MLFLOW_TRACE_INVALID_CONFIG` that names the option, for a value that is malformed.
 */
export function init(options: InitOptions = {}): void {
  if (typeof options !== 'object' || options === null) throw invalid('init takes an object of options');
  const values: Record<string, string> = {};
  const names = new Map<string, string>();
  for (const [name, value] of Object.entries(options) as [keyof InitOptions, unknown][]) {
    if (!Object.hasOwn(KEYS, name)) throw invalid(`unknown option '${name}'`);
    if (value === undefined || value === null) continue;
    if (typeof value !== 'string' && typeof value !== 'number') {
      throw invalid(`option '${name}': expected text or a number, not ${typeof value}`);
    }
    values[KEYS[name]] = String(value);
    names.set(KEYS[name], name);
  }
  try {
    configureEngine(values);
  } catch (error) {
    throw renamed(error, names);
  }
}

/** The engine's error with the option named as the caller wrote it. */
function renamed(error: unknown, names: ReadonlyMap<string, string>): unknown {
  if (!(error instanceof Error)) return error;
  for (const [key, name] of names)
    error.message = error.message.replace(`option '${key}'`, `option '${name}'`);
  return error;
}

function invalid(message: string): Error {
  return Object.assign(new Error(message), { code: INVALID_CONFIG });
}
