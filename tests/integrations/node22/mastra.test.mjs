// Mastra, whose observability hands its spans to the exporter.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOpenAI } from '@ai-sdk/openai';
import { Mastra } from '@mastra/core';
import { Agent } from '@mastra/core/agent';
import { createTool } from '@mastra/core/tools';
import { createStep, createWorkflow } from '@mastra/core/workflows';
import { Observability } from '@mastra/observability';
import { z } from 'zod';
import { startProvider } from '../node/support/provider.mjs';
import { mlflow, outline, recordInMemory, takeTrees } from '../node/support/traces.mjs';

const { MlflowMastraExporter } = await import('../../../bindings/node/entries/mastra.mjs');

recordInMemory();
const model = createOpenAI({ baseURL: `${await startProvider()}/v1`, apiKey: 'fake' }).chat('gpt-4o-mini');
const answer = z.object({ answer: z.string() });
const weather = createTool({
  id: 'weather',
  description: 'Weather of a city',
  inputSchema: z.object({ city: z.string() }),
  outputSchema: answer,
  execute: async ({ city }) => ({ answer: `sunny in ${city}` }),
});
const agentOf = (id, tools) => new Agent({ id, name: id, instructions: 'Be brief.', model, tools });
const step = createStep({
  id: 's1',
  inputSchema: answer,
  outputSchema: answer,
  execute: async ({ inputData }) => inputData,
});
const flow = createWorkflow({ id: 'flow', inputSchema: answer, outputSchema: answer }).then(step).commit();
const mastra = new Mastra({
  agents: { plain: agentOf('plain'), helper: agentOf('helper', { weather }) },
  workflows: { flow },
  logger: false,
  observability: new Observability({
    configs: { default: { serviceName: 'app', exporters: [new MlflowMastraExporter()] } },
  }),
});

const PLAIN = [
  "agent run: 'plain' [AGENT] OK",
  "  llm: 'gpt-4o-mini' [LLM] OK",
  '    step: 0 [CHAIN] OK',
  '      inference: 0 [CHAT_MODEL] OK 21+9=30',
];
const HELPER = [
  "agent run: 'helper' [AGENT] OK",
  ...PLAIN.slice(1),
  "      tool: 'weather' [TOOL] OK",
  '    step: 1 [CHAIN] OK',
  '      inference: 1 [CHAT_MODEL] OK 21+9=30',
];
const cases = {
  'an agent': [async () => (await mastra.getAgent('plain').generate('Hi')).text, PLAIN],
  'an agent with a tool': [
    async () => (await mastra.getAgent('helper').generate('Weather in Paris?')).text,
    HELPER,
  ],
  'a stream': [
    async () => {
      const { textStream } = await mastra.getAgent('helper').stream('Weather in Paris?');
      let text = '';
      for await (const part of textStream) text += part;
      return text;
    },
    HELPER,
  ],
  'in a span': [
    () =>
      mlflow.withSpan(async () => (await mastra.getAgent('plain').generate('Hi')).text, { name: 'outer' }),
    ['outer [UNKNOWN] OK', ...PLAIN.map((line) => `  ${line}`)],
  ],
  'a workflow': [
    async () => {
      const run = await mastra.getWorkflow('flow').createRun();
      return (await run.start({ inputData: { answer: 'x' } })).result.answer;
    },
    ["workflow run: 'flow' [WORKFLOW] OK", "  workflow step: 's1' [TASK] OK"],
  ],
};

for (const [name, [run, lines]] of Object.entries(cases)) {
  test(name, async () => {
    assert.equal(typeof (await run()), 'string');
    assert.deepEqual((await takeTrees(1)).map(outline), [lines]);
    assert.deepEqual(mlflow.diagnostics(), []);
  });
}

test('an error', async () => {
  const options = { modelSettings: { maxRetries: 0 } };
  await assert.rejects(mastra.getAgent('plain').generate('Hi #fake:error=400', options));
  const [tree] = await takeTrees(1);
  assert.equal(outline(tree)[0], "agent run: 'plain' [AGENT] ERROR");
});
