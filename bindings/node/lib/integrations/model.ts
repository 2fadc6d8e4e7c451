import { SpanAttributeKey, SpanStatusCode, type SpanType } from '../constants.js';
import { native } from '../native.js';
import { getTracingContextHeaders } from '../propagation.js';
import type { RecordingSpan } from '../span.js';
import { type AttributeValue, JsonText, toJson } from '../values.js';
import type { Spec } from './call.js';

/** The wire formats that the engine understands. */
export type Dialect =
  | 'openai.chat'
  | 'openai.responses'
  | 'openai.completions'
  | 'openai.embeddings'
  | 'anthropic'
  | 'gemini'
  | 'ollama';

/** Calls of a model, or of another endpoint of its provider, which take what is requested as their first argument. */
export class ModelCall implements Spec {
  constructor(
    readonly name: string,
    readonly spanType: SpanType,
    /** The wire format; undefined where there is nothing but inputs and outputs to be read. */
    readonly dialect: Dialect | undefined,
    /** What every span has, for instance the message format. */
    private readonly attributes: Record<string, unknown> = {},
  ) {}

  /** Whether the tokens are counted in this span, and in none below it; they are where this is left out. */
  sends?(self: unknown): boolean;
  /** The attributes that the request gives, besides model and tools. */
  parameters?(request: unknown, self: unknown): Record<string, unknown>;

  begin(span: RecordingSpan, args: readonly unknown[], self: unknown): void {
    const request = this.content(args[0]);
    span.setInputs(request);
    span.setAttributes(this.parameters?.(request, self) ?? {});
    span.setAttributes(this.attributes);
    recordRequest(span, this.dialect);
  }

  outgoing(args: readonly unknown[], self: unknown): readonly unknown[] {
    return this.counts(self) ? this.withHeaders(args) : args;
  }

  /** The headers of the trace, in a copy of the options, which OpenAI's and Anthropic's libraries take after the request. */
  withHeaders(args: readonly unknown[]): readonly unknown[] {
    const [request, options, ...rest] = args;
    const headers = withTraceHeaders(read(options, 'headers'));
    return headers === undefined ? args : [request, { ...(options as object | undefined), headers }, ...rest];
  }

  reply(span: RecordingSpan, reply: unknown, self: unknown): void {
    span.setOutputs(this.content(reply));
    recordReply(span, this.dialect, this.counts(self));
  }

  text(item: unknown): string {
    return toJson(this.content(item));
  }

  items(span: RecordingSpan, items: string[], self: unknown): void {
    recordItems(span, this.dialect, items, this.counts(self));
  }

  private counts(self: unknown): boolean {
    return this.sends?.(self) ?? true;
  }

  /** What is recorded of a request, a reply or an item of a stream. */
  content(value: unknown): unknown {
    return value;
  }
}

/** Records what the inputs of `span` say. */
export function recordRequest(span: RecordingSpan, dialect: Dialect | undefined): void {
  const text = textOf(span.input);
  if (dialect === undefined || text === undefined) return;
  const { model, tools } = JSON.parse(native().dialectRequest(dialect, text)) as {
    model?: string;
    tools?: unknown;
  };
  if (model !== undefined) span.setAttribute(SpanAttributeKey.MODEL, model);
  if (tools !== undefined) span.setAttribute(SpanAttributeKey.CHAT_TOOLS, tools);
}

/** Records what the outputs of `span` say; `counts`: the tokens, too. */
export function recordReply(span: RecordingSpan, dialect: Dialect | undefined, counts: boolean): void {
  const text = textOf(span.output);
  if (dialect === undefined || text === undefined) return;
  const { usage, model, error } = JSON.parse(native().dialectReply(dialect, text)) as {
    usage?: unknown;
    model?: string;
    error?: string;
  };
  if (counts && usage !== undefined) span.setAttribute(SpanAttributeKey.TOKEN_USAGE, usage);
  if (model !== undefined) span.setAttribute(SpanAttributeKey.MODEL, model);
  if (error !== undefined) span.setStatus(SpanStatusCode.ERROR, error);
}

/** Records what the events of a stream, or the whole body of one, make. */
export function recordItems(
  span: RecordingSpan,
  dialect: Dialect | undefined,
  items: string[] | string,
  counts: boolean,
): void {
  if (dialect === undefined) return;
  const reply: unknown = JSON.parse(native().dialectFold(dialect, items));
  if (reply === null) return;
  span.setOutputs(reply);
  recordReply(span, dialect, counts);
}

/** Headers with those of the trace, which the caller's own go before; undefined where they cannot be added. */
export function withTraceHeaders(headers: unknown): Record<string, unknown> | undefined {
  if (headers !== undefined && headers !== null) {
    // Lists of pairs, `Headers` and the like.
    const prototype: unknown = Object.getPrototypeOf(headers);
    if (prototype !== Object.prototype && prototype !== null) return undefined;
  }
  return { ...getTracingContextHeaders(), ...(headers as object | undefined) };
}

/** A member of anything. */
export function read(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function textOf(value: AttributeValue | undefined): string | undefined {
  return value instanceof JsonText ? value.text : undefined;
}
