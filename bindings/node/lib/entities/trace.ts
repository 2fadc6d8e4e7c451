import { type Assessment, assessmentFromJson } from './assessment.js';
import { type TraceLocation, TraceLocationType } from './location.js';
import { Span, type SpanJson } from './span.js';

/** What a trace came to. */
export const TraceState = {
  STATE_UNSPECIFIED: 'STATE_UNSPECIFIED',
  OK: 'OK',
  ERROR: 'ERROR',
  IN_PROGRESS: 'IN_PROGRESS',
} as const;
/** What a trace came to. */
export type TraceState = (typeof TraceState)[keyof typeof TraceState];

/** Keys of `TraceInfo.traceMetadata` that MLflow reads. */
export const TraceMetadataKey = {
  SCHEMA_VERSION: 'mlflow.trace_schema.version',
  INPUTS: 'mlflow.traceInputs',
  OUTPUTS: 'mlflow.traceOutputs',
  TOKEN_USAGE: 'mlflow.trace.tokenUsage',
  COST: 'mlflow.trace.cost',
  SIZE_STATS: 'mlflow.trace.sizeStats',
  SIZE_BYTES: 'mlflow.trace.sizeBytes',
  SESSION: 'mlflow.trace.session',
  USER: 'mlflow.trace.user',
  SOURCE_RUN: 'mlflow.sourceRun',
  MODEL_ID: 'mlflow.modelId',
} as const;

/** Keys of `TraceInfo.tags` that MLflow reads. */
export const TraceTagKey = {
  TRACE_NAME: 'mlflow.traceName',
  ARTIFACT_LOCATION: 'mlflow.artifactLocation',
  SPANS_LOCATION: 'mlflow.trace.spansLocation',
} as const;

/** Tokens that models took in and gave. */
export interface TokenUsage {
  /** Taken in. */
  input_tokens: number;
  /** Given. */
  output_tokens: number;
  /** Both together. */
  total_tokens: number;
  /** Taken in from a cache. */
  cache_read_input_tokens?: number;
  /** Taken in and put into a cache. */
  cache_creation_input_tokens?: number;
}

/** A trace as MLflow's REST API has it, version 3 (MLflow 3.17). */
export interface TraceInfoJson {
  trace_id: string;
  client_request_id?: string;
  trace_location: {
    type: TraceLocationType;
    mlflow_experiment?: { experiment_id: string };
    inference_table?: { full_table_name: string };
    uc_table_prefix?: { catalog_name: string; schema_name: string; table_prefix: string };
  };
  request_preview?: string;
  response_preview?: string;
  /** RFC 3339. */
  request_time: string;
  /** Seconds, such as `0.118s`. */
  execution_duration?: string;
  /** Milliseconds, as MLflow's Python SDK writes it. */
  execution_duration_ms?: number;
  state?: TraceState;
  trace_metadata?: Record<string, string>;
  tags?: Record<string, string>;
  assessments?: Record<string, unknown>[];
}

/** What is known of a trace besides its spans. */
export class TraceInfo {
  /** `tr-` and 32 hex digits. */
  readonly traceId: string;
  /** The host's own id of the request. */
  readonly clientRequestId: string | undefined;
  /** Where the trace is kept. */
  readonly traceLocation: TraceLocation;
  /** Text shown for the request in lists. */
  readonly requestPreview: string | undefined;
  /** Text shown for the response in lists. */
  readonly responsePreview: string | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly requestTime: number;
  /** Milliseconds; undefined while the trace runs. */
  readonly executionDuration: number | undefined;
  /** What the trace came to. */
  readonly state: TraceState;
  /** What was known when it ended; see `TraceMetadataKey`. */
  readonly traceMetadata: Readonly<Record<string, string>>;
  /** What can be changed later; see `TraceTagKey`. */
  readonly tags: Readonly<Record<string, string>>;
  /** What was said about it. */
  readonly assessments: readonly Assessment[];

  private constructor(json: TraceInfoJson) {
    this.traceId = json.trace_id;
    this.clientRequestId = json.client_request_id;
    this.traceLocation = locationFromJson(json.trace_location);
    this.requestPreview = json.request_preview;
    this.responsePreview = json.response_preview;
    this.requestTime = Date.parse(json.request_time);
    this.executionDuration =
      json.execution_duration === undefined
        ? json.execution_duration_ms
        : Math.round(parseFloat(json.execution_duration) * 1e6) / 1000;
    this.state = json.state ?? TraceState.STATE_UNSPECIFIED;
    this.traceMetadata = { ...json.trace_metadata };
    this.tags = { ...json.tags };
    this.assessments = (json.assessments ?? [])
      .map(assessmentFromJson)
      .filter((assessment) => assessment !== undefined);
  }

