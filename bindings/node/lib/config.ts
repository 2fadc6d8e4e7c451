import { configureEngine, withholdContent } from './lifecycle.js';
import { setProcessors, type SpanHook, type SpanProcessor, toProcessors } from './processors.js';

/** Settings of `init`. What is left out comes from the environment, then from the engine's defaults. */
export interface InitOptions {
  /**
   * MLflow server, `http://` or `https://`, or `databricks` or `databricks://PROFILE` (`MLFLOW_TRACKING_URI`). Without one,
   * traces go to files.
   */
  trackingUri?: string;
  /** Experiment of new traces, decimal digits (`MLFLOW_TRACING_DESTINATION`, else `MLFLOW_EXPERIMENT_ID`). Wins over the name. */
  experimentId?: string | number;
  /** Experiment of new traces by name; made when missing (`MLFLOW_EXPERIMENT_NAME`). */
  experimentName?: string;
  /** Bearer token (`MLFLOW_TRACKING_TOKEN`). User name and password win over it. */
  trackingToken?: string;
  /** File with a Bearer token, read again when the server refuses it (`MLFLOW_TRACKING_TOKEN_FILE`). */
  trackingTokenFile?: string;
  /** User name of Basic authentication (`MLFLOW_TRACKING_USERNAME`). */
  username?: string;
  /** Password of Basic authentication (`MLFLOW_TRACKING_PASSWORD`). */
  password?: string;
  /** Workspace of new traces (`MLFLOW_WORKSPACE`). */
  workspace?: string;
  /** Resource attribute `service.name` (`OTEL_SERVICE_NAME`). */
  serviceName?: string;
  /** Metadata `mlflow.source.name`; the program's path by default (`MLFLOW_TRACE_SOURCE_NAME`). */
  sourceName?: string;
  /**
   * Where traces go; `auto` is `otlp` with an endpoint of a collector, else `mlflow` with a tracking URI, else `file`
   * (`MLFLOW_TRACE_EXPORTER`).
   */
  exporter?: 'auto' | 'mlflow' | 'otlp' | 'file' | 'memory' | 'none';
  /** Directory of the file exporter's OTLP/JSON lines (`MLFLOW_TRACE_FILE_DIRECTORY`). */
  fileDirectory?: string;
  /** OpenTelemetry collector; traces go to `/v1/traces` below it (`OTEL_EXPORTER_OTLP_ENDPOINT`). */
  otlpEndpoint?: string;
  /** Where the collector takes traces, used as it is (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`). */
  otlpTracesEndpoint?: string;
  /** Headers for the collector, `name=value` separated by commas (`OTEL_EXPORTER_OTLP_HEADERS`). */
  otlpHeaders?: string;
  /** The protocol; there is only `http/protobuf` (`OTEL_EXPORTER_OTLP_PROTOCOL`). */
  otlpProtocol?: 'http/protobuf';
  /** Limit of one request to the collector, in milliseconds (`OTEL_EXPORTER_OTLP_TIMEOUT`). */
  otlpTimeoutMs?: number;
  /** Compression of requests to the collector (`OTEL_EXPORTER_OTLP_COMPRESSION`). */
  otlpCompression?: 'gzip' | 'none';
  /** PEM file with the authorities that the collector's certificate is checked against (`OTEL_EXPORTER_OTLP_CERTIFICATE`). */
  otlpCertificate?: string;
  /** PEM file with the client's certificate for the collector (`OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`). */
  otlpClientCertificate?: string;
  /** PEM file with the key of that certificate (`OTEL_EXPORTER_OTLP_CLIENT_KEY`). */
  otlpClientKey?: string;
  /** False takes no notice of endpoints of collectors, unless `exporter` is `otlp` (`MLFLOW_ENABLE_OTLP_EXPORTER`). */
  otlpEnabled?: boolean;
  /** True sends traces to the collector besides, not instead (`MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT`). */
  otlpDualExport?: boolean;
  /** True sends the collector attributes of the GenAI semantic conventions (`MLFLOW_ENABLE_OTEL_GENAI_SEMCONV`). */
  otlpGenaiSemconv?: boolean;
  /** Memory for traces that wait; newer ones are dropped and counted (`MLFLOW_TRACE_QUEUE_MAX_BYTES`). */
  queueMaxBytes?: number;
  /** Traces that wait; 0 is no limit (`MLFLOW_TRACE_QUEUE_MAX_TRACES`). */
  queueMaxTraces?: number;
  /** Which traces a full queue gives up (`MLFLOW_TRACE_QUEUE_DROP`). */
  queueDrop?: 'newest' | 'oldest';
  /** Keeps finished traces on disk until they are delivered; `spill` those that memory cannot keep (`MLFLOW_TRACE_SPOOL`). */
  spool?: 'off' | 'spill' | 'write-through' | 'sync';
  /** Where they lie (`MLFLOW_TRACE_SPOOL_DIR`). */
  spoolDir?: string;
  /** Closes traces that a process left open when it died (`MLFLOW_TRACE_SPOOL_CLOSE_ORPHANS`). */
  spoolCloseOrphans?: boolean;
  /** Bytes of that directory, over all processes (`MLFLOW_TRACE_SPOOL_MAX_BYTES`). */
  spoolMaxBytes?: number;
  /** Batches on their way at once (`MLFLOW_TRACE_EXPORT_MAX_IN_FLIGHT`). */
  exportMaxInFlight?: number;
  /** `spans_only` makes no request for each trace (`MLFLOW_TRACE_EXPORT_TRACE_INFO`). */
  exportTraceInfo?: 'full' | 'spans_only';
  /** Compression of requests with spans (`MLFLOW_TRACE_EXPORT_COMPRESSION`). */
  exportCompression?: 'auto' | 'gzip' | 'none';
  /** Spans in one request (`MLFLOW_TRACE_BATCH_MAX_SPANS`). */
  batchMaxSpans?: number;
  /** Bytes of spans in one request (`MLFLOW_TRACE_BATCH_MAX_BYTES`). */
  batchMaxBytes?: number;
  /** Longest wait of a finished trace before it is sent, in milliseconds (`MLFLOW_TRACE_BATCH_DELAY_MS`). */
  batchDelayMs?: number;
  /** Limit of one request, in milliseconds (`MLFLOW_TRACE_HTTP_TIMEOUT_MS`). */
  httpTimeoutMs?: number;
  /** Headers of every request, as `name=value` separated by commas, values percent-encoded (`MLFLOW_TRACE_HTTP_HEADERS`). */
  httpHeaders?: string;
  /** Proxy instead of that of `HTTPS_PROXY` and its like; `direct` takes none (`MLFLOW_TRACE_HTTP_PROXY`). */
  httpProxy?: string;
  /** PEM file with authorities to trust besides the system's (`MLFLOW_TRACKING_SERVER_CERT_PATH`). */
  tlsCertificate?: string;
  /** PEM file with the client's certificate, and its key unless that has a file (`MLFLOW_TRACKING_CLIENT_CERT_PATH`). */
  tlsClientCertificate?: string;
  /** PEM file with the key of that certificate (`MLFLOW_TRACE_CLIENT_KEY_PATH`). */
  tlsClientKey?: string;
  /** True takes any certificate of the server (`MLFLOW_TRACKING_INSECURE_TLS`). */
  tlsInsecure?: boolean;
  /** Databricks workspace, for the tracking URI `databricks` (`DATABRICKS_HOST`). */
  databricksHost?: string;
  /** Personal access token for it (`DATABRICKS_TOKEN`). */
  databricksToken?: string;
  /** Service principal, for OAuth (`DATABRICKS_CLIENT_ID`). */
  databricksClientId?: string;
  /** Secret of the service principal (`DATABRICKS_CLIENT_SECRET`). */
  databricksClientSecret?: string;
  /** Profile of the file with profiles (`DATABRICKS_CONFIG_PROFILE`). */
  databricksProfile?: string;
  /** File with profiles; `~/.databrickscfg` by default (`DATABRICKS_CONFIG_FILE`). */
  databricksConfigFile?: string;
  /** Longest wait for deliveries as the process ends, in milliseconds (`MLFLOW_TRACE_SHUTDOWN_TIMEOUT_MS`). */
  shutdownTimeoutMs?: number;
  /** True records nothing (`OTEL_SDK_DISABLED`). */
  sdkDisabled?: boolean;
  /** Share of the traces begun here that is recorded, 0 to 1 (`MLFLOW_TRACE_SAMPLING_RATIO`). */
  samplingRatio?: number;
  /** Traces begun here in one second; 0 is no limit (`MLFLOW_TRACE_MAX_TRACES_PER_SECOND`). */
  samplingMaxTracesPerSecond?: number;
  /** Records traces that are not sampled and sends those in which a span failed (`MLFLOW_TRACE_KEEP_ERRORS`). */
  samplingKeepErrors?: boolean;
  /** Traces that run for more seconds are closed as failed; 0 is no limit (`MLFLOW_TRACE_TIMEOUT_SECONDS`). */
  traceTimeoutS?: number;
  /** Traces in which nothing happens for so many seconds are closed as abandoned (`MLFLOW_TRACE_BUFFER_TTL_SECONDS`). */
  traceTtlS?: number;
  /** With more open traces, those that were quiet longest are closed as abandoned (`MLFLOW_TRACE_BUFFER_MAX_SIZE`). */
  traceMaxOpen?: number;
  /** How long a trace waits for children that outlive its root, in milliseconds (`MLFLOW_TRACE_CHILDREN_WAIT_MS`). */
  traceChildrenWaitMs?: number;
  /** Ended spans of a running trace are sent after so many milliseconds (`MLFLOW_TRACE_PARTIAL_AFTER_MS`). */
  tracePartialAfterMs?: number;
  /** Bytes of one text in a span; longer ones are cut, with a note (`MLFLOW_TRACE_MAX_VALUE_BYTES`). */
  limitsValueBytes?: number;
  /** Attributes of a span; further ones are left out and counted (`OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`). */
  limitsAttributes?: number;
  /** Events of a span; further ones are left out and counted (`OTEL_SPAN_EVENT_COUNT_LIMIT`). */
  limitsEvents?: number;
  /** Links of a span; further ones are left out and counted (`OTEL_SPAN_LINK_COUNT_LIMIT`). */
  limitsLinks?: number;
  /** False keeps names, ids, times, states, token usage and models, and no content (`MLFLOW_TRACE_CAPTURE_CONTENT`). */
  captureContent?: boolean;
  /** Names of attributes and JSON members whose values are taken out, with `*` (`MLFLOW_TRACE_REDACT_KEYS`). */
  redactKeys?: string | readonly string[];
  /** Places in inputs, outputs and attributes whose values are taken out (`MLFLOW_TRACE_REDACT_PATHS`). */
  redactPaths?: string | readonly string[];
  /** What is taken out of every text, as expressions of Rust's `regex` (`MLFLOW_TRACE_REDACT_PATTERNS`). */
  redactPatterns?: string | readonly string[];
  /** Moves base64 content of inputs and outputs into attachments (`MLFLOW_TRACE_EXTRACT_ATTACHMENTS`). */
  attachmentsExtract?: boolean;
  /** Larger attachments are discarded and their span fails; 0 is no limit (`MLFLOW_TRACE_MAX_ATTACHMENT_SIZE`). */
  attachmentsMaxBytes?: number;
  /** See every span of this thread as it starts and as it ends, in this order; a function sees the ends. */
  spanProcessors?: readonly (SpanProcessor | SpanHook)[];
  /** Name that MLflow gives this option; see `trackingToken`. */
  trackingServerToken?: string;
  /** Name that MLflow gives this option; see `username`. */
  trackingServerUsername?: string;
  /** Name that MLflow gives this option; see `password`. */
  trackingServerPassword?: string;
  /** Name that MLflow gives this option; see `databricksConfigFile`. */
  databricksConfigPath?: string;
  /** Name that MLflow gives this option; see `databricksHost`. */
  host?: string;
}

