/** Who assessed a trace. */
export const AssessmentSourceType = {
  SOURCE_TYPE_UNSPECIFIED: 'SOURCE_TYPE_UNSPECIFIED',
  HUMAN: 'HUMAN',
  LLM_JUDGE: 'LLM_JUDGE',
  CODE: 'CODE',
} as const;
/** Who assessed a trace. */
export type AssessmentSourceType = (typeof AssessmentSourceType)[keyof typeof AssessmentSourceType];

/** Who assessed a trace. The type `AI_JUDGE`, of older versions of MLflow, is taken for `LLM_JUDGE`. */
export interface AssessmentSource {
  /** What kind of assessor it was. */
  sourceType: AssessmentSourceType | 'AI_JUDGE';
  /** Name of the person, the model or the program; `default` when left out. */
  sourceId?: string;
}

/** Why there is no feedback. */
export interface AssessmentError {
  /** What went wrong, as a word: `RATE_LIMIT`, or the name of an error. */
  errorCode: string;
  /** What went wrong, for people. */
  errorMessage?: string;
  /** Its last 10,000 characters are kept. */
  stackTrace?: string;
}

/** What all assessments have. */
export interface AssessmentOptions {
  /** What is assessed: `correctness`. */
  name: string;
  /** `tr-` and 32 hex digits. */
  traceId?: string;
  /** The span that is assessed, 16 hex digits; the trace as a whole when left out. */
  spanId?: string;
  /** Who assessed it. */
  source?: AssessmentSource;
  /** Why it is as it is. */
  rationale?: string;
  /** More about it; values are text. */
  metadata?: Record<string, string>;
  /** Id that the server gave, or is to take. */
  assessmentId?: string;
  /** Milliseconds since the Unix epoch; now when left out. */
  createTimeMs?: number;
  /** Milliseconds since the Unix epoch; the time of creation when left out. */
  lastUpdateTimeMs?: number;
}

/** How good a trace is. There is a value, or an error that says why there is none. */
export interface FeedbackOptions extends AssessmentOptions {
  /** Any value of JSON. */
  value?: unknown;
  /** Why there is no value. */
  error?: AssessmentError | Error;
  /** False once another assessment replaced it. */
  valid?: boolean;
  /** Id of the feedback that this one replaces. */
  overrides?: string;
}

/** What a trace should have come to. */
export interface ExpectationOptions extends AssessmentOptions {
  /** Any value of JSON. */
  value: unknown;
}

type Json = Record<string, unknown>;

const MAX_STACK = 10_000;
const DEFAULT_SOURCE_ID = 'default';
const JSON_FORMAT = 'JSON_FORMAT';

abstract class BaseAssessment {
  /** What is assessed. */
  readonly name: string;
  /** `tr-` and 32 hex digits. */
  readonly traceId: string | undefined;
  /** 16 hex digits; undefined for the trace as a whole. */
  readonly spanId: string | undefined;
  /** Who assessed it. */
  readonly source: { readonly sourceType: AssessmentSourceType; readonly sourceId: string };
  /** Why it is as it is. */
  readonly rationale: string | undefined;
  /** More about it. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Id at the server; undefined for one that it has not got. */
  readonly assessmentId: string | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly createTimeMs: number;
  /** Milliseconds since the Unix epoch. */
  readonly lastUpdateTimeMs: number;

  constructor(options: AssessmentOptions, defaultSource: AssessmentSourceType) {
    const { name, source, metadata = {} } = options;
    if (typeof name !== 'string' || name === '') throw new TypeError('an assessment has a name');
    for (const [key, value] of Object.entries(metadata)) {
      if (typeof value !== 'string') throw new TypeError(`metadata of an assessment is text: ${key} is none`);
    }
    this.name = name;
    this.traceId = options.traceId;
    this.spanId = options.spanId;
    this.source = {
      sourceType: toSourceType(source?.sourceType ?? defaultSource),
      sourceId: source?.sourceId ?? DEFAULT_SOURCE_ID,
    };
    this.rationale = options.rationale;
    this.metadata = { ...metadata };
    this.assessmentId = options.assessmentId;
    this.createTimeMs = options.createTimeMs ?? Date.now();
    this.lastUpdateTimeMs = options.lastUpdateTimeMs ?? this.createTimeMs;
  }

  /** As MLflow's REST API has it (3.17). */
  toJson(): Json {
    return withoutUndefined({
      assessment_id: this.assessmentId,
      assessment_name: this.name,
      trace_id: this.traceId,
      span_id: this.spanId,
      source: { source_type: this.source.sourceType, source_id: this.source.sourceId },
      create_time: new Date(this.createTimeMs).toISOString(),
      last_update_time: new Date(this.lastUpdateTimeMs).toISOString(),
      rationale: this.rationale,
      metadata: Object.keys(this.metadata).length === 0 ? undefined : this.metadata,
    });
  }
}

