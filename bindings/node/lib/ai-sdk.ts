/**
 * Traces version 7 of the Vercel AI SDK, which announces its work on a channel of Node's and gives streamed results to the
 * integrations that are listed for it: no import of `ai`, no flag on the calls. Older versions: see `mlflow-trace/otel`.
 */
import { tracingChannel, type TracingChannelSubscribers } from 'node:diagnostics_channel';
import { SpanAttributeKey, type SpanType } from './constants.js';
import { bindContext, type Context, contextOf } from './context.js';
import { noteSending } from './integrations/call.js';
import { guarded } from './integrations/guard.js';
import { read } from './integrations/model.js';
import { type Ending, release, unwatch, watch } from './integrations/watch.js';
import { NoOpSpan, UnsampledSpan } from './noop.js';
import { type LiveSpan, RecordingSpan } from './span.js';
import { announce, openSpan } from './trace.js';

const CHANNEL = 'ai:telemetry';

const TYPES: Record<string, SpanType> = {
  generateText: 'LLM',
  streamText: 'LLM',
  generateObject: 'LLM',
  streamObject: 'LLM',
  step: 'CHAIN',
  languageModelCall: 'CHAT_MODEL',
  executeTool: 'TOOL',
  embed: 'EMBEDDING',
  embedMany: 'EMBEDDING',
  rerank: 'RERANKER',
};

/** What is done as a part of something else. */
const MODEL_CALL = 'languageModelCall';
const PARTS = new Set(['step', MODEL_CALL, 'executeTool']);

/** What the SDK says of a piece of work: as it starts, and then with what came of it. */
interface Message {
  readonly type: string;
  readonly event?: Record<string, unknown>;
  readonly result?: unknown;
  readonly error?: unknown;
}

/** What the SDK calls with results of streams. */
interface Integration {
  onLanguageModelCallEnd(event: unknown): void;
  onStepEnd(event: unknown): void;
  onEnd(event: unknown): void;
}

type Global = typeof globalThis & { AI_SDK_TELEMETRY_INTEGRATIONS?: unknown };

let disable: (() => void) | undefined;

/**
 * Traces every call of the AI SDK 7. Calls whose telemetry is set not to record inputs or outputs have none. Never throws.
 * @returns what stops it.
 */
export function enableAiSdk(): () => void {
  disable ??= guarded('the AI SDK', subscribe);
  return () => {
    disable?.();
    disable = undefined;
  };
}

function subscribe(): () => void {
  const channel = tracingChannel<unknown, Message>(CHANNEL);
  const works = new WeakMap<object, Work>();
  const keep = (kind: string) => (event: unknown) => {
    const id = read(event, 'callId');
    const call = typeof id === 'string' ? open.get(id) : undefined;
    const waiting = call?.waiting;
    if (kind === MODEL_CALL && waiting !== undefined) finish(waiting.work, waiting.message, event);
    else call?.streamed.set(kind, event);
  };
  const integration: Integration = {
    onLanguageModelCallEnd: keep(MODEL_CALL),
    onStepEnd: keep('step'),
    onEnd: keep('streamText'),
  };
  const start = (message: Message, context: Context | undefined): Context | undefined =>
    guarded('work of the AI SDK', () => {
      const span = begin(message);
      if (span instanceof RecordingSpan) {
        const work = new Work(span, callOf(message), PARTS.has(message.type));
        works.set(message, work);
        watch(work, message);
      } else if (span instanceof NoOpSpan && !(span instanceof UnsampledSpan)) return context;
      return contextOf(span);
    }) ?? context;
  const end = (message: Message): void => {
    const work = works.get(message);
    if (work === undefined) return;
    works.delete(message);
    const call = open.get(work.call);
    const told = call?.streamed.get(message.type);
    call?.streamed.delete(message.type);
    if (told === undefined && call !== undefined && read(message.result, 'stream') !== undefined) {
      // The answer has only begun: how it ends is told later, or with the end of the whole call.
      release(work);
      call.waiting = { work, message: { type: message.type, event: message.event } };
      return;
    }
    finish(work, message, told ?? message.result);
  };
  const ignore = (): void => undefined;
  const subscribers: TracingChannelSubscribers<Message> = {
    start: ignore,
    // Of what is done at once; the rest goes on.
    end: (message) => {
      if (message.error !== undefined) end(message);
    },
    asyncStart: ignore,
    // A streamed result is announced just after the end: let that happen first.
    asyncEnd: (message) => setImmediate(end, message),
    error: ignore,
  };
  const unbind = bindContext(channel.start, start);
  channel.subscribe(subscribers);
  const list = integrations();
  list.push(integration);
  return () => {
    unbind();
    channel.unsubscribe(subscribers);
    const at = list.indexOf(integration);
    if (at >= 0) list.splice(at, 1);
  };
}

