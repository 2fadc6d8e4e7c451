// The engine of hooks, with clients that are made up: what a library may do, and what must not happen to its caller.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { tracedAnthropic } from 'mlflow-trace/anthropic';
import { tracedGemini } from 'mlflow-trace/gemini';
import { enableHttp } from 'mlflow-trace/http';
import { enableLangchain, MlflowCallbackHandler } from 'mlflow-trace/langchain';
import { MlflowMastraExporter } from 'mlflow-trace/mastra';
import { tracedOpenAI, untraced } from 'mlflow-trace/openai';
import { spansIn, temporaryDirectory, run } from './support/child.mjs';
import { mlflow, takeTrace, takeTraces, useMemory } from './support/engine.mjs';

useMemory();
beforeEach(async () => {
  await takeTraces();
  mlflow.diagnostics();
});

const REQUEST = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] };
const REPLY = {
  choices: [{ message: { role: 'assistant', content: 'Hello' } }],
  usage: { prompt_tokens: 1 },
};

/** A client whose `chat.completions.create` is `create`. */
const clientOf = (create) => ({ chat: { completions: { create } } });
const call = (client, ...args) => client.chat.completions.create(REQUEST, ...args);

test('a value, a promise, a thenable of another kind: each comes as it would', async () => {
  assert.equal(call(tracedOpenAI(clientOf(() => REPLY))), REPLY);
  assert.equal(await call(tracedOpenAI(clientOf(async () => REPLY))), REPLY);
  let asked = 0;
  const thenable = { then: (resolve) => resolve(REPLY, asked++), cancel() {} };
  assert.equal(call(tracedOpenAI(clientOf(() => thenable))), thenable);
  assert.equal(asked, 0);
  assert.equal(await thenable, REPLY);
  class Cancellable extends Promise {}
  const promise = Cancellable.resolve(REPLY);
  assert.equal(call(tracedOpenAI(clientOf(() => promise))), promise);
  assert.equal(await promise, REPLY);
  const traces = await takeTraces();
  assert.deepEqual(
    traces.map(({ spans }) => spans[0].name),
    ['Completions', 'Completions', 'Completions', 'Completions'],
  );
  for (const { spans } of traces) assert.equal(spans[0].attributes['mlflow.chat.tokenUsage'].input_tokens, 1);
});

test('what the library throws is what its caller gets', async () => {
  const failure = new TypeError('mine');
  const throwing = tracedOpenAI(
    clientOf(() => {
      throw failure;
    }),
  );
  assert.throws(() => call(throwing), failure);
  await assert.rejects(call(tracedOpenAI(clientOf(() => Promise.reject(failure)))), failure);
  for (const { spans } of await takeTraces()) {
    assert.equal(spans[0].status.code, 'STATUS_CODE_ERROR');
    assert.equal(spans[0].status.message, 'TypeError: mine');
  }
});

test('a generator stays one, is closed when its reader leaves, and its error is its own', async () => {
  let isClosed = false;
  async function* source() {
    try {
      yield { choices: [{ index: 0, delta: { content: 'Hel' } }] };
      yield { choices: [{ index: 0, delta: { content: 'lo' } }] };
      throw new Error('cut');
    } finally {
      isClosed = true;
    }
  }
  const client = tracedOpenAI(clientOf(async () => source()));
  const stream = await call(client);
  assert.equal(Object.getPrototypeOf(Object.getPrototypeOf(stream)), Object.getPrototypeOf(source.prototype));
  assert.equal(stream[Symbol.asyncIterator](), stream);
  for await (const _ of stream) break;
  assert.ok(isClosed);
  assert.equal((await takeTrace()).spans[0].outputs.choices[0].message.content, 'Hel');
  await assert.rejects(async () => {
    for await (const _ of await call(client));
  }, /cut/);
  const [span] = (await takeTrace()).spans;
  assert.equal(span.outputs.choices[0].message.content, 'Hello');
  assert.equal(span.status.code, 'STATUS_CODE_ERROR');
});

