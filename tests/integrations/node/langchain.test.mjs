// LangChain.js and LangGraph.js: the runs that they announce are spans below each other.
import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { CallbackManager } from '@langchain/core/callbacks/manager';
import { AIMessage } from '@langchain/core/messages';
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { BaseRetriever } from '@langchain/core/retrievers';
import { RunnableLambda } from '@langchain/core/runnables';
import { tool } from '@langchain/core/tools';
import { interrupt, MemorySaver, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { createReactAgent } from '@langchain/langgraph/prebuilt';
import { ChatOpenAI } from '@langchain/openai';
import * as mlflow from 'mlflow-trace';
import { enableLangchain, MlflowCallbackHandler } from 'mlflow-trace/langchain';
import { z } from 'zod';
import { startProvider } from './support/provider.mjs';
import { outline, recordInMemory, takeTrees } from './support/traces.mjs';

recordInMemory();
const baseURL = `${await startProvider()}/v1`;
const model = new ChatOpenAI({
  model: 'gpt-4o-mini',
  apiKey: 'fake',
  maxRetries: 0,
  configuration: { baseURL },
});
const prompt = ChatPromptTemplate.fromMessages([
  ['system', 'Be brief.'],
  ['user', '{q}'],
]);
const chain = prompt.pipe(model).pipe(new StringOutputParser());
const weather = tool(({ city }) => mlflow.withSpan(() => `sunny in ${city}`, { name: 'lookup' }), {
  name: 'get_weather',
  description: 'Weather of a city',
  schema: z.object({ city: z.string() }),
});
const agent = createReactAgent({ llm: model, tools: [weather] });
const QUESTION = { messages: [{ role: 'user', content: 'Weather in Paris?' }] };

let disable = enableLangchain(CallbackManager);
after(() => disable());
beforeEach(takeTrees);

const MODEL = 'ChatOpenAI [CHAT_MODEL] OK 21+9=30';
const CHAIN = [
  'RunnableSequence [CHAIN] OK',
  '  ChatPromptTemplate [CHAIN] OK',
  `  ${MODEL}`,
  '  StrOutputParser [CHAIN] OK',
];
const TURN = [
  '  agent [CHAIN] OK',
  '    RunnableSequence [CHAIN] OK',
  '      prompt [CHAIN] OK',
  `      ${MODEL}`,
  '    RunnableLambda [CHAIN] OK',
];
const AGENT = [
  'LangGraph [CHAIN] OK',
  ...TURN,
  '  tools [CHAIN] OK',
  '    get_weather [TOOL] OK',
  '      lookup [UNKNOWN] OK',
  ...TURN,
];

async function outlines() {
  const trees = await takeTrees();
  assert.deepEqual(mlflow.diagnostics(), []);
  return trees.map(outline);
}

test('a model', async () => {
  await model.invoke('Hi there');
  const [tree] = await takeTrees(1);
  assert.deepEqual(outline(tree), [MODEL]);
  assert.deepEqual(tree.inputs, { messages: [{ role: 'user', content: 'Hi there' }] });
  const content = 'Hello from the fake provider. You said: Hi there';
  assert.deepEqual(tree.outputs, { choices: [{ message: { role: 'assistant', content } }] });
  const { 'mlflow.chat.tokenUsage': usage, invocation_params: parameters, ...attributes } = tree.attributes;
  assert.deepEqual(usage, {
    input_tokens: 21,
    output_tokens: 9,
    total_tokens: 30,
    cache_read_input_tokens: 8,
  });
  assert.equal(parameters.model, 'gpt-4o-mini');
  assert.equal(attributes['mlflow.llm.model'], 'gpt-4o-mini');
  assert.equal(attributes['mlflow.llm.provider'], 'openai');
  assert.equal(attributes['mlflow.message.format'], 'langchain');
});

test('a chain, its values with their messages as plain objects', async () => {
  await chain.invoke({ q: 'Hi there' });
  const [tree] = await takeTrees(1);
  assert.deepEqual(outline(tree), CHAIN);
  assert.deepEqual(tree.inputs, { q: 'Hi there' });
  const messages = [
    { type: 'system', content: 'Be brief.', additional_kwargs: {}, response_metadata: {} },
    { type: 'human', content: 'Hi there', additional_kwargs: {}, response_metadata: {} },
  ];
  assert.deepEqual(tree.children[0].outputs, { messages });
  const { type, content, usage_metadata: usage } = tree.children[2].inputs;
  assert.deepEqual([type, content], ['ai', 'Hello from the fake provider. You said: Hi there']);
  assert.equal(usage.input_token_details.cache_read, 8);
});

test('a chain that streams', async () => {
  let text = '';
  for await (const part of await chain.stream({ q: 'Hi there' })) text += part;
  assert.equal(text, 'Hello from the fake provider. You said: Hi there');
  const [tree] = await takeTrees(1);
  assert.deepEqual(outline(tree), CHAIN);
  const tokens = tree.children[1].events.map(({ name, attributes }) => [name, attributes.token]);
  assert.ok(tokens.some(([name, token]) => name === 'new_token' && token === 'Hello '));
});

test('a batch', async () => {
  await chain.batch([{ q: 'a' }, { q: 'b' }]);
  assert.deepEqual(await outlines(), [CHAIN, CHAIN]);
});

for (const [way, use] of Object.entries({
  'at once': () => agent.invoke(QUESTION),
  streaming: async () => {
    for await (const _ of await agent.stream(QUESTION));
  },
  'with its events': async () => {
    for await (const _ of agent.streamEvents(QUESTION, { version: 'v2' }));
  },
})) {
  test(`an agent of LangGraph, ${way}: what its tool records is below the tool`, async () => {
    await use();
    assert.deepEqual(await outlines(), [AGENT]);
  });
}

test('agents that run at the same time', async () => {
  await Promise.all(
    [1, 2, 3].map((n) => mlflow.withSpan(() => agent.invoke(QUESTION), { name: `task ${n}` })),
  );
  const found = (await outlines()).sort();
  assert.deepEqual(
    found,
    [1, 2, 3].map((n) => [`task ${n} [UNKNOWN] OK`, ...AGENT.map((line) => `  ${line}`)]),
  );
});

test('spans and runs in each other', async () => {
  const inner = RunnableLambda.from((x) => mlflow.withSpan(() => x, { name: 'inmost' })).withConfig({
    runName: 'inner',
  });
  const outer = RunnableLambda.from((x) =>
    mlflow.withSpan(
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return mlflow.tracingContext({}, () => inner.invoke(x));
      },
      { name: 'between' },
    ),
  );
  await mlflow.withSpan(() => outer.invoke('x'), { name: 'root' });
  assert.deepEqual(await outlines(), [
    [
      'root [UNKNOWN] OK',
      '  RunnableLambda [CHAIN] OK',
      '    between [UNKNOWN] OK',
      '      inner [CHAIN] OK',
      '        inmost [UNKNOWN] OK',
    ],
  ]);
});