/** A call of the SDK of which something is open. */
interface Call {
  readonly works: Set<Work>;
  /** Results of streams by kind of work: in order, so that each is the latest of its kind when that ends. */
  readonly streamed: Map<string, unknown>;
  /** A model's answer that is still streaming. */
  waiting?: { readonly work: Work; readonly message: Message };
}

const open = new Map<string, Call>();

/** A piece of work whose span is open. The SDK's message of it tells when it ends; a stream that is left forgets that. */
class Work implements Ending {
  constructor(
    readonly span: RecordingSpan,
    readonly call: string,
    private readonly isPart: boolean,
  ) {
    if (!open.has(call)) open.set(call, { works: new Set(), streamed: new Map() });
    open.get(call)?.works.add(this);
  }

  end(error?: unknown): void {
    const call = open.get(this.call);
    if (call?.works.delete(this) !== true) return;
    unwatch(this);
    if (call.waiting?.work === this) call.waiting = undefined;
    // What the SDK says no more of: a step that fails, or is aborted.
    if (!this.isPart && this.call !== '') for (const part of call.works) part.end(error);
    if (call.works.size === 0) open.delete(this.call);
    if (error !== undefined) this.span.recordException(error);
    this.span.end();
  }
}

function finish(work: Work, message: Message, result: unknown): void {
  guarded('a result of the AI SDK', () => {
    recordResult(work.span, message, result);
  });
  work.end(message.error);
}

function callOf({ event }: Message): string {
  const call = event?.callId;
  return typeof call === 'string' ? call : '';
}

function integrations(): unknown[] {
  const place = globalThis as Global;
  const listed = place.AI_SDK_TELEMETRY_INTEGRATIONS;
  if (Array.isArray(listed)) return listed as unknown[];
  const list: unknown[] = [];
  place.AI_SDK_TELEMETRY_INTEGRATIONS = list;
  return list;
}

function begin(message: Message): LiveSpan {
  const { type, event = {} } = message;
  const span = openSpan(nameOf(type, event), { spanType: TYPES[type] ?? 'UNKNOWN' });
  if (!(span instanceof RecordingSpan)) return span;
  if (event.recordInputs !== false) span.setInputs(inputsOf(type, event));
  if (type === MODEL_CALL) {
    noteSending(span);
    const { provider, modelId, tools } = event;
    span.setAttribute(SpanAttributeKey.MESSAGE_FORMAT, 'vercel_ai');
    if (typeof modelId === 'string') span.setAttribute(SpanAttributeKey.MODEL, modelId);
    if (typeof provider === 'string') span.setAttribute(SpanAttributeKey.MODEL_PROVIDER, provider);
    if (Array.isArray(tools) && tools.length > 0)
      span.setAttribute(SpanAttributeKey.CHAT_TOOLS, tools.map(toTool));
  }
  announce(span);
  return span;
}

function nameOf(type: string, event: Record<string, unknown>): string {
  if (type === 'executeTool') return String(read(event.toolCall, 'toolName'));
  return type === 'step' ? `step ${String(event.stepNumber)}` : `ai.${type}`;
}

