// The agent of the documentation gives the traces that its sibling in Python gives: see examples/python/agent.py.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MlflowClient } from 'mlflow-trace';
import { spansIn } from '../../../bindings/node/test/support/child.mjs';
import { startProvider } from './support/provider.mjs';
import { outline, toTree } from './support/traces.mjs';

const AGENT = fileURLToPath(new URL('../../../examples/node/agent.mjs', import.meta.url));
const CALL = 'Messages.create [CHAT_MODEL] OK 25+9=34';

/** Runs the agent where it finds the packages. */
async function run(directory, env) {
  symlinkSync(
    fileURLToPath(new URL('node_modules', import.meta.url)),
    join(directory, 'node_modules'),
    'junction',
  );
  copyFileSync(AGENT, join(directory, 'agent.mjs'));
  const child = spawn(process.execPath, ['agent.mjs'], {
    cwd: directory,
    env: { PATH: process.env.PATH, ANTHROPIC_API_KEY: 'fake', MLFLOW_TRACE_QUIET: 'true', ...env },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const output = [];
  child.stdout.on('data', (text) => output.push(text));
  const status = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(status, 0);
  return Buffer.concat(output).toString();
}

function workplace(t) {
  const directory = mkdtempSync(join(tmpdir(), 'mlflow-trace-agent-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function check(trees) {
  const questions = trees.map(({ inputs }) => inputs.question).sort();
  assert.deepEqual(
    questions,
    ['Paris', 'Sydney', 'Tokyo'].map((city) => `What is the weather like in ${city} today?`),
  );
  for (const tree of trees) {
    assert.deepEqual(outline(tree), [
      'answer [AGENT] OK',
      `  ${CALL}`,
      '  get_weather [TOOL] OK',
      `  ${CALL}`,
    ]);
    const [first, tool, second] = tree.children;
    assert.deepEqual([tool.inputs, tool.outputs], [{ city: 'Paris' }, 'rainy']);
    assert.equal(tree.outputs, 'The tool said: rainy');
    const { id } = first.outputs.content[0];
    assert.deepEqual(second.inputs.messages.slice(1), [
      {
        role: 'assistant',
        content: [{ type: 'tool_use', id, name: 'get_weather', input: { city: 'Paris' } }],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content: 'rainy' }] },
    ]);
    assert.deepEqual(first.attributes['mlflow.chat.tools'], [
      {
        type: 'function',
        function: {
          name: 'get_weather',
          description: 'Weather of a city today',
          parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        },
      },
    ]);
    assert.deepEqual(first.attributes['mlflow.chat.tokenUsage'], {
      input_tokens: 25,
      output_tokens: 9,
      total_tokens: 34,
      cache_read_input_tokens: 6,
      cache_creation_input_tokens: 5,
      cache_creation_input_tokens_above_1hr: 3,
    });
  }
}

test('without a server', async (t) => {
  const directory = workplace(t);
  const stdout = await run(directory, { ANTHROPIC_BASE_URL: await startProvider() });
  assert.equal(stdout, 'The tool said: rainy\n'.repeat(3));
  const spans = spansIn(join(directory, 'mlflow-traces'));
  const traces = [...new Set(spans.map(({ traceId }) => traceId))].map((id) =>
    spans.filter(({ traceId }) => traceId === id),
  );
  assert.equal(traces.length, 3);
  check(traces.map((trace) => toTree(trace.map(fromOtlp))));
});

const server = process.env.MLFLOW_TRACE_TEST_SERVER;
test(
  'with a server of MLflow',
  { skip: server === undefined && 'MLFLOW_TRACE_TEST_SERVER names none' },
  async (t) => {
    const client = new MlflowClient({ trackingUri: server });
    const experiment = await client.createExperiment(`node-agent-${Date.now()}`);
    await run(workplace(t), {
      ANTHROPIC_BASE_URL: await startProvider(),
      MLFLOW_TRACKING_URI: server,
      MLFLOW_EXPERIMENT_ID: experiment,
    });
    const traces = [];
    for await (const trace of client.iterateTraces({ experimentIds: [experiment] })) traces.push(trace);
    assert.equal(traces.length, 3);
    check(traces.map(({ data }) => toTree(data.spans.map(fromClient))));
    for (const { info } of traces) {
      const usage = JSON.parse(info.traceMetadata['mlflow.trace.tokenUsage']);
      assert.deepEqual([usage.input_tokens, usage.output_tokens, usage.total_tokens], [50, 18, 68]);
    }
  },
);

function fromOtlp({ spanId, parentSpanId, name, startTimeUnixNano, status, attributes }) {
  return {
    span_id: spanId,
    parent_span_id: parentSpanId,
    name,
    start_time_unix_nano: startTimeUnixNano,
    status: { code: ['UNSET', 'OK', 'ERROR'][Number(status.code ?? 0)] ?? status.code },
    attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue])),
  };
}

function fromClient(span) {
  return {
    span_id: span.spanId,
    parent_span_id: span.parentId,
    name: span.name,
    start_time_unix_nano: span.startTimeNs,
    status: { code: span.status.statusCode },
    attributes: Object.fromEntries(
      Object.entries(span.attributes).map(([key, value]) => [key, JSON.stringify(value)]),
    ),
  };
}
