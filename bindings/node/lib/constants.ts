/** Span types that MLflow's UI knows; any other text is a custom type. */
export const SpanType = {
  LLM: 'LLM',
  CHAIN: 'CHAIN',
  AGENT: 'AGENT',
  TOOL: 'TOOL',
  CHAT_MODEL: 'CHAT_MODEL',
  RETRIEVER: 'RETRIEVER',
  PARSER: 'PARSER',
  EMBEDDING: 'EMBEDDING',
  RERANKER: 'RERANKER',
  MEMORY: 'MEMORY',
  WORKFLOW: 'WORKFLOW',
  TASK: 'TASK',
  GUARDRAIL: 'GUARDRAIL',
  EVALUATOR: 'EVALUATOR',
  UNKNOWN: 'UNKNOWN',
} as const;
/** A predefined span type, or any other text. */
export type SpanType = (typeof SpanType)[keyof typeof SpanType] | (string & {});

/** Status codes, spelled as in MLflow's span JSON. */
export const SpanStatusCode = {
  UNSET: 'STATUS_CODE_UNSET',
  OK: 'STATUS_CODE_OK',
  ERROR: 'STATUS_CODE_ERROR',
} as const;
export type SpanStatusCode = (typeof SpanStatusCode)[keyof typeof SpanStatusCode];

/** What a span came to. `description` is only meaningful for ERROR. */
export interface SpanStatus {
  /** Whether it went well. */
  readonly statusCode: SpanStatusCode;
  /** What went wrong. */
  readonly description: string;
}

/** Severity of a span; MLflow's UI filters by it. */
export const SpanLogLevel = { DEBUG: 10, INFO: 20, WARNING: 30, ERROR: 40, CRITICAL: 50 } as const;
export type SpanLogLevel = (typeof SpanLogLevel)[keyof typeof SpanLogLevel];

/**
 * Turns a level or its name (any case, spaces around it allowed) into a `SpanLogLevel`.
 * @throws RangeError when it names no level.
 */
export function toSpanLogLevel(value: SpanLogLevel | string): SpanLogLevel {
  const levels: Record<string, SpanLogLevel> = SpanLogLevel;
  for (const [name, level] of Object.entries(levels)) {
    if (value === level || (typeof value === 'string' && value.trim().toUpperCase() === name)) return level;
  }
  throw new RangeError(
    `${JSON.stringify(value)} is no span log level; expected one of ${Object.keys(levels).join(', ')}`,
  );
}

/** Attribute keys that MLflow reads from spans. */
export const SpanAttributeKey = {
  EXPERIMENT_ID: 'mlflow.experimentId',
  TRACE_ID: 'mlflow.traceRequestId',
  INPUTS: 'mlflow.spanInputs',
  OUTPUTS: 'mlflow.spanOutputs',
  SPAN_TYPE: 'mlflow.spanType',
  FUNCTION_NAME: 'mlflow.spanFunctionName',
  LOG_LEVEL: 'mlflow.spanLogLevel',
  CHAT_TOOLS: 'mlflow.chat.tools',
  TOKEN_USAGE: 'mlflow.chat.tokenUsage',
  MODEL: 'mlflow.llm.model',
  MODEL_PROVIDER: 'mlflow.llm.provider',
  LLM_COST: 'mlflow.llm.cost',
  MESSAGE_FORMAT: 'mlflow.message.format',
  SESSION_ID: 'session.id',
  USER_ID: 'user.id',
} as const;

/** Keys inside the value of `SpanAttributeKey.TOKEN_USAGE`. */
export const TokenUsageKey = {
  INPUT_TOKENS: 'input_tokens',
  OUTPUT_TOKENS: 'output_tokens',
  TOTAL_TOKENS: 'total_tokens',
  CACHE_READ_INPUT_TOKENS: 'cache_read_input_tokens',
  CACHE_CREATION_INPUT_TOKENS: 'cache_creation_input_tokens',
} as const;

/** Name of a span that was given none. */
export const DEFAULT_SPAN_NAME = 'span';

/** What the trace id of a span that records nothing reads as. */
export const NO_OP_SPAN_TRACE_ID = 'MLFLOW_NO_OP_SPAN_TRACE_ID';

/** Prefix of a trace id in MLflow's API; the 32 hex digits of the OpenTelemetry id follow. */
export const TRACE_ID_PREFIX = 'tr-';
