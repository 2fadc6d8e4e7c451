// Libraries of newer versions than run on Node 20, by what they announced on Node 22.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AIMessage, HumanMessage } from '@langchain/core/messages';
import { MlflowCallbackHandler } from 'mlflow-trace/langchain';
import { MlflowMastraExporter } from 'mlflow-trace/mastra';
import { outline, recordInMemory, takeTrees } from './support/traces.mjs';

recordInMemory();

function recorded(name) {
  return JSON.parse(readFileSync(new URL(`recorded/${name}.json`, import.meta.url), 'utf8'));
}

/** Hands the exporter what Mastra did: the starts from the outside in, the ends as they were recorded. */
async function exportMastra(name) {
  const exporter = new MlflowMastraExporter();
  const { spans } = recorded(name);
  const known = new Set();
  const start = async (span) => {
    if (span === undefined || known.has(span.id)) return;
    await start(spans.find(({ id }) => id === span.parentSpanId));
    known.add(span.id);
    const { output: _, ...started } = span;
    if (!span.isEvent) await exporter.exportTracingEvent({ type: 'span_started', exportedSpan: started });
  };
  for (const span of spans) await start(span);
  for (const span of spans) await exporter.exportTracingEvent({ type: 'span_ended', exportedSpan: span });
  const trees = await takeTrees();
  assert.equal(trees.length, 1);
  return trees[0];
}

const INFERENCE = [
  '      inference: 0 [CHAT_MODEL] OK 21+9=30',
  '      inference: 1 [CHAT_MODEL] OK 21+9=30',
];

test('Mastra: an agent with a tool', async () => {
  const tree = await exportMastra('mastra-tool');
  const lines = outline(tree);
  assert.match(lines[0], /^agent run: .* \[AGENT\] OK$/);
  assert.deepEqual(
    lines.filter((line) => line.includes('inference')),
    INFERENCE,
  );
  assert.ok(lines.some((line) => line.trim() === "tool: 'weather' [TOOL] OK"));
  // Tokens are counted once, in the innermost spans.
  assert.equal(lines.filter((line) => line.includes('=30')).length, 2);
  assert.ok(lines.every((line) => !line.includes('chunk')));
  const inference = tree.children[0].children[0].children.find(({ type }) => type === 'CHAT_MODEL');
  assert.equal(inference.attributes['mlflow.chat.tokenUsage'].cache_read_input_tokens, 8);
  assert.equal(inference.attributes['mlflow.llm.model'], 'gpt-4o-mini-2024-07-18');
  assert.equal(inference.attributes['mlflow.llm.provider'], 'openai.chat');
});

test('Mastra: a tool that fails', async () => {
  const lines = outline(await exportMastra('mastra-tool-error'));
  assert.ok(
    lines.some((line) => line.trim() === "tool: 'weather' [TOOL] ERROR"),
    lines.join('\n'),
  );
});

test('Mastra: a workflow', async () => {
  const lines = outline(await exportMastra('mastra-workflow'));
  assert.match(lines[0], /^workflow run: .* \[WORKFLOW\] OK$/);
  assert.match(lines[1], /^ {2}workflow step: .* \[TASK\] OK$/);
});

test('Mastra: an agent that answers', async () => {
  const tree = await exportMastra('mastra-generate');
  assert.equal(tree.outputs.text ?? tree.outputs, 'Hello from the fake provider. You said: Hi there');
});

/** Calls the handler as LangChain did. */
function announce(name) {
  const handler = new MlflowCallbackHandler();
  for (const { case: of, ev, runId, parent = undefined, ...event } of recorded('langchain').events) {
    if (of !== name) continue;
    const { serialized, tags, metadata, name: runName } = event;
    const started = [runId, parent];
    const chain = { id: serialized };
    const message = event.message && new AIMessage(event.message.data);
    switch (ev) {
      case 'chatModelStart': {
        const messages = event.inputs.map(({ type, data }) =>
          type === 'ai' ? new AIMessage(data) : new HumanMessage(data),
        );
        handler.handleChatModelStart(
          chain,
          [messages],
          ...started,
          { invocation_params: event.params },
          tags,
          metadata,
        );
        break;
      }
      case 'token':
        handler.handleLLMNewToken(event.t, {}, runId);
        break;
      case 'llmEnd':
        handler.handleLLMEnd({ generations: [[{ message }]] }, runId);
        break;
      case 'chainStart':
        handler.handleChainStart(chain, {}, ...started, tags, metadata, undefined, runName);
        break;
      case 'chainEnd':
        handler.handleChainEnd({}, runId);
        break;
      case 'toolStart':
        handler.handleToolStart(chain, event.input, ...started, tags, metadata, runName);
        break;
      case 'toolEnd':
        handler.handleToolEnd(event.output, runId);
        break;
      default:
        assert.fail(ev);
    }
  }
}

const MODEL = 'ChatOpenAI [CHAT_MODEL] OK 21+9=30';
const turn = (node) => [`  ${node} [CHAIN] OK`, `    ${MODEL}`, '    RunnableLambda [CHAIN] OK'];
const graph = (node) => [
  'LangGraph [CHAIN] OK',
  ...turn(node),
  '  tools [CHAIN] OK',
  '    get_weather [TOOL] OK',
  ...turn(node),
];
for (const [name, lines] of Object.entries({
  invoke: [MODEL],
  'chain-stream': [
    'RunnableSequence [CHAIN] OK',
    '  ChatPromptTemplate [CHAIN] OK',
    `  ${MODEL}`,
    '  StrOutputParser [CHAIN] OK',
  ],
  graph: graph('model'),
  agent: graph('model_request'),
})) {
  test(`LangChain: ${name}`, async () => {
    announce(name);
    assert.deepEqual((await takeTrees()).map(outline), [lines]);
  });
}
