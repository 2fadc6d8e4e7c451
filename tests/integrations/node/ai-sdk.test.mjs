// The Vercel AI SDK: version 6 through OpenTelemetry, version 7 by a stand-in that announces as it does.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { tracingChannel } from 'node:diagnostics_channel';
import { after, test } from 'node:test';
import { createOpenAI } from '@ai-sdk/openai';
import * as ai from 'ai';
import * as mlflow from 'mlflow-trace';
import { enableAiSdk } from 'mlflow-trace/ai-sdk';
import { enableHttp } from 'mlflow-trace/http';
import { MlflowSpanProcessor } from 'mlflow-trace/otel';
import { z } from 'zod';
import { startProvider } from './support/provider.mjs';
import { outline, recordInMemory, takeTrees } from './support/traces.mjs';

const require = createRequire(new URL('../../../bindings/node/', import.meta.url));
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

recordInMemory();
const baseURL = `${await startProvider()}/v1`;

test('version 6, through OpenTelemetry', async () => {
  const provider = new NodeTracerProvider({ spanProcessors: [new MlflowSpanProcessor()] });
  provider.register();
  const model = createOpenAI({ baseURL, apiKey: 'fake' }).chat('gpt-4o-mini');
  const execute = ({ city }) => mlflow.withSpan(() => `sunny in ${city}`, { name: 'lookup' });
  const weather = ai.tool({ description: 'Weather', inputSchema: z.object({ city: z.string() }), execute });
  const request = { model, prompt: 'Weather in Paris?', tools: { weather }, stopWhen: ai.stepCountIs(3) };
  const { text } = await mlflow.withSpan(
    () => ai.generateText({ ...request, experimental_telemetry: { isEnabled: true } }),
    { name: 'agent' },
  );
  assert.equal(text, 'The tool said: sunny in Paris');
  const [tree] = await takeTrees(1);
  assert.deepEqual(
    outline(tree).map((line) => line.replace(/ \[.*/, '')),
    [
      'agent',
      '  ai.generateText',
      '    ai.generateText.doGenerate',
      '    ai.toolCall',
      '      lookup',
      '    ai.generateText.doGenerate',
    ],
  );
});

// How version 7 announces a piece of work, and then its result where that is streamed.
const channel = tracingChannel('ai:telemetry');
const work = (type, event, run) => channel.tracePromise(run, { type, event: { callId: 'call-1', ...event } });
const tell = (name, event) => {
  for (const integration of globalThis.AI_SDK_TELEMETRY_INTEGRATIONS ?? []) {
    integration[name]?.({ callId: 'call-1', ...event });
  }
};
const pause = () => new Promise((resolve) => setTimeout(resolve, 1));

const usage = {
  inputTokens: 21,
  inputTokenDetails: { noCacheTokens: 13, cacheReadTokens: 8 },
  outputTokens: 9,
  totalTokens: 30,
};
const toolCall = { type: 'tool-call', toolCallId: 'c1', toolName: 'weather', input: { city: 'Paris' } };
const tools = [
  { type: 'function', name: 'weather', description: 'Weather', inputSchema: { type: 'object' } },
];
const called = {
  provider: 'openai.chat',
  modelId: 'gpt-4o-mini',
  messages: [{ role: 'user', content: 'Hi' }],
  tools,
};

async function generate() {
  return work('generateText', { messages: called.messages }, async () => {
    await work('step', { stepNumber: 0, promptMessages: called.messages }, async () => {
      await work('languageModelCall', called, async () => {
        await pause();
        return { content: [toolCall], finishReason: 'tool-calls', usage };
      });
      await work('executeTool', { toolCall }, async () => {
        await mlflow.withSpan(pause, { name: 'lookup' });
        return { output: { type: 'tool-result', output: 'sunny in Paris' } };
      });
      return { text: 'sunny', usage };
    });
    return { text: 'sunny', usage };
  });
}

const OUTLINE = [
  'ai.generateText [LLM] OK',
  '  step 0 [CHAIN] OK',
  '    ai.languageModelCall [CHAT_MODEL] OK 21+9=30',
  '    weather [TOOL] OK',
  '      lookup [UNKNOWN] OK',
];
let disable = enableAiSdk();
after(() => disable());

test('version 7', async () => {
  await generate();
  const [tree] = await takeTrees(1);
  assert.deepEqual(outline(tree), OUTLINE);
  const [call, tool] = tree.children[0].children;
  assert.deepEqual(call.outputs, {
    text: '',
    toolCalls: [{ toolCallId: 'c1', toolName: 'weather', input: { city: 'Paris' } }],
    finishReason: 'tool-calls',
  });
  assert.equal(call.attributes['mlflow.message.format'], 'vercel_ai');
  assert.equal(call.attributes['mlflow.chat.tokenUsage'].cache_read_input_tokens, 8);
  assert.deepEqual(call.attributes['mlflow.chat.tools'], [
    {
      type: 'function',
      function: { name: 'weather', description: 'Weather', parameters: { type: 'object' } },
    },
  ]);
  assert.deepEqual([tool.inputs, tool.outputs], [{ city: 'Paris' }, 'sunny in Paris']);
  assert.equal(tree.outputs.text, 'sunny');
});

test('version 7: a stream, whose results are told after its end', async () => {
  await work('streamText', called, () =>
    work('step', { stepNumber: 0 }, () =>
      work('languageModelCall', called, async () => {
        await pause();
        tell('onLanguageModelCallEnd', {
          content: [{ type: 'text', text: 'Hello' }],
          usage,
          finishReason: 'stop',
        });
      }),
    ),
  );
  tell('onEnd', { text: 'Hello', finishReason: 'stop' });
  const [tree] = await takeTrees(1);
  assert.deepEqual(outline(tree), [
    'ai.streamText [LLM] OK',
    '  step 0 [CHAIN] OK',
    '    ai.languageModelCall [CHAT_MODEL] OK 21+9=30',
  ]);
  assert.equal(tree.outputs.text, 'Hello');
});

test('version 7: a stream that takes its time', async () => {
  await work('streamText', called, () =>
    work('step', { stepNumber: 0 }, async () => {
      await work('languageModelCall', called, async () => ({ stream: new ReadableStream() }));
      await new Promise((resolve) => setTimeout(resolve, 30));
      tell('onLanguageModelCallEnd', {
        content: [{ type: 'text', text: 'Hello' }],
        usage,
        finishReason: 'stop',
      });
    }),
  );
  const [tree] = await takeTrees(1);
  assert.equal(outline(tree)[2], '    ai.languageModelCall [CHAT_MODEL] OK 21+9=30');
  assert.equal(tree.children[0].children[0].outputs.text, 'Hello');
});

test('version 7: a stream that fails, of whose step nothing more is told', async () => {
  const failure = new Error('fake error 429');
  const forever = new Promise(() => {});
  await assert.rejects(
    work('streamText', called, async () => {
      void work('step', { stepNumber: 0 }, () => forever);
      await pause();
      throw failure;
    }),
    failure,
  );
  const [tree] = await takeTrees(1);
  assert.deepEqual(outline(tree), ['ai.streamText [LLM] ERROR', '  step 0 [CHAIN] ERROR']);
});

test('version 7: what is not to be recorded is not', async () => {
  const event = { ...called, recordInputs: false, recordOutputs: false };
  await work('languageModelCall', event, async () => ({ content: [toolCall], usage }));
  const [tree] = await takeTrees(1);
  assert.deepEqual([tree.inputs, tree.outputs], [undefined, undefined]);
  assert.equal(tree.attributes['mlflow.chat.tokenUsage'].total_tokens, 30);
});

test('version 7: its requests are not traced once more', async () => {
  const off = enableHttp();
  const body = JSON.stringify({ model: 'gpt-4o-mini', messages: called.messages });
  await work('languageModelCall', called, () =>
    fetch(`${baseURL}/chat/completions`, { method: 'POST', body }),
  );
  off();
  assert.equal((await takeTrees()).flatMap(outline).length, 1);
});

test('version 7: messages without any sense are no harm, and off is off', async () => {
  for (const message of [
    {},
    { type: 'step' },
    { type: 'executeTool', event: null },
    { type: 7, event: 'x' },
  ]) {
    assert.equal(await channel.tracePromise(async () => 'mine', message), 'mine');
  }
  await takeTrees();
  mlflow.diagnostics();
  enableAiSdk();
  await generate();
  assert.deepEqual((await takeTrees()).map(outline), [OUTLINE]);
  disable();
  await generate();
  assert.deepEqual((await takeTrees()).map(outline), [['lookup [UNKNOWN] OK']]);
  assert.deepEqual(globalThis.AI_SDK_TELEMETRY_INTEGRATIONS, []);
  disable = enableAiSdk();
});