test('an error', async () => {
  await assert.rejects(chain.invoke({ q: 'Hi #fake:error=429' }), { status: 429 });
  const [tree] = await takeTrees(1);
  assert.deepEqual(outline(tree), [
    'RunnableSequence [CHAIN] ERROR',
    '  ChatPromptTemplate [CHAIN] OK',
    '  ChatOpenAI [CHAT_MODEL] ERROR',
  ]);
  assert.match(tree.children[1].message, /fake error 429/);
  assert.equal(tree.children[1].events[0].name, 'exception');
});

test('a graph that waits for its user has not failed, and its thread is the session', async () => {
  const graph = new StateGraph(MessagesAnnotation)
    .addNode('ask', () => {
      interrupt('ok?');
      return {};
    })
    .addEdge(START, 'ask')
    .compile({ checkpointer: new MemorySaver() });
  await graph.invoke({ messages: [] }, { configurable: { thread_id: 't-1' } });
  const [tree] = await takeTrees(1);
  assert.deepEqual(outline(tree), ['LangGraph [CHAIN] OK', '  ask [CHAIN] OK']);
  assert.equal(tree.children[0].events[0].name, 'interrupt');
  assert.equal(tree.children[0].events[0].attributes.value[0].value, 'ok?');
  assert.equal(tree.attributes.metadata.thread_id, 't-1');
});

test('a retriever', async () => {
  class Fixed extends BaseRetriever {
    lc_namespace = ['tests'];
    static lc_name() {
      return 'Fixed';
    }
    _getRelevantDocuments(query) {
      return Promise.resolve([{ pageContent: query, metadata: { source: 'a' }, id: '1' }]);
    }
  }
  await new Fixed().invoke('tracing');
  const [tree] = await takeTrees(1);
  assert.deepEqual(outline(tree), ['Fixed [RETRIEVER] OK']);
  assert.equal(tree.inputs, 'tracing');
  assert.deepEqual(tree.outputs, [{ page_content: 'tracing', metadata: { source: 'a' }, id: '1' }]);
});

test('a handler that is given as well changes nothing; off, it is the only one', async () => {
  const handlers = { callbacks: [new MlflowCallbackHandler()] };
  await chain.invoke({ q: 'Hi' }, handlers);
  assert.deepEqual(await outlines(), [CHAIN]);
  disable();
  assert.equal(Object.hasOwn(CallbackManager, '_configureSync'), true);
  await chain.invoke({ q: 'Hi' });
  assert.deepEqual(await outlines(), []);
  await chain.invoke({ q: 'Hi' }, handlers);
  assert.deepEqual(await outlines(), [CHAIN]);
  enableLangchain(CallbackManager);
  disable = enableLangchain(CallbackManager);
  await chain.invoke({ q: 'Hi' }, { tags: ['mine'], callbacks: [{ handleChainStart() {} }] });
  assert.deepEqual(await outlines(), [CHAIN]);
});

test('tokens of Anthropic, with the tiers of its cache', () => {
  const handler = new MlflowCallbackHandler();
  const id = crypto.randomUUID();
  handler.handleChatModelStart({ id: ['x', 'ChatAnthropic'] }, [[new AIMessage('Hi')]], id);
  const details = {
    cache_read: 6,
    cache_creation: 0,
    ephemeral_5m_input_tokens: 2,
    ephemeral_1h_input_tokens: 3,
  };
  const usage = { input_tokens: 25, output_tokens: 9, total_tokens: 34, input_token_details: details };
  handler.handleLLMEnd(
    { generations: [[{ message: new AIMessage({ content: 'x', usage_metadata: usage }) }]] },
    id,
  );
  return takeTrees().then(([tree]) => {
    assert.deepEqual(tree.attributes['mlflow.chat.tokenUsage'], {
      input_tokens: 25,
      output_tokens: 9,
      total_tokens: 34,
      cache_read_input_tokens: 6,
      cache_creation_input_tokens: 5,
      cache_creation_input_tokens_above_1hr: 3,
    });
  });
});
