// The programs of tests/vectors through a real server, beside what MLflow's Python SDK left there: field by field.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { mlflow } from './support/engine.mjs';
import { comparable, load, parse, run } from './support/programs.mjs';

const server = process.env.MLFLOW_TRACE_TEST_SERVER?.replace(/\/$/, '');
const skip = server === undefined && 'MLFLOW_TRACE_TEST_SERVER is not set';
const experimentName = `node-parity-${process.pid}-${Date.now()}`;
/** What the server adds by itself. */
const OF_SERVER = /^mlflow\.(artifactLocation|trace\.spansLocation|trace\.infoFinalized)$/;

before(() => {
  if (server !== undefined) mlflow.init({ trackingUri: server, experimentName, batchDelayMs: 0 });
});

/** A trace as the REST API gives it, in the form that the vectors have. */
async function readBack(traceId) {
  const reply = await fetch(`${server}/api/3.0/mlflow/traces/get?trace_id=${traceId}`);
  assert.equal(reply.status, 200);
  const { trace } = parse(await reply.text());
  const { spans } = mlflow.TraceData.fromJson(trace);
  const own = (entries) =>
    Object.fromEntries(Object.entries(entries).filter(([key]) => !OF_SERVER.test(key)));
  return comparable({
    info: {
      ...trace.trace_info,
      tags: own(trace.trace_info.tags),
      trace_metadata: own(trace.trace_info.trace_metadata),
    },
    spans: spans.map((span) => {
      const json = span.toJson();
      // Without attributes MLflow reads a link's as null.
      const links = json.links.map((link) =>
        Object.keys(link.attributes).length > 0 ? link : { ...link, attributes: null },
      );
      return { ...json, links, attributes: span.attributes };
    }),
  });
}

/** JSON in texts as what it holds: the spelling of numbers and spaces is each language's own. */
function meaning(value) {
  if (typeof value === 'string') {
    try {
      return meaning(JSON.parse(value));
    } catch {
      return value;
    }
  }
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(meaning);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, meaning(item)]));
}

for (const { name, steps, trace } of load('programs.json')) {
  test(`a server has of Node what it had of Python: ${name}`, { skip }, async () => {
    const spans = {};
    run(structuredClone(steps), spans);
    assert.equal(await mlflow.flushTraces(20_000), 0);
    assert.deepEqual(meaning(await readBack(Object.values(spans)[0].traceId)), meaning(trace));
  });
}
