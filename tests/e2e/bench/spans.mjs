// What a span costs the thread that records it, in JavaScript; the sink drops everything.
import * as mlflow from '../../../bindings/node/index.mjs';

const SPANS_PER_ROUND = 44_000;
const ROUNDS = 5;
const CHILDREN = 10;
const TEXT = `{"text": "${'x'.repeat(1000)}"}`;
const ATTRIBUTES = {
  model: 'gpt-4o-mini',
  provider: 'openai',
  region: 'europe-west-1',
  tenant: 'customer-00017',
  endpoint: '/v1/chat/completions',
  attempt: 1,
  shard: 7,
  limit: 1024,
  offset: 3,
  total: 123456789,
};

function recordTree(fill) {
  const root = mlflow.startSpan({ name: 'root' });
  for (let i = 0; i < CHILDREN; i++) {
    const span = mlflow.startSpan({ name: 'child', parent: root });
    fill(span);
    span.end();
  }
  root.end();
}

function measure(name, spansPerCall, work) {
  const costs = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    for (let done = 0; done < SPANS_PER_ROUND; done += spansPerCall) work();
    costs.push(Number(process.hrtime.bigint() - start) / SPANS_PER_ROUND);
  }
  costs.sort((left, right) => left - right);
  console.log(`JavaScript  ${name} ${costs[(ROUNDS - 1) / 2].toFixed(0).padStart(8)} ns`);
}

mlflow.init({ exporter: 'none' });
measure('W1', 1, () => mlflow.startSpan({ name: 'root' }).end());
measure('W2', CHILDREN + 1, () => recordTree((span) => span.setAttributes(ATTRIBUTES)));
measure('W3', CHILDREN + 1, () =>
  recordTree((span) => {
    span.setAttributes(ATTRIBUTES);
    span.setInputs(TEXT);
    span.setOutputs(TEXT);
  }),
);
if (mlflow.stats().created === 0) process.exitCode = 1;