  /** Reads the information of a trace as the REST API gives it. */
  static fromJson(json: TraceInfoJson): TraceInfo {
    return new TraceInfo(json);
  }

  /** Id of the experiment; undefined for traces that are kept elsewhere. */
  get experimentId(): string | undefined {
    return this.traceLocation.mlflowExperiment?.experimentId;
  }

  /** Tokens of all spans together; undefined when none told any. */
  get tokenUsage(): TokenUsage | undefined {
    return parsed<TokenUsage>(this.traceMetadata[TraceMetadataKey.TOKEN_USAGE]);
  }

  /** As the REST API takes it. */
  toJson(): TraceInfoJson {
    const { mlflowExperiment, inferenceTable, ucTablePrefix, type } = this.traceLocation;
    const json: TraceInfoJson = {
      trace_id: this.traceId,
      client_request_id: this.clientRequestId,
      trace_location: {
        type,
        mlflow_experiment: mlflowExperiment && { experiment_id: mlflowExperiment.experimentId },
        inference_table: inferenceTable && { full_table_name: inferenceTable.fullTableName },
        uc_table_prefix: ucTablePrefix && {
          catalog_name: ucTablePrefix.catalogName,
          schema_name: ucTablePrefix.schemaName,
          table_prefix: ucTablePrefix.tablePrefix,
        },
      },
      request_preview: this.requestPreview,
      response_preview: this.responsePreview,
      request_time: new Date(this.requestTime).toISOString(),
      execution_duration:
        this.executionDuration === undefined ? undefined : `${this.executionDuration / 1000}s`,
      state: this.state,
      trace_metadata: this.traceMetadata,
      tags: this.tags,
      assessments:
        this.assessments.length === 0 ? undefined : this.assessments.map((assessment) => assessment.toJson()),
    };
    return JSON.parse(JSON.stringify(json)) as TraceInfoJson;
  }
}

/** The spans of a trace. */
export class TraceData {
  constructor(
    /** All spans, in the order of the source. */
    readonly spans: readonly Span[],
  ) {}

  /** Reads the content of `traces.json`. */
  static fromJson(json: { spans: readonly SpanJson[] }): TraceData {
    return new TraceData(json.spans.map((span) => Span.fromJson(span)));
  }

  /** As MLflow stores it. */
  toJson(): { spans: SpanJson[] } {
    return { spans: this.spans.map((span) => span.toJson()) };
  }
}

/** A trace as it was read from a server or a file. */
export class Trace {
  constructor(
    /** What is known besides the spans. */
    readonly info: TraceInfo,
    /** The spans. */
    readonly data: TraceData,
  ) {}

  /**
   * Reads a trace. From its text, times keep all their digits.
   * @throws SyntaxError when it is text that is no JSON.
   */
  static fromJson(json: string | { info: TraceInfoJson; data: { spans: readonly SpanJson[] } }): Trace {
    const read =
      typeof json === 'string'
        ? parseTimes<{ info: TraceInfoJson; data: { spans: SpanJson[] } }>(json)
        : json;
    return new Trace(TraceInfo.fromJson(read.info), TraceData.fromJson(read.data));
  }

  /** As MLflow's SDKs write it. */
  toJson(): { info: TraceInfoJson; data: { spans: SpanJson[] } } {
    return { info: this.info.toJson(), data: this.data.toJson() };
  }
}

/**
 * Reads JSON with traces in it, and times as text: a number of JavaScript has no room for nanoseconds. Inside of texts these
 * quotes are escaped, so nothing else is met.
 * @internal
 */
export function parseTimes<T>(text: string): T {
  return JSON.parse(text.replace(/("(?:start_|end_)?time_unix_nano"\s*:\s*)(\d+)/g, '$1"$2"')) as T;
}

function locationFromJson(json: TraceInfoJson['trace_location']): TraceLocation {
  const { mlflow_experiment: experiment, inference_table: table, uc_table_prefix: uc } = json;
  return {
    type: json.type ?? TraceLocationType.UNSPECIFIED,
    mlflowExperiment: experiment && { experimentId: experiment.experiment_id },
    inferenceTable: table && { fullTableName: table.full_table_name },
    ucTablePrefix: uc && {
      catalogName: uc.catalog_name,
      schemaName: uc.schema_name,
      tablePrefix: uc.table_prefix,
    },
  };
}

function parsed<T>(text: string | undefined): T | undefined {
  try {
    return text === undefined ? undefined : (JSON.parse(text) as T);
  } catch {
    return undefined;
  }
}
