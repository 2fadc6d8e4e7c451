import { fromKeyValues, type KeyValueJson } from './any-value.js';
import {
  SpanAttributeKey,
  SpanLogLevel,
  type SpanStatus,
  SpanStatusCode,
  type SpanType,
  TRACE_ID_PREFIX,
} from '../constants.js';

/** Something that happened at one moment of a span, for `LiveSpan.addEvent`. */
export class SpanEvent {
  /** What happened. */
  readonly name: string;
  /** More about it. */
  readonly attributes: Record<string, unknown>;
  /** Nanoseconds since the Unix epoch; when the event is added if left out. */
  readonly timestamp: bigint | number | undefined;

  constructor(event: { name: string; attributes?: Record<string, unknown>; timestamp?: bigint | number }) {
    this.name = event.name;
    this.attributes = event.attributes ?? {};
    this.timestamp = event.timestamp;
  }
}

/** A span of another trace that has to do with this one, for `LiveSpan.addLink`. */
export class SpanLink {
  /** `tr-` and 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** What the two have to do with each other. */
  readonly attributes: Record<string, unknown>;

  constructor(link: { traceId: string; spanId: string; attributes?: Record<string, unknown> | null }) {
    this.traceId = link.traceId;
    this.spanId = link.spanId;
    this.attributes = link.attributes ?? {};
  }
}

/**
 * A span as MLflow stores it in `traces.json` (3.17), where values of attributes are JSON texts, or as its REST API gives it,
 * where attributes are lists.
 */
export interface SpanJson {
  /** 16 bytes in base64. */
  trace_id: string;
  /** 8 bytes in base64. */
  span_id: string;
  parent_span_id?: string | null;
  name: string;
  /** Texts where a number of JavaScript cannot hold them. */
  start_time_unix_nano: number | string | bigint;
  end_time_unix_nano?: number | string | bigint | null;
  events?: {
    name: string;
    time_unix_nano: number | string | bigint;
    attributes?: Record<string, unknown> | KeyValueJson[];
  }[];
  links?: {
    trace_id: string;
    span_id: string;
    attributes?: Record<string, unknown> | KeyValueJson[] | null;
  }[];
  status?: { code?: string; message?: string };
  attributes?: Record<string, unknown> | KeyValueJson[];
}

/** A span that has ended, as it was read from a server or a file. */
export class Span {
  /** `tr-` and 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** 16 hex digits; null for the root. */
  readonly parentId: string | null;
  /** What was done. */
  readonly name: string;
  /** Nanoseconds since the Unix epoch. */
  readonly startTimeNs: bigint;
  /** Nanoseconds since the Unix epoch; null for one that has not ended. */
  readonly endTimeNs: bigint | null;
  /** What it came to. */
  readonly status: SpanStatus;
  /** What happened on the way. */
  readonly events: readonly SpanEvent[];
  /** Spans of other traces that have to do with it. */
  readonly links: readonly SpanLink[];
  /** All attributes as values, MLflow's own among them. */
  readonly attributes: Readonly<Record<string, unknown>>;

  private constructor(json: SpanJson) {
    this.attributes = Array.isArray(json.attributes)
      ? fromKeyValues(json.attributes)
      : Object.fromEntries(Object.entries(json.attributes ?? {}).map(([key, text]) => [key, decode(text)]));
    this.traceId = TRACE_ID_PREFIX + toHex(json.trace_id, 16);
    this.spanId = toHex(json.span_id, 8);
    this.parentId = json.parent_span_id ? toHex(json.parent_span_id, 8) : null;
    this.name = json.name;
    this.startTimeNs = BigInt(json.start_time_unix_nano);
    this.endTimeNs = json.end_time_unix_nano ? BigInt(json.end_time_unix_nano) : null;
    this.status = { statusCode: toStatusCode(json.status?.code), description: json.status?.message ?? '' };
    this.events = (json.events ?? []).map(
      ({ name, attributes, time_unix_nano }) =>
        new SpanEvent({ name, attributes: toRecord(attributes), timestamp: BigInt(time_unix_nano) }),
    );
    this.links = (json.links ?? []).map(
      (link) =>
        new SpanLink({
          traceId: TRACE_ID_PREFIX + toHex(link.trace_id, 16),
          spanId: toHex(link.span_id, 8),
          attributes: toRecord(link.attributes),
        }),
    );
    Object.freeze(this);
  }

  /** Reads a span of `traces.json`, of any version of MLflow since 3.5, or of the REST API. */
  static fromJson(json: SpanJson): Span {
    return new Span(json);
  }

  /** What kind of work it is; `UNKNOWN` unless it was set. */
  get spanType(): SpanType {
    const type = this.attributes[SpanAttributeKey.SPAN_TYPE];
    return typeof type === 'string' ? type : 'UNKNOWN';
  }

  /** Its severity; null where none is stored. */
  get logLevel(): SpanLogLevel | null {
    const level = this.attributes[SpanAttributeKey.LOG_LEVEL];
    return Object.values(SpanLogLevel).find((known) => known === level) ?? null;
  }

  /** What it was given; undefined without. */
  get inputs(): unknown {
    return this.attributes[SpanAttributeKey.INPUTS];
  }

  /** What it came to; undefined without. */
  get outputs(): unknown {
    return this.attributes[SpanAttributeKey.OUTPUTS];
  }

  /** The value of one attribute; undefined without. */
  getAttribute(key: string): unknown {
    return this.attributes[key];
  }

  /** As MLflow stores it; times are texts. */
  toJson(): SpanJson {
    return {
      trace_id: toBase64(this.traceId.slice(TRACE_ID_PREFIX.length)),
      span_id: toBase64(this.spanId),
      parent_span_id: this.parentId === null ? null : toBase64(this.parentId),
      name: this.name,
      start_time_unix_nano: String(this.startTimeNs),
      end_time_unix_nano: this.endTimeNs === null ? null : String(this.endTimeNs),
      events: this.events.map((event) => ({
        name: event.name,
        time_unix_nano: String(event.timestamp),
        attributes: event.attributes,
      })),
      links: this.links.map((link) => ({
        trace_id: link.traceId,
        span_id: link.spanId,
        attributes: link.attributes,
      })),
      status: { code: this.status.statusCode, message: this.status.description },
      attributes: Object.fromEntries(
        Object.entries(this.attributes).map(([key, value]) => [key, JSON.stringify(value)]),
      ),
    };
  }
}

/** The attributes of an event or a link, which are values in both forms. */
function toRecord(
  attributes: Record<string, unknown> | KeyValueJson[] | null | undefined,
): Record<string, unknown> {
  return Array.isArray(attributes) ? fromKeyValues(attributes) : (attributes ?? {});
}

/** What an attribute holds; some SDKs of MLflow write values instead of JSON texts. */
function decode(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}

/** Hex digits of an id in base64; MLflow 3.5.0 wrote hex digits, with and without `tr-`. */
function toHex(id: string, bytes: number): string {
  const digits = id.startsWith(TRACE_ID_PREFIX) ? id.slice(TRACE_ID_PREFIX.length) : id;
  return digits.length === 2 * bytes && /^[0-9a-f]+$/.test(digits)
    ? digits
    : Buffer.from(id, 'base64').toString('hex');
}

function toBase64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}

function toStatusCode(code: string | undefined): SpanStatusCode {
  switch (code?.replace('STATUS_CODE_', '')) {
    case 'OK':
      return SpanStatusCode.OK;
    case 'ERROR':
      return SpanStatusCode.ERROR;
    default:
      return SpanStatusCode.UNSET;
  }
}
