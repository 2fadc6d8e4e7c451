/** Traces Google's client library for Gemini, `@google/genai`. */
import { SpanAttributeKey, type SpanType } from './constants.js';
import { traced } from './integrations/call.js';
import { type AnyFunction, type TracedOptions, tracedClient } from './integrations/hooks.js';
import { ModelCall, read, withTraceHeaders } from './integrations/model.js';

export { type TracedOptions, untraced } from './integrations/hooks.js';

/** Options of the transport, which are no part of what the model is asked. */
const TRANSPORT = ['httpOptions', 'abortSignal'];

/** A call whose options and headers are in `config`. */
class GeminiCall extends ModelCall {
  constructor(
    name: string,
    spanType: SpanType,
    /** The method that sends a request of this call, if another one may do so. */
    private readonly inner?: string,
  ) {
    super(name, spanType, 'gemini', {
      [SpanAttributeKey.MESSAGE_FORMAT]: 'gemini',
      [SpanAttributeKey.MODEL_PROVIDER]: 'gemini',
    });
  }

  /** What calls the model in rounds has a span below it for each, which counts the tokens. */
  override sends(self: unknown): boolean {
    return this.inner === undefined || typeof read(self, this.inner) !== 'function';
  }

  override parameters(request: unknown, self: unknown): Record<string, unknown> {
    // A chat knows its model; the others are given one.
    const model = read(request, 'model') ?? read(self, 'model');
    return typeof model === 'string' ? { [SpanAttributeKey.MODEL]: model } : {};
  }

  override withHeaders(args: readonly unknown[]): readonly unknown[] {
    const [request, ...rest] = args;
    const config = read(request, 'config');
    const headers = withTraceHeaders(read(read(config, 'httpOptions'), 'headers'));
    if (headers === undefined) return args;
    const httpOptions = { ...(read(config, 'httpOptions') as object | undefined), headers };
    return [{ ...(request as object), config: { ...(config as object | undefined), httpOptions } }, ...rest];
  }

  override content(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    const content: Record<string, unknown> = { ...value };
    delete content.sdkHttpResponse;
    const { config } = content;
    if (typeof config === 'object' && config !== null) {
      const kept = Object.entries(config).filter(([name]) => !TRANSPORT.includes(name));
      content.config = kept.length === 0 ? undefined : Object.fromEntries(kept);
    }
    return content;
  }
}

const GENERATE = 'generateContentInternal';
const STREAM = 'generateContentStreamInternal';
const CALLS: Record<string, ModelCall> = {
  generateContent: new GeminiCall('Models.generateContent', 'LLM', GENERATE),
  generateContentStream: new GeminiCall('Models.generateContentStream', 'LLM', STREAM),
  [GENERATE]: new GeminiCall('Models.generateContentInternal', 'LLM'),
  [STREAM]: new GeminiCall('Models.generateContentStreamInternal', 'LLM'),
  countTokens: new GeminiCall('Models.countTokens', 'LLM'),
  embedContent: new GeminiCall('Models.embedContent', 'EMBEDDING'),
};
const CHAT: Record<string, ModelCall> = {
  sendMessage: new GeminiCall('Chat.sendMessage', 'CHAT_MODEL', 'sendMessage'),
  sendMessageStream: new GeminiCall('Chat.sendMessageStream', 'CHAT_MODEL', 'sendMessageStream'),
};

/**
 * Traces the calls of a client, and of the chats that it creates from now on. The client stays the same object and behaves as
 * before; `untraced` puts back its own methods. Never throws.
 */
export function tracedGemini<T>(client: T, options?: TracedOptions): T {
  return tracedClient(client, options, (hooks) => {
    for (const [name, call] of Object.entries(CALLS)) {
      hooks.replace(client, `models.${name}`, traced(hooks, call));
    }
    const follow = (original: AnyFunction): AnyFunction =>
      function (this: unknown, ...args: never[]): unknown {
        const chat = Reflect.apply(original, this, args);
        for (const [name, call] of Object.entries(CHAT)) {
          hooks.replace(chat, name, traced(hooks, call), { isPassing: true });
        }
        return chat;
      };
    hooks.replace(client, 'chats.create', follow);
  });
}
