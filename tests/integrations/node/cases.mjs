// What programs do with the clients of OpenAI, Anthropic and Gemini, and what their spans look like at a glance.
import * as mlflow from 'mlflow-trace';

const user = (content) => [{ role: 'user', content }];
const parameters = { type: 'object', properties: { city: { type: 'string' } } };
const tools = [{ type: 'function', function: { name: 'get_weather', parameters } }];
const anthropicTools = [{ name: 'get_weather', input_schema: parameters }];
const runnable = {
  name: 'get_weather',
  function: () => 'sunny',
  parse: JSON.parse,
  parameters,
};

const chat = (content, options) => ({
  model: 'gpt-4o-mini',
  messages: user(content),
  ...options,
});
const message = (content, options) => ({
  model: 'claude-haiku-4-5',
  max_tokens: 50,
  messages: user(content),
  ...options,
});
const respond = (input, options) => ({
  model: 'gpt-4o-mini',
  input,
  ...options,
});
const gemini = (contents) => ({ model: 'gemini-2.5-flash', contents });

async function count(stream) {
  let items = 0;
  for await (const _ of stream) items++;
  return items;
}

const CHAT = 'Completions [CHAT_MODEL] OK 21+9=30';
const CHAT_UNCOUNTED = 'Completions [CHAT_MODEL] OK';
const RESPONSES = 'Responses [CHAT_MODEL] OK 21+9=30';
const MESSAGES = 'Messages.create [CHAT_MODEL] OK 25+9=34';
const SAID = 'Hello from the fake provider. You said: Hi';

/**
 * Each: what it does with the clients, what that gives, and the outline of its traces. `wire`: the outline where the requests
 * are traced and not the calls.
 */