function inputsOf(type: string, event: Record<string, unknown>): unknown {
  if (type === 'executeTool') return read(event.toolCall, 'input');
  if (type === 'embed' || type === 'embedMany') return event.value ?? event.values;
  if (type === 'rerank') return { query: event.query, documents: event.documents };
  const { instructions, messages, promptMessages, tools } = event;
  const given: Record<string, unknown> = { messages: promptMessages ?? messages };
  if (instructions !== undefined) given.system = instructions;
  if (tools !== undefined) given.tools = Array.isArray(tools) ? tools : Object.keys(tools as object);
  return given;
}

function toTool(tool: unknown): unknown {
  const described = { description: read(tool, 'description'), parameters: read(tool, 'inputSchema') };
  const entries = Object.entries(described).filter(([, value]) => value !== undefined);
  return { type: 'function', function: { name: read(tool, 'name'), ...Object.fromEntries(entries) } };
}

function recordResult(span: RecordingSpan, { type, event }: Message, result: unknown): void {
  if (result === undefined || result === null) return;
  if (event?.recordOutputs !== false) span.setOutputs(outputsOf(type, result));
  // On the model's own calls alone: what is above them would count the tokens again.
  const isModelCall = type === MODEL_CALL;
  if (isModelCall || type === 'embed' || type === 'embedMany') {
    const usage = usageOf(read(result, 'usage'));
    if (usage !== undefined) span.setAttribute(SpanAttributeKey.TOKEN_USAGE, usage);
  }
}

function outputsOf(type: string, result: unknown): unknown {
  if (type === 'executeTool') {
    const output = read(result, 'output') ?? result;
    return read(output, 'output') ?? output;
  }
  if (type === 'embed' || type === 'embedMany')
    return read(result, 'embedding') ?? read(result, 'embeddings');
  if (type === 'rerank') return read(result, 'ranking') ?? result;
  const object = read(result, 'object');
  if (object !== undefined) return { object, finishReason: read(result, 'finishReason') };
  const content = read(result, 'content');
  const parts: unknown[] = Array.isArray(content) ? content : [];
  const text =
    read(result, 'text') ??
    parts
      .filter((part) => read(part, 'type') === 'text')
      .map(textOf)
      .join('');
  const calls = parts.filter((part) => read(part, 'type') === 'tool-call');
  const toolCalls = calls.map((call) => ({
    toolCallId: read(call, 'toolCallId'),
    toolName: read(call, 'toolName'),
    input: read(call, 'input'),
  }));
  return { text, ...(toolCalls.length > 0 && { toolCalls }), finishReason: read(result, 'finishReason') };
}

function textOf(part: unknown): unknown {
  return read(part, 'text');
}

/** What `mlflow.chat.tokenUsage` holds. Providers of the SDK's older interface give numbers, newer ones objects. */
function usageOf(usage: unknown): Record<string, number> | undefined {
  const tokens = read(usage, 'tokens');
  if (typeof tokens === 'number') return { input_tokens: tokens, output_tokens: 0, total_tokens: tokens };
  const [input, output] = [read(usage, 'inputTokens'), read(usage, 'outputTokens')];
  if (input === undefined && output === undefined) return undefined;
  const [inputTokens, outputTokens] = [total(input) ?? 0, total(output) ?? 0];
  const details = read(usage, 'inputTokenDetails');
  const cached = total(read(details, 'cacheReadTokens') ?? read(input, 'cacheRead'));
  const written = total(read(details, 'cacheWriteTokens') ?? read(input, 'cacheWrite'));
  return {
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    total_tokens: total(read(usage, 'totalTokens')) ?? inputTokens + outputTokens,
    ...(cached !== undefined && { cache_read_input_tokens: cached }),
    ...(written !== undefined && { cache_creation_input_tokens: written }),
  };
}

function total(value: unknown): number | undefined {
  const number = typeof value === 'object' && value !== null ? read(value, 'total') : value;
  return typeof number === 'number' ? number : undefined;
}
