/** Traces Anthropic's client library. */
import { SpanAttributeKey } from './constants.js';
import { traced } from './integrations/call.js';
import { followCopies, type TracedOptions, tracedClient } from './integrations/hooks.js';
import { ModelCall } from './integrations/model.js';

export { type TracedOptions, untraced } from './integrations/hooks.js';

const CREATE = new ModelCall('Messages.create', 'CHAT_MODEL', 'anthropic', {
  [SpanAttributeKey.MESSAGE_FORMAT]: 'anthropic',
  [SpanAttributeKey.MODEL_PROVIDER]: 'anthropic',
});

/**
 * Traces the messages of a client, also those of its beta, of its helpers (`stream`, `parse`, `toolRunner`) and of its copies
 * (`withOptions`). The client stays the same object and behaves as before; `untraced` puts back its own methods. Never throws.
 */
export function tracedAnthropic<T>(client: T, options?: TracedOptions): T {
  return tracedClient(client, options, (hooks) => {
    for (const path of ['messages.create', 'beta.messages.create']) {
      hooks.replace(client, path, traced(hooks, CREATE));
    }
    if (!hooks.isEmpty) followCopies(hooks, client, (copy) => tracedAnthropic(copy, options));
  });
}
