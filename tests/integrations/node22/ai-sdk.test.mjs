// The Vercel AI SDK 7: what it announces by itself is traced, with no flag on the calls.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createOpenAI } from '@ai-sdk/openai';
import * as ai from 'ai';
import { z } from 'zod';
import { startProvider } from '../node/support/provider.mjs';
import { mlflow, outline, recordInMemory, takeTrees } from '../node/support/traces.mjs';

const { enableAiSdk } = await import('../../../bindings/node/entries/ai-sdk.mjs');

recordInMemory();
const openai = createOpenAI({ baseURL: `${await startProvider()}/v1`, apiKey: 'fake' });
const model = openai.chat('gpt-4o-mini');
const request = (prompt, more) => ({ model, prompt, maxRetries: 0, ...more });
const weather = ai.tool({
  description: 'Weather',
  inputSchema: z.object({ city: z.string() }),
  execute: ({ city }) => mlflow.withSpan(() => `sunny in ${city}`, { name: 'lookup' }),
});
const withTools = { tools: { weather }, stopWhen: ai.stepCountIs(3) };
after(enableAiSdk());

async function read(stream) {
  let text = '';
  for await (const part of stream) text += part;
  return text;
}

const SAID = 'Hello from the fake provider. You said: Hi';
const one = (name) => [
  `${name} [LLM] OK`,
  '  step 0 [CHAIN] OK',
  '    ai.languageModelCall [CHAT_MODEL] OK 21+9=30',
];
const turns = (name) => [
  ...one(name),
  '    weather [TOOL] OK',
  '      lookup [UNKNOWN] OK',
  '  step 1 [CHAIN] OK',
  '    ai.languageModelCall [CHAT_MODEL] OK 21+9=30',
];
const failed = (name) => [
  `${name} [LLM] ERROR`,
  '  step 0 [CHAIN] ERROR',
  '    ai.languageModelCall [CHAT_MODEL] ERROR',
];
const onError = () => {};
const cases = {
  generate: [async () => (await ai.generateText(request('Hi'))).text, SAID, one('ai.generateText')],
  stream: [async () => read(ai.streamText(request('Hi')).textStream), SAID, one('ai.streamText')],
  tools: [
    async () => (await ai.generateText(request('Weather in Paris?', withTools))).text,
    'The tool said: sunny in Paris',
    turns('ai.generateText'),
  ],
  'tools in a stream': [
    async () => read(ai.streamText(request('Weather in Paris?', withTools)).textStream),
    'The tool said: sunny in Paris',
    turns('ai.streamText'),
  ],
  'an object': [
    async () => {
      const output = ai.Output.object({ schema: z.object({ name: z.string() }) });
      return (await ai.generateText(request('Hi', { output }))).output;
    },
    { name: 'Paris' },
    one('ai.generateText'),
  ],
  'an embedding': [
    async () => (await ai.embed({ model: openai.embedding('text-embedding-3-small'), value: 'a' })).embedding,
    [0.34375, 0.1015625, 0.0234375, -0.484375],
    ['ai.embed [EMBEDDING] OK 21+0=21'],
  ],
  'an error': [
    async () => {
      await assert.rejects(ai.generateText(request('Hi #fake:error=429')), { name: 'AI_APICallError' });
    },
    undefined,
    failed('ai.generateText'),
  ],
  'an error of a stream': [
    async () => read(ai.streamText(request('Hi #fake:error=429', { onError })).textStream),
    '',
    failed('ai.streamText'),
  ],
  'in a span': [
    () => mlflow.withSpan(async () => (await ai.generateText(request('Hi'))).text, { name: 'agent' }),
    SAID,
    ['agent [UNKNOWN] OK', ...one('ai.generateText').map((line) => `  ${line}`)],
  ],
};

test('a stream that takes its time', async () => {
  const chunk = (delta, finish_reason = null) =>
    `data: ${JSON.stringify({ id: 'x', model: 'm', created: 1, choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
  async function* body() {
    for (const content of ['a ', 'b ']) {
      yield chunk({ content });
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    yield `${chunk({}, 'stop')}data: [DONE]\n\n`;
  }
  const headers = { 'content-type': 'text/event-stream' };
  const fetch = async () =>
    new Response(ReadableStream.from(body()).pipeThrough(new TextEncoderStream()), { headers });
  const slow = createOpenAI({ apiKey: 'fake', fetch }).chat('m');
  assert.equal(await read(ai.streamText(request('Hi', { model: slow })).textStream), 'a b ');
  const [tree] = await takeTrees(1);
  const call = tree.children[0].children[0];
  assert.equal(call.outputs.text, 'a b ');
  assert.equal(call.outputs.finishReason, 'stop');
});

for (const [name, [run, gives, lines]] of Object.entries(cases)) {
  test(name, async () => {
    assert.deepEqual(await run(), gives);
    assert.deepEqual((await takeTrees(1)).map(outline), [lines]);
    assert.deepEqual(mlflow.diagnostics(), []);
  });
}
