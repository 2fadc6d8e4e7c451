/** Traces OpenAI's client library, also that of Azure and of the many providers that it is used with. */
import { SpanAttributeKey } from './constants.js';
import { traced } from './integrations/call.js';
import { followCopies, type TracedOptions, tracedClient } from './integrations/hooks.js';
import { ModelCall, read } from './integrations/model.js';

export { type TracedOptions, untraced } from './integrations/hooks.js';

/** A call whose parameters are attributes of their own. */
class OpenAiCall extends ModelCall {
  override parameters(request: unknown): Record<string, unknown> {
    const attributes: Record<string, unknown> = { ...(request as object) };
    delete attributes.messages;
    delete attributes.input;
    // Not all of them have a dialect that tells it.
    if (typeof attributes.model === 'string') attributes[SpanAttributeKey.MODEL] = attributes.model;
    return attributes;
  }

  override content(value: unknown): unknown {
    // What the library adds to a response: all text of its output once more.
    if (read(value, 'object') !== 'response' || read(value, 'output_text') === undefined) return value;
    return { ...(value as object), output_text: undefined };
  }
}

const CHAT = { [SpanAttributeKey.MESSAGE_FORMAT]: 'openai' };
const CALLS: Record<string, ModelCall> = {
  'chat.completions.create': new OpenAiCall('Completions', 'CHAT_MODEL', 'openai.chat', CHAT),
  'completions.create': new OpenAiCall('Completions', 'LLM', 'openai.completions', CHAT),
  'responses.create': new OpenAiCall('Responses', 'CHAT_MODEL', 'openai.responses', CHAT),
  'embeddings.create': new OpenAiCall('Embeddings', 'EMBEDDING', 'openai.embeddings'),
  'images.generate': new OpenAiCall('Images', 'TOOL', undefined),
};

/**
 * Traces the calls of a client, those of its helpers (`stream`, `parse`, `runTools`) and those of its copies (`withOptions`).
 * The client stays the same object and behaves as before; `untraced` puts back its own methods. Never throws.
 */
export function tracedOpenAI<T>(client: T, options?: TracedOptions): T {
  return tracedClient(client, options, (hooks) => {
    for (const [path, call] of Object.entries(CALLS)) hooks.replace(client, path, traced(hooks, call));
    if (!hooks.isEmpty) followCopies(hooks, client, (copy) => tracedOpenAI(copy, options));
  });
}