/**
 * The engine's key of each option.
 * @internal
 */
export const KEYS: Readonly<Record<Exclude<keyof InitOptions, 'spanProcessors'>, string>> = {
  trackingUri: 'tracking_uri',
  experimentId: 'experiment_id',
  experimentName: 'experiment_name',
  trackingToken: 'tracking_token',
  trackingTokenFile: 'tracking_token_file',
  username: 'tracking_username',
  password: 'tracking_password',
  workspace: 'workspace',
  serviceName: 'service.name',
  sourceName: 'source.name',
  exporter: 'exporter',
  fileDirectory: 'file.directory',
  otlpEndpoint: 'otlp.endpoint',
  otlpTracesEndpoint: 'otlp.traces_endpoint',
  otlpHeaders: 'otlp.headers',
  otlpProtocol: 'otlp.protocol',
  otlpTimeoutMs: 'otlp.timeout_ms',
  otlpCompression: 'otlp.compression',
  otlpCertificate: 'otlp.certificate',
  otlpClientCertificate: 'otlp.client_certificate',
  otlpClientKey: 'otlp.client_key',
  otlpEnabled: 'otlp.enabled',
  otlpDualExport: 'otlp.dual_export',
  otlpGenaiSemconv: 'otlp.genai_semconv',
  queueMaxBytes: 'queue.max_bytes',
  queueMaxTraces: 'queue.max_traces',
  queueDrop: 'queue.drop',
  spool: 'spool',
  spoolDir: 'spool.dir',
  spoolCloseOrphans: 'spool.close_orphans',
  spoolMaxBytes: 'spool.max_bytes',
  exportMaxInFlight: 'export.max_in_flight',
  exportTraceInfo: 'export.trace_info',
  exportCompression: 'export.compression',
  batchMaxSpans: 'batch.max_spans',
  batchMaxBytes: 'batch.max_bytes',
  batchDelayMs: 'batch.delay_ms',
  httpTimeoutMs: 'http.timeout_ms',
  httpHeaders: 'http.headers',
  httpProxy: 'http.proxy',
  tlsCertificate: 'tls.certificate',
  tlsClientCertificate: 'tls.client_certificate',
  tlsClientKey: 'tls.client_key',
  tlsInsecure: 'tls.insecure',
  databricksHost: 'databricks.host',
  databricksToken: 'databricks.token',
  databricksClientId: 'databricks.client_id',
  databricksClientSecret: 'databricks.client_secret',
  databricksProfile: 'databricks.profile',
  databricksConfigFile: 'databricks.config_file',
  shutdownTimeoutMs: 'shutdown.timeout_ms',
  sdkDisabled: 'sdk.disabled',
  samplingRatio: 'sampling.ratio',
  samplingMaxTracesPerSecond: 'sampling.max_traces_per_second',
  samplingKeepErrors: 'sampling.keep_errors',
  traceTimeoutS: 'trace.timeout_s',
  traceTtlS: 'trace.ttl_s',
  traceMaxOpen: 'trace.max_open',
  traceChildrenWaitMs: 'trace.children_wait_ms',
  tracePartialAfterMs: 'trace.partial_after_ms',
  limitsValueBytes: 'limits.value_bytes',
  limitsAttributes: 'limits.attributes',
  limitsEvents: 'limits.events',
  limitsLinks: 'limits.links',
  captureContent: 'capture_content',
  redactKeys: 'redact.keys',
  redactPaths: 'redact.paths',
  redactPatterns: 'redact.patterns',
  attachmentsExtract: 'attachments.extract',
  attachmentsMaxBytes: 'attachments.max_bytes',
  trackingServerToken: 'tracking_token',
  trackingServerUsername: 'tracking_username',
  trackingServerPassword: 'tracking_password',
  databricksConfigPath: 'databricks.config_file',
  host: 'databricks.host',
};

