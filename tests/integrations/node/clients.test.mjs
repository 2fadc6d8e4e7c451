// The clients of OpenAI, Anthropic and Gemini: programs get what they get without tracing, and every call is a span.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import * as mlflow from 'mlflow-trace';
import { tracedAnthropic, untraced } from 'mlflow-trace/anthropic';
import { tracedGemini } from 'mlflow-trace/gemini';
import { enableHttp } from 'mlflow-trace/http';
import { tracedOpenAI } from 'mlflow-trace/openai';
import { cases } from './cases.mjs';
import { makeClients } from './support/clients.mjs';
import { startProvider } from './support/provider.mjs';
import { outline, recordInMemory, takeTrees } from './support/traces.mjs';

recordInMemory();
const url = await startProvider();

async function check({ run, gives, raises, traces }, clients) {
  let result, raised;
  try {
    result = await run(clients);
  } catch (error) {
    if (error.name === 'AssertionError') throw error;
    raised = error.constructor.name;
  }
  assert.deepEqual([result, raised], [gives, raises]);
  assert.deepEqual((await takeTrees(traces.length)).map(outline), traces);
  assert.deepEqual(mlflow.diagnostics(), []);
}

function traced(clients) {
  tracedOpenAI(clients.openai);
  tracedAnthropic(clients.anthropic);
  tracedGemini(clients.google);
  return clients;
}

describe('calls', () => {
  const clients = traced(makeClients(url));
  for (const [name, each] of Object.entries(cases)) test(name, () => check(each, clients));
});

describe('twice, and requests as well', () => {
  const disable = enableHttp();
  const clients = traced(traced(makeClients(url)));
  after(disable);
  for (const [name, each] of Object.entries(cases)) test(name, () => check(each, clients));
});

describe('requests', () => {
  let disable, clients;
  test('the clients keep the fetch that they find', () => {
    const { fetch } = globalThis;
    disable = enableHttp();
    assert.notEqual(globalThis.fetch, fetch);
    clients = makeClients(url);
  });
  for (const [name, { wire, ...each }] of Object.entries(cases)) {
    test(name, () => check({ ...each, traces: wire ?? each.traces }, clients));
  }
  test('off', async () => {
    disable();
    const { run, gives } = cases['openai chat'];
    await check({ run, gives, traces: [] }, clients);
  });
});

describe('off', () => {
  const clients = traced(makeClients(url));
  for (const client of Object.values(clients)) untraced(client);
  for (const [name, each] of Object.entries(cases)) {
    const traces = name === 'openai in a span' ? [['agent [UNKNOWN] OK']] : [];
    test(name, () => check({ ...each, traces }, clients));
  }
});

test('what is there afterwards is the own of the library', () => {
  const clients = makeClients(url);
  const before = [clients.openai.chat.completions, clients.google.models].map(
    Object.getOwnPropertyDescriptors,
  );
  traced(clients);
  for (const client of Object.values(clients)) untraced(client);
  const now = [clients.openai.chat.completions, clients.google.models].map(Object.getOwnPropertyDescriptors);
  assert.deepEqual(now, before);
});

test('a request carries the trace, in a copy of what the caller gave', async () => {
  const { openai } = traced(makeClients(url));
  await fetch(`${url}/__fake/requests`, { method: 'DELETE' });
  const options = Object.freeze({ headers: Object.freeze({ 'x-mine': '1' }) });
  const request = Object.freeze({
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'Hi' }],
  });
  await mlflow.withSpan(() => openai.chat.completions.create(request, options), { name: 'agent' });
  const [{ headers }] = await (await fetch(`${url}/__fake/requests`)).json();
  const sent = Object.fromEntries(Object.entries(headers).map(([key, value]) => [key.toLowerCase(), value]));
  assert.equal(sent['x-mine'], '1');
  assert.equal(sent.traceparent.slice(3, 35), mlflow.getLastActiveTraceId().slice(3));
  const [tree] = await takeTrees();
  assert.deepEqual(tree.children[0].inputs, request);
});

test('chunks are events where that is asked for', async () => {
  const { openai } = makeClients(url);
  const request = {
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'Hi' }],
    stream: true,
  };
  for await (const _ of await tracedOpenAI(openai, {
    chunkEvents: true,
  }).chat.completions.create(request));
  const [{ events }] = await takeTrees();
  assert.equal(events.length, 10);
  assert.equal(events[9].name, 'mlflow.chunk.item.9');
  assert.match(events[1].attributes['mlflow.chunk.value'], /chat\.completion\.chunk/);
});

test('a stream that is never read is a span when it is forgotten', async () => {
  const { openai } = traced(makeClients(url));
  const request = {
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'Hi' }],
    stream: true,
  };
  const forget = async () => {
    await openai.chat.completions.create(request);
  };
  await forget();
  const { gc } = globalThis;
  assert.ok(gc, 'run with --expose-gc');
  let trees = [];
  for (let tries = 0; trees.length === 0 && tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    gc();
    trees = await takeTrees();
  }
  assert.deepEqual(trees.map(outline), [['Completions [CHAT_MODEL] OK']]);
});
