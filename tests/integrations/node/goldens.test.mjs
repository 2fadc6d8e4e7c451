// The calls of MLflow's golden traces, which are of Python, with the clients of JavaScript: the same trees.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as mlflow from 'mlflow-trace';
import { tracedAnthropic } from 'mlflow-trace/anthropic';
import { tracedGemini } from 'mlflow-trace/gemini';
import { tracedOpenAI } from 'mlflow-trace/openai';
import { makeClients } from './support/clients.mjs';
import { asInPython, golden } from './support/goldens.mjs';
import { startProvider } from './support/provider.mjs';
import { recordInMemory, takeTrees } from './support/traces.mjs';

recordInMemory();
const clients = makeClients(await startProvider());
const openai = tracedOpenAI(clients.openai);
const anthropic = tracedAnthropic(clients.anthropic);
const google = tracedGemini(clients.google);

const user = (content) => [{ role: 'user', content }];
const read = async (stream) => {
  for await (const _ of stream);
};
const agent = (run) =>
  mlflow.withSpan(
    async () => {
      await run();
    },
    { name: 'agent', spanType: 'AGENT' },
  );

const MODEL = 'gpt-4o-mini';
const MESSAGES = [{ role: 'system', content: 'Be brief.' }, ...user('Hi there')];
const FUNCTION = {
  name: 'get_weather',
  description: 'Weather of a city',
  strict: true,
  parameters: {
    type: 'object',
    properties: {
      city: { type: 'string', description: 'A city' },
      unit: { type: 'string', enum: ['c', 'f'] },
    },
    required: ['city', 'unit'],
    additionalProperties: false,
  },
};
const tools = [{ type: 'function', function: FUNCTION }];
const chat = (messages, options) =>
  openai.chat.completions.create({
    model: MODEL,
    messages: typeof messages === 'string' ? user(messages) : messages,
    ...options,
  });
const complete = (options) =>
  openai.completions.create({
    model: 'gpt-3.5-turbo-instruct',
    prompt: 'Say hi',
    ...options,
  });
const respond = (input, options) => openai.responses.create({ model: MODEL, input, ...options });

const BASE = { model: 'claude-sonnet-4-5', max_tokens: 100 };
const city = { type: 'string', description: 'A city' };
const weather = {
  name: 'get_weather',
  description: 'Weather of a city',
  input_schema: { type: 'object', properties: { city }, required: ['city'] },
};
const ask = (messages, options) =>
  anthropic.messages.create({
    ...BASE,
    messages: typeof messages === 'string' ? user(messages) : messages,
    ...options,
  });

const GEMINI = 'gemini-2.5-flash';
const declared = {
  name: 'get_weather',
  description: 'Weather of a city',
  parametersJsonSchema: {
    type: 'object',
    properties: { city },
    required: ['city'],
  },
};
const generate = (contents, config) => google.models.generateContent({ model: GEMINI, contents, config });