const INVALID_CONFIG = 'ERR_MLFLOW_TRACE_INVALID_CONFIG';
/** Who asks for less content, even by a name that does not exist, must not have all of it sent. */
const ABOUT_CONTENT = /^(redact|capture|spanprocessor)/i;

/**
 * Configures tracing. Optional: without it the environment decides. May be called again; traces that start from then on
 * follow the new settings, while what was recorded before is still delivered where it belongs.
 * @throws Error with `code` `ERR_MLFLOW_TRACE_INVALID_CONFIG` that names the option, for a value that is malformed. The
 * configuration stays as it was; but where `options` asked for less content, content is withheld until `init` succeeds.
 */
export function init(options: InitOptions = {}): void {
  if (typeof options !== 'object' || options === null) throw invalid('init takes an object of options');
  try {
    configure(options);
  } catch (error) {
    if (Object.keys(options).some((name) => ABOUT_CONTENT.test(name))) withholdContent();
    throw error;
  }
}

function configure({ spanProcessors, ...options }: InitOptions): void {
  const processors = toProcessors(spanProcessors ?? []);
  if (processors === undefined) {
    throw invalid(
      "option 'spanProcessors': expected a list of functions and of objects with onStart or onEnd",
    );
  }
  const values: Record<string, string> = {};
  const names = new Map<string, string>();
  for (const [name, value] of Object.entries(options) as [keyof typeof KEYS, unknown][]) {
    if (!Object.hasOwn(KEYS, name)) throw invalid(`unknown option '${name}'`);
    if (value === undefined || value === null) continue;
    values[KEYS[name]] = toText(name, value);
    names.set(KEYS[name], name);
  }
  try {
    configureEngine(values, processors.length > 0);
  } catch (error) {
    throw renamed(error, names);
  }
  setProcessors(processors);
}

/** The engine's form of a value. */
function toText(name: string, value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return String(value);
  }
  if (!Array.isArray(value) || !name.startsWith('redact')) {
    throw invalid(`option '${name}': expected text, a number or a boolean, not ${typeof value}`);
  }
  const items: unknown[] = value;
  for (const item of items) {
    // The engine would take a key with a comma for two keys, and leave alone what was meant.
    const isText = typeof item === 'string' && item !== '';
    if (!isText || (name === 'redactKeys' && item.includes(','))) {
      throw invalid(`option '${name}': expected a list of texts${isText ? ' without commas' : ''}`);
    }
  }
  if (items.length === 0) return '';
  return name === 'redactPatterns' ? JSON.stringify(items) : items.join(',');
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