/** How good a trace is. Made by a program unless its source says otherwise. */
export class Feedback extends BaseAssessment {
  /** Any value of JSON; null where there is an error instead. */
  readonly value: unknown;
  /** Why there is no value. */
  readonly error: AssessmentError | undefined;
  /** False once another assessment replaced it. */
  readonly valid: boolean;
  /** Id of the feedback that this one replaces. */
  readonly overrides: string | undefined;

  /** @throws TypeError when there is neither value nor error, no name, or metadata that is no text. */
  constructor(options: FeedbackOptions) {
    super(options, AssessmentSourceType.CODE);
    const { value, error } = options;
    if ((value === undefined || value === null) && error === undefined) {
      throw new TypeError('feedback has a value or an error');
    }
    this.value = value ?? null;
    this.error = error && toError(error);
    this.valid = options.valid ?? true;
    this.overrides = options.overrides;
  }

  override toJson(): Json {
    const error = this.error && {
      error_code: this.error.errorCode,
      error_message: this.error.errorMessage,
      stack_trace: this.error.stackTrace,
    };
    const feedback = withoutUndefined({ value: this.value, error: error && withoutUndefined(error) });
    return withoutUndefined({
      ...super.toJson(),
      feedback,
      overrides: this.overrides,
      valid: this.valid,
    });
  }
}

/** What a trace should have come to. Told by a person unless its source says otherwise. */
export class Expectation extends BaseAssessment {
  /** Any value of JSON. */
  readonly value: unknown;

  /** @throws TypeError when there is no value, no name, or metadata that is no text. */
  constructor(options: ExpectationOptions) {
    super(options, AssessmentSourceType.HUMAN);
    if (options.value === undefined || options.value === null)
      throw new TypeError('an expectation has a value');
    this.value = options.value;
  }

  override toJson(): Json {
    const expectation =
      typeof this.value === 'object'
        ? { serialized_value: { serialization_format: JSON_FORMAT, value: JSON.stringify(this.value) } }
        : { value: this.value };
    return { ...super.toJson(), expectation };
  }
}

/** An assessment of a trace. */
export type Assessment = Feedback | Expectation;

/** Whether an assessment is feedback. */
export function isFeedback(assessment: unknown): assessment is Feedback {
  return assessment instanceof Feedback;
}

/** Whether an assessment is an expectation. */
export function isExpectation(assessment: unknown): assessment is Expectation {
  return assessment instanceof Expectation;
}

/** An assessment of the REST API; undefined for a kind that there is no class for. @internal */
export function assessmentFromJson(json: Json): Assessment | undefined {
  const source = json.source as Json | undefined;
  const options: AssessmentOptions = {
    name: String(json.assessment_name),
    traceId: json.trace_id as string | undefined,
    spanId: json.span_id as string | undefined,
    source: source && {
      sourceType: source.source_type as AssessmentSourceType,
      sourceId: source.source_id as string | undefined,
    },
    rationale: json.rationale as string | undefined,
    metadata: json.metadata as Record<string, string> | undefined,
    assessmentId: json.assessment_id as string | undefined,
    createTimeMs: toMilliseconds(json.create_time),
    lastUpdateTimeMs: toMilliseconds(json.last_update_time),
  };
  const feedback = json.feedback as Json | undefined;
  if (feedback !== undefined) {
    const error = errorFromJson(feedback.error as Json | undefined, feedback.value);
    return new Feedback({
      ...options,
      value: feedback.value,
      error,
      valid: json.valid as boolean | undefined,
      overrides: json.overrides as string | undefined,
    });
  }
  const expectation = json.expectation as Json | undefined;
  if (expectation === undefined) return undefined;
  const serialized = expectation.serialized_value as { value: string } | undefined;
  const value: unknown = serialized === undefined ? expectation.value : JSON.parse(serialized.value);
  return new Expectation({ ...options, value });
}

/** Feedback that a server has without value and error is not refused: an error that says nothing takes their place. */
function errorFromJson(error: Json | undefined, value: unknown): AssessmentError | undefined {
  if (error === undefined && value !== undefined && value !== null) return undefined;
  return {
    errorCode: (error?.error_code as string | undefined) ?? '',
    errorMessage: error?.error_message as string | undefined,
    stackTrace: error?.stack_trace as string | undefined,
  };
}

function toSourceType(type: AssessmentSourceType | 'AI_JUDGE'): AssessmentSourceType {
  if (type === 'AI_JUDGE') return AssessmentSourceType.LLM_JUDGE;
  if (Object.hasOwn(AssessmentSourceType, type)) return type;
  throw new TypeError(`${String(type)} is no source of an assessment`);
}

function toError(error: AssessmentError | Error): AssessmentError {
  const found: AssessmentError =
    error instanceof Error
      ? { errorCode: error.name, errorMessage: error.message, stackTrace: error.stack }
      : error;
  return withoutUndefined({
    ...found,
    stackTrace: found.stackTrace?.slice(-MAX_STACK),
  }) as unknown as AssessmentError;
}

function toMilliseconds(time: unknown): number | undefined {
  const milliseconds = typeof time === 'string' ? Date.parse(time) : NaN;
  return Number.isNaN(milliseconds) ? undefined : milliseconds;
}

function withoutUndefined(json: Json): Json {
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined));
}