const cases = {
  openai: {
    chat: () => chat(MESSAGES, { temperature: 0.5 }),
    'chat-async': () => chat(MESSAGES),
    'chat-error-429': () => chat('hi #fake:error=429'),
    'chat-error-async-500': () => chat('hi #fake:error=500'),
    'chat-stream': async () => read(await chat(MESSAGES, { stream: true })),
    'chat-stream-error': async () => read(await chat('hi #fake:stream-error', { stream: true })),
    'chat-stream-usage': async () =>
      read(
        await chat(MESSAGES, {
          stream: true,
          stream_options: { include_usage: true },
        }),
      ),
    'chat-tools': () => chat('Weather in Paris? #fake:parallel', { tools }),
    'chat-tools-two-turns-in-parent': () =>
      agent(async () => {
        const messages = user('Weather in Paris?');
        const { message } = (await chat(messages, { tools })).choices[0];
        messages.push(message, {
          role: 'tool',
          tool_call_id: message.tool_calls[0].id,
          content: 'sunny',
        });
        return (await chat(messages, { tools })).choices[0].message.content;
      }),
    completion: () => complete(),
    embeddings: () =>
      openai.embeddings.create({
        model: 'text-embedding-3-small',
        input: ['a', 'b'],
      }),
    'embeddings-async': () => openai.embeddings.create({ model: 'text-embedding-3-small', input: 'a' }),
    images: () => openai.images.generate({ model: 'gpt-image-1', prompt: 'a cat' }),
    responses: () => respond('Hi', { instructions: 'Be brief.' }),
    'responses-error-401': () => respond('x #fake:error=401'),
    'responses-stream': async () => read(await respond('Hi', { stream: true })),
    'responses-stream-tools': async () =>
      read(
        await respond('Weather?', {
          tools: [{ type: 'function', ...FUNCTION }],
          stream: true,
        }),
      ),
    'responses-tools': () =>
      respond('Weather in Paris? #fake:think', {
        tools: [{ type: 'function', ...FUNCTION }],
      }),
  },
  anthropic: {
    messages: () => ask('Hi there', { system: 'Be brief.' }),
    'messages-async': () => ask('Hi there'),
    'messages-error-429': () => ask('Hi #fake:error=429'),
    'messages-thinking': () =>
      ask('Hi #fake:think', {
        thinking: { type: 'enabled', budget_tokens: 1024 },
      }),
    'messages-tools': () => ask('Weather? #fake:parallel', { tools: [weather] }),
    'messages-tools-two-turns-in-parent': () =>
      agent(async () => {
        const messages = user('Weather?');
        const { content } = await ask(messages, { tools: [weather] });
        const result = {
          type: 'tool_result',
          tool_use_id: content[0].id,
          content: 'sunny',
        };
        messages.push({ role: 'assistant', content }, { role: 'user', content: [result] });
        return (await ask(messages, { tools: [weather] })).content[0].text;
      }),
  },
  gemini: {
    chat: async () => {
      const talk = google.chats.create({ model: GEMINI });
      await talk.sendMessage({ message: 'Hi' });
      return (await talk.sendMessage({ message: 'Again' })).text;
    },
    'count-tokens': () => google.models.countTokens({ model: GEMINI, contents: 'Hi there' }),
    embed: () =>
      google.models.embedContent({
        model: 'gemini-embedding-001',
        contents: ['a', 'b'],
      }),
    'error-429': () => generate('Hi #fake:error=429'),
    generate: () =>
      generate('Hi there', {
        systemInstruction: 'Be brief.',
        temperature: 0.2,
      }),
    'generate-no-config': () => generate('Hi there'),
    'generate-thinking': () => generate('Hi #fake:think'),
    'generate-tool-declared': () => generate('Weather?', { tools: [{ functionDeclarations: [declared] }] }),
    'in-parent': () => agent(async () => (await generate('Hi there', { temperature: 0 })).text),
  },
};

/** Python's names of what JavaScript has in camel case, and of two methods and two classes that have others. */
const RENAMED = {
  'Models.generate_content_internal': 'Models._generate_content',
};
function snakeCase(name) {
  const snake = name.replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return RENAMED[snake] ?? snake;
}
const spelling = { gemini: snakeCase };

const withUsage = (usage) => (tree) => {
  tree.attributes['mlflow.chat.tokenUsage'] = usage;
};
const counted = {
  input_tokens: 21,
  output_tokens: 9,
  total_tokens: 30,
  cache_read_input_tokens: 8,
};
const embedded = { input_tokens: 21, output_tokens: 0, total_tokens: 21 };
const withServiceTier = ({ outputs }) => {
  outputs.service_tier = 'default';
};
const visit = (change) => (tree) => {
  change(tree);
  tree.children?.forEach(visit(change));
};
/** What is to be otherwise than in MLflow's trace: better, or the library's own in JavaScript. */
const differences = {
  openai: {
    'chat-stream': withServiceTier,
    'chat-stream-usage': withServiceTier,
    // What was received before the error.
    'chat-stream-error': (tree) => {
      tree.attributes['mlflow.llm.model'] = 'gpt-4o-mini-2024-07-18';
      tree.outputs = {
        id: 'chatcmpl-8c126257fbaa',
        object: 'chat.completion',
        created: 1700000000,
        model: 'gpt-4o-mini-2024-07-18',
        choices: [{ index: 0, message: { role: 'assistant', content: 'Hello ' } }],
        service_tier: 'default',
        system_fingerprint: 'fp_fake',
      };
    },
    completion: withUsage(counted),
    embeddings: withUsage(embedded),
    'embeddings-async': withUsage(embedded),
  },
  gemini: {
    'error-429': visit(({ events }) => {
      for (const event of events) event.type = 'ApiError';
    }),
  },
};

for (const [library, each] of Object.entries(cases)) {
  for (const [name, run] of Object.entries(each)) {
    test(`${library}: ${name}`, async () => {
      const { raised, trees } = golden(library, name);
      await (raised ? assert.rejects(run) : run());
      trees.forEach(differences[library]?.[name] ?? (() => {}));
      const found = (await takeTrees(trees.length)).map((tree) =>
        asInPython(tree, { spelling: spelling[library] }),
      );
      assert.deepEqual(found, trees);
    });
  }
}
