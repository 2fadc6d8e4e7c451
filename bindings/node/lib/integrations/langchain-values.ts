/** What LangChain.js hands to its callbacks, in the forms in which MLflow records it. */
import { read } from './model.js';

const ROLES: Record<string, string> = { human: 'user', ai: 'assistant', AIMessageChunk: 'assistant' };
/** Members of a message that are recorded besides its type and content, in LangChain's own spelling. */
const MEMBERS = [
  'additional_kwargs',
  'response_metadata',
  'name',
  'id',
  'tool_calls',
  'invalid_tool_calls',
  'usage_metadata',
  'tool_call_id',
  'status',
  'artifact',
];
/** Values may refer to themselves: what is deeper than this is left to the recording of values. */
const MAX_DEPTH = 12;

/** A value with its messages as plain objects: `{type, content, …}`. */
export function plain(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return value;
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1));
  const type = messageType(value);
  if (type !== undefined) {
    const message = value as Record<string, unknown>;
    const members = MEMBERS.filter((name) => message[name] !== undefined);
    const entries = members.map((name) => [name, plain(message[name], depth + 1)] as const);
    return { type, content: plain(message.content, depth + 1), ...Object.fromEntries(entries) };
  }
  if (typeof read(value, 'toChatMessages') === 'function') {
    return { messages: plain((value as { toChatMessages(): unknown }).toChatMessages(), depth + 1) };
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member, depth + 1)]));
}

/** A message as OpenAI's chat has it. */
export function toChatMessage(message: unknown): Record<string, unknown> {
  const type = messageType(message) ?? 'human';
  const role = type === 'generic' ? read(message, 'role') : (ROLES[type] ?? type);
  const chat: Record<string, unknown> = { role };
  const content = read(message, 'content');
  if (content !== '' && !(Array.isArray(content) && content.length === 0)) chat.content = content;
  const calls = read(message, 'tool_calls');
  if (Array.isArray(calls) && calls.length > 0) {
    chat.tool_calls = calls.map((call: unknown) => ({
      id: read(call, 'id'),
      type: 'function',
      function: { name: read(call, 'name'), arguments: JSON.stringify(read(call, 'args')) },
    }));
  }
  for (const name of ['name', 'tool_call_id']) {
    const value = read(message, name);
    if (value !== undefined && value !== null) chat[name] = value;
  }
  return chat;
}

/** The generations of a model as the choices of OpenAI's chat. */
export function toChoices(output: unknown): Record<string, unknown> {
  const choices = generationsOf(output).map((generation) => {
    const message = read(generation, 'message');
    return {
      message:
        message === undefined
          ? { role: 'assistant', content: read(generation, 'text') }
          : toChatMessage(message),
      finish_reason: null,
    };
  });
  return { choices };
}

/** The messages that a model has answered. */
export function messagesOf(output: unknown): unknown[] {
  return generationsOf(output)
    .map((generation) => read(generation, 'message'))
    .filter((message) => message !== undefined);
}

/** What `mlflow.chat.tokenUsage` holds; undefined where nothing is known. */
export function usageOf(output: unknown): Record<string, number> | undefined {
  for (const message of messagesOf(output)) {
    const usage = read(message, 'usage_metadata');
    if (typeof read(usage, 'input_tokens') === 'number') return fromMetadata(usage);
  }
  const usage = read(read(output, 'llmOutput'), 'tokenUsage');
  const [input, out] = [count(usage, 'promptTokens'), count(usage, 'completionTokens')];
  if (input === 0 && out === 0) return undefined;
  return {
    input_tokens: input,
    output_tokens: out,
    total_tokens: count(usage, 'totalTokens') || input + out,
  };
}

function fromMetadata(usage: unknown): Record<string, number> {
  const [input, output] = [count(usage, 'input_tokens'), count(usage, 'output_tokens')];
  const found: Record<string, number> = {
    input_tokens: input,
    output_tokens: output,
    total_tokens: count(usage, 'total_tokens') || input + output,
  };
  const details = read(usage, 'input_token_details');
  if (typeof read(details, 'cache_read') === 'number') {
    found.cache_read_input_tokens = count(details, 'cache_read');
  }
  const long = count(details, 'ephemeral_1h_input_tokens');
  const tiers = count(details, 'ephemeral_5m_input_tokens') + long;
  if (typeof read(details, 'cache_creation') === 'number' || tiers > 0) {
    found.cache_creation_input_tokens = count(details, 'cache_creation') || tiers;
  }
  if (long > 0) found.cache_creation_input_tokens_above_1hr = long;
  return found;
}

function count(usage: unknown, name: string): number {
  const value = read(usage, name);
  return typeof value === 'number' ? value : 0;
}

function generationsOf(output: unknown): unknown[] {
  const generations = read(output, 'generations');
  return Array.isArray(generations) ? generations.flat() : [];
}

/** The type of a message; undefined of what is none. */
function messageType(value: unknown): string | undefined {
  const message = value as { getType?: unknown; _getType?: unknown };
  const get = typeof value === 'object' && value !== null ? (message.getType ?? message._getType) : undefined;
  if (typeof get !== 'function' || !('content' in (value as object))) return undefined;
  return String(Reflect.apply(get, value, []));
}