export const cases = {
  'openai chat': {
    run: async ({ openai }) => (await openai.chat.completions.create(chat('Hi'))).choices[0].message.content,
    gives: SAID,
    traces: [[CHAT]],
  },
  'openai chat, with its response': {
    run: async ({ openai }) => {
      const { data, response } = await openai.chat.completions.create(chat('Hi')).withResponse();
      return [data.object, response.status, response.url.endsWith('/chat/completions')];
    },
    gives: ['chat.completion', 200, true],
    traces: [[CHAT]],
  },
  'openai chat, as a response': {
    run: async ({ openai }) => {
      const response = await openai.chat.completions.create(chat('Hi')).asResponse();
      return (await response.json()).object;
    },
    gives: 'chat.completion',
    traces: [[CHAT_UNCOUNTED]],
    wire: [[CHAT]],
  },
  'openai chat stream': {
    run: async ({ openai }) => {
      const options = { stream: true, stream_options: { include_usage: true } };
      return count(await openai.chat.completions.create(chat('Hi', options)));
    },
    gives: 11,
    traces: [[CHAT]],
  },
  'openai chat stream of a tool call': {
    run: async ({ openai }) =>
      count(await openai.chat.completions.create(chat('Weather?', { tools, stream: true }))),
    gives: 5,
    traces: [[CHAT_UNCOUNTED]],
  },
  'openai chat stream, split': {
    run: async ({ openai }) => {
      const [left, right] = (await openai.chat.completions.create(chat('Hi', { stream: true }))).tee();
      return [await count(left), await count(right)];
    },
    gives: [10, 10],
    traces: [[CHAT_UNCOUNTED]],
  },
  'openai chat stream, left': {
    run: async ({ openai }) => {
      for await (const _ of await openai.chat.completions.create(chat('Hi', { stream: true }))) break;
    },
    traces: [[CHAT_UNCOUNTED]],
  },
  'openai chat stream, as a readable stream': {
    run: async ({ openai }) => {
      const stream = await openai.chat.completions.create(chat('Hi', { stream: true }));
      return count(stream.toReadableStream());
    },
    gives: 10,
    traces: [[CHAT_UNCOUNTED]],
  },
  'openai chat stream, aborted before it is read': {
    run: async ({ openai }) => {
      const stream = await openai.chat.completions.create(chat('Hi', { stream: true }));
      stream.controller.abort();
      return stream.constructor.name;
    },
    gives: 'Stream',
    traces: [[CHAT_UNCOUNTED]],
  },
  'openai chat stream by its helper': {
    run: async ({ openai }) => {
      const { choices } = await openai.chat.completions.stream(chat('Hi')).finalChatCompletion();
      return choices[0].message.content;
    },
    gives: SAID,
    traces: [[CHAT_UNCOUNTED]],
  },
  'openai chat, parsed': {
    run: async ({ openai }) => (await openai.chat.completions.parse(chat('Hi'))).object,
    gives: 'chat.completion',
    traces: [[CHAT]],
  },
  'openai chat, running tools': {
    run: ({ openai }) => {
      const given = [{ type: 'function', function: runnable }];
      return openai.chat.completions.runTools(chat('Weather?', { tools: given })).finalContent();
    },
    gives: 'The tool said: sunny',
    traces: [[CHAT], [CHAT]],
  },
  'openai responses': {
    run: async ({ openai }) => (await openai.responses.create(respond('Hi'))).output_text,
    gives: SAID,
    traces: [[RESPONSES]],
  },
  'openai responses stream': {
    run: async ({ openai }) => count(await openai.responses.create(respond('Hi', { stream: true }))),
    gives: 16,
    traces: [[RESPONSES]],
  },
  'openai responses stream with an error': {
    run: async ({ openai }) =>
      count(await openai.responses.create(respond('Hi #fake:stream-error', { stream: true }))),
    gives: 3,
    traces: [['Responses [CHAT_MODEL] ERROR']],
  },
  'openai embeddings': {
    run: async ({ openai }) =>
      (
        await openai.embeddings.create({
          model: 'text-embedding-3-small',
          input: 'a',
        })
      ).data[0].embedding,
    gives: [0.34375, 0.1015625, 0.0234375, -0.484375],
    traces: [['Embeddings [EMBEDDING] OK 21+0=21']],
  },
  'openai error': {
    run: ({ openai }) => openai.chat.completions.create(chat('Hi #fake:error=429')),
    raises: 'RateLimitError',
    traces: [['Completions [CHAT_MODEL] ERROR']],
  },
  'openai with other options': {
    run: async ({ openai }) => {
      const other = openai.withOptions({ maxRetries: 1 });
      return (await other.chat.completions.create(chat('Hi'))).object;
    },
    gives: 'chat.completion',
    traces: [[CHAT]],
  },
  'openai in a span': {
    run: ({ openai }) =>
      mlflow.withSpan(async () => (await openai.chat.completions.create(chat('Hi'))).object, {
        name: 'agent',
      }),
    gives: 'chat.completion',
    traces: [['agent [UNKNOWN] OK', `  ${CHAT}`]],
  },
  'anthropic messages': {
    run: async ({ anthropic }) => (await anthropic.messages.create(message('Hi'))).content[0].text,
    gives: SAID,
    traces: [[MESSAGES]],
  },
  'anthropic stream': {
    run: async ({ anthropic }) => count(await anthropic.messages.create(message('Hi', { stream: true }))),
    gives: 13,
    traces: [[MESSAGES]],
  },
  'anthropic stream by its helper': {
    run: async ({ anthropic }) => {
      const { content } = await anthropic.messages
        .stream(message('Weather?', { tools: anthropicTools }))
        .finalMessage();
      return content.at(-1).input;
    },
    gives: { city: 'Paris' },
    traces: [[MESSAGES]],
  },
  'anthropic beta': {
    run: async ({ anthropic }) => (await anthropic.beta.messages.create(message('Hi'))).type,
    gives: 'message',
    traces: [[MESSAGES]],
  },
  'anthropic error': {
    run: ({ anthropic }) => anthropic.messages.create(message('Hi #fake:error=429')),
    raises: 'RateLimitError',
    traces: [['Messages.create [CHAT_MODEL] ERROR']],
  },
  'gemini generate': {
    run: async ({ google }) => (await google.models.generateContent(gemini('Hi'))).text,
    gives: SAID,
    traces: [['Models.generateContent [LLM] OK', '  Models.generateContentInternal [LLM] OK 21+9=33']],
    wire: [['Models.generateContent [LLM] OK 21+9=33']],
  },
  'gemini stream': {
    run: async ({ google }) => count(await google.models.generateContentStream(gemini('Hi'))),
    gives: 8,
    traces: [
      ['Models.generateContentStream [LLM] OK', '  Models.generateContentStreamInternal [LLM] OK 21+9=33'],
    ],
    wire: [['Models.generateContentStream [LLM] OK 21+9=33']],
  },
  'gemini chat': {
    run: async ({ google }) => (await google.chats.create(gemini()).sendMessage({ message: 'Hi' })).text,
    gives: SAID,
    traces: [
      [
        'Chat.sendMessage [CHAT_MODEL] OK',
        '  Models.generateContent [LLM] OK',
        '    Models.generateContentInternal [LLM] OK 21+9=33',
      ],
    ],
    wire: [['Models.generateContent [LLM] OK 21+9=33']],
  },
  'gemini chat stream': {
    run: async ({ google }) =>
      count(await google.chats.create(gemini()).sendMessageStream({ message: 'Hi' })),
    gives: 8,
    traces: [
      [
        'Chat.sendMessageStream [CHAT_MODEL] OK',
        '  Models.generateContentStream [LLM] OK',
        '    Models.generateContentStreamInternal [LLM] OK 21+9=33',
      ],
    ],
    wire: [['Models.generateContentStream [LLM] OK 21+9=33']],
  },
  'gemini embed': {
    run: async ({ google }) => {
      const { embeddings } = await google.models.embedContent({
        model: 'gemini-embedding-001',
        contents: 'a',
      });
      return embeddings[0].values;
    },
    gives: [0.34375, 0.1015625, 0.0234375, -0.484375],
    traces: [['Models.embedContent [EMBEDDING] OK']],
  },
  'gemini error': {
    run: ({ google }) => google.models.generateContent(gemini('Hi #fake:error=429')),
    raises: 'ApiError',
    traces: [['Models.generateContent [LLM] ERROR', '  Models.generateContentInternal [LLM] ERROR']],
    wire: [['Models.generateContent [LLM] ERROR']],
  },
};