test('an iterator whose steps are no promises', async () => {
  let left = 2;
  const source = {
    next: () => (left-- > 0 ? { done: false, value: {} } : { done: true }),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
  const stream = await call(tracedOpenAI(clientOf(async () => source)));
  assert.deepEqual(stream.next(), { done: false, value: {} });
  for await (const _ of stream);
  assert.equal((await takeTraces()).length, 1);
});

test('steps of a generator run inside the span, and its reader does not', async () => {
  const seen = [];
  const active = () => mlflow.getCurrentActiveSpan()?.name;
  async function* source() {
    seen.push(active());
    yield {};
    seen.push(active());
  }
  for await (const _ of await call(tracedOpenAI(clientOf(async () => source())))) seen.push(active());
  assert.deepEqual(seen, ['Completions', undefined, 'Completions']);
});

test('a hook that fails leaves the call alone, and is reported once', async () => {
  const hostile = new Proxy(
    {},
    {
      get: () => {
        throw new Error('hostile');
      },
      ownKeys: () => {
        throw new Error('hostile');
      },
      getPrototypeOf: () => {
        throw new Error('hostile');
      },
    },
  );
  const client = tracedOpenAI(clientOf((request, options) => [request, options]));
  for (let i = 0; i < 3; i++) {
    const given = client.chat.completions.create(hostile, hostile);
    assert.equal(given[0], hostile);
    assert.equal(given[1], hostile);
  }
  const frozen = Object.freeze({ iterator: () => [][Symbol.iterator](), [Symbol.asyncIterator]() {} });
  assert.equal(call(tracedOpenAI(clientOf(() => frozen))), frozen);
  assert.equal((await takeTraces()).length, 4);
  const diagnostics = mlflow.diagnostics();
  assert.equal(new Set(diagnostics).size, diagnostics.length);
  assert.ok(diagnostics.length > 0);
});

test('without an addon, or without recording, calls are what they were', () => {
  const client = tracedOpenAI(clientOf(() => REPLY));
  assert.equal(
    mlflow.tracingContext({ enabled: false }, () => call(client)),
    REPLY,
  );
});

test('a trace that is not sampled stays so below', async () => {
  const client = tracedOpenAI(clientOf(async () => mlflow.withSpan(() => REPLY, { name: 'below' })));
  await mlflow.withSpan(() => call(client), { name: 'root', samplingRatioOverride: 0 });
  assert.deepEqual(await takeTraces(), []);
});

test('twice is once, off is as before, and on again is on', async () => {
  class Completions {
    create() {
      return REPLY;
    }
  }
  const client = { chat: { completions: new Completions() } };
  const own = Object.getOwnPropertyDescriptors(client.chat.completions);
  assert.equal(tracedOpenAI(tracedOpenAI(client)), client);
  const held = client.chat.completions.create;
  assert.deepEqual([held.name, held.length], ['create', 0]);
  assert.deepEqual(Object.keys(client.chat.completions), []);
  call(client);
  assert.equal((await takeTraces()).length, 1);
  untraced(client);
  assert.deepEqual(Object.getOwnPropertyDescriptors(client.chat.completions), own);
  call(client);
  assert.equal(held(), REPLY);
  assert.deepEqual(await takeTraces(), []);
  tracedOpenAI(client);
  call(client);
  assert.equal((await takeTraces()).length, 1);
});

test('who has replaced a method after us keeps it', async () => {
  const client = tracedOpenAI(clientOf(() => REPLY));
  const ours = client.chat.completions.create;
  const theirs = (...args) => ours(...args);
  client.chat.completions.create = theirs;
  untraced(client);
  assert.equal(client.chat.completions.create, theirs);
  assert.equal(call(client), REPLY);
  assert.deepEqual(await takeTraces(), []);
  tracedOpenAI(client);
  call(client);
  assert.equal((await takeTraces()).length, 1);
});

test('what is no client comes back, with a word about it', () => {
  for (const nothing of [undefined, null, 7, 'x', {}, Object.freeze({ chat: {} })]) {
    for (const traced of [tracedOpenAI, tracedAnthropic, tracedGemini])
      assert.equal(traced(nothing), nothing);
    assert.equal(untraced(nothing), nothing);
  }
  assert.equal(mlflow.diagnostics().filter((line) => line.includes('client')).length, 2);
});

test('callbacks and exporters take anything', async () => {
  enableLangchain(undefined, {}, () => {})();
  const handler = new MlflowCallbackHandler();
  handler.handleChainStart(undefined, undefined, 'a');
  handler.handleChatModelStart({}, [[undefined, 7, { getType: () => 'ai', content: '' }]], 'b', 'a');
  handler.handleLLMEnd({ generations: 7 }, 'b');
  handler.handleChainError(undefined, 'a');
  handler.handleToolEnd(undefined, 'unknown');
  const exporter = new MlflowMastraExporter();
  for (const exportedSpan of [undefined, null, 7, {}]) {
    await exporter.exportTracingEvent({ type: 'span_ended', exportedSpan });
  }
  assert.equal(handler.copy(), handler);
});

test('fetch: what is no request to a model is not touched', async (t) => {
  const { fetch } = globalThis;
  const results = [];
  t.after(() => (globalThis.fetch = fetch));
  globalThis.fetch = (...args) => {
    const result = Promise.resolve(new Response(null, { status: 204 }));
    results.push([args, result]);
    return result;
  };
  const disable = enableHttp();
  enableHttp();
  const body = JSON.stringify(REQUEST);
  const requests = [
    ['http://localhost/v1/chat/completions'],
    ['http://localhost/v1/other', { method: 'POST', body }],
    ['http://localhost/v1/chat/completions', { method: 'POST', body: new FormData() }],
    ['no url', { method: 'POST', body }],
  ];
  for (const args of requests) {
    const result = globalThis.fetch(...args);
    const [given, own] = results.at(-1);
    assert.deepEqual([given, result === own], [args, true]);
  }
  await globalThis.fetch('http://localhost/v1/chat/completions', { method: 'POST', body: 'no JSON' });
  assert.deepEqual(await takeTraces(), []);
  await globalThis.fetch(new Request('http://localhost/v1/chat/completions', { method: 'POST', body }));
  assert.equal((await takeTrace()).spans[0].name, 'Completions');
  disable();
  assert.equal(globalThis.fetch.length, 0);
  await globalThis.fetch('http://localhost/v1/chat/completions', { method: 'POST', body });
  assert.deepEqual(await takeTraces(), []);
});

test('a stream that is open when the process ends is delivered with what it gave', async (t) => {
  const directory = temporaryDirectory(t);
  const entry = JSON.stringify(new URL('../entries/openai.mjs', import.meta.url).href);
  const { status, stderr } = await run(
    `const { tracedOpenAI } = await import(${entry});
    async function* source() { yield { choices: [{ index: 0, delta: { content: 'Hel' } }] }; yield {}; }
    const client = tracedOpenAI({ chat: { completions: { create: async () => source() } } });
    globalThis.kept = await client.chat.completions.create({ model: 'm' });
    await globalThis.kept.next();
    process.exit(0);`,
    { cwd: directory, env: { MLFLOW_TRACE_QUIET: 'true' } },
  );
  assert.deepEqual([status, stderr], [0, '']);
  const [span] = spansIn(`${directory}/mlflow-traces`);
  const outputs = span.attributes.find(({ key }) => key === 'mlflow.spanOutputs').value.stringValue;
  assert.equal(JSON.parse(outputs).choices[0].message.content, 'Hel');
});
