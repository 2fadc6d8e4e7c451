// @ts-check
/// <reference path="model.js" />

/**
 * A message of a chat as OpenAI's API has it, or with Anthropic's parts: a role, then text or a list of parts, and calls
 * of tools.
 * @typedef {{ role?: unknown, content?: unknown, tool_calls?: unknown }} Message
 */

/** The messages of a chat in inputs or outputs, if there are any where chats have them. @param {unknown} value @returns {Message[]} */
function messagesOf(value) {
  const holder = /** @type {{ messages?: unknown, choices?: unknown } & Message} */ (
    typeof value === 'object' && value !== null ? value : {}
  );
  if (Array.isArray(holder.messages)) return holder.messages;
  if (Array.isArray(holder.choices)) return holder.choices.map((choice) => choice?.message);
  if (Array.isArray(value)) return value;
  return typeof holder.role === 'string' ? [holder] : [];
}

/**
 * What a message says: its texts, and each call of a tool as it would be written in a program. Undefined for what is no
 * message, and for one that says neither.
 * @param {Message | undefined} message
 * @returns {{ role: string, texts: string[], calls: string[] } | undefined}
 */
function saidBy(message) {
  if (typeof message?.role !== 'string') return undefined;
  const { role, content } = message;
  const parts = Array.isArray(content)
    ? content
    : typeof content === 'string'
      ? [{ type: 'text', text: content }]
      : [];
  const texts = parts.filter((part) => typeof part?.text === 'string').map((part) => part.text);
  const used = parts.filter((part) => part?.type === 'tool_use').map((part) => call(part.name, part.input));
  const called = Array.isArray(message.tool_calls) ? message.tool_calls : [];
  const calls = called.map((tool) => call(tool?.function?.name, tool?.function?.arguments));
  const said = { role, texts: texts.filter((text) => text !== ''), calls: [...used, ...calls] };
  return said.texts.length + said.calls.length === 0 ? undefined : said;
}

/** @param {unknown} name @param {unknown} input JSON text, or what it stands for */
function call(name, input) {
  return `${name}(${typeof input === 'string' ? input : (JSON.stringify(input) ?? '')})`;
}

/** Token usage as MLflow's attributes have it, in a line. @param {Record<string, unknown>} usage */
function tokens({ input_tokens, output_tokens, total_tokens }) {
  return `${input_tokens ?? 0} in, ${output_tokens ?? 0} out, ${total_tokens ?? 0} total`;
}
