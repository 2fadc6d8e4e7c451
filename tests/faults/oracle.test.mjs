// The oracle sink from Node, through the binding.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as mlflow from '../../bindings/node/index.mjs';
import { Oracle } from './oracle.mjs';

test('a passing fault loses nothing and repeats nothing', async () => {
  const oracle = await Oracle.start();
  after(() => oracle.stop());
  await oracle.faults({
    rules: [{ on: 'spans', do: { status: { code: 503 } }, times: 1 }],
  });
  mlflow.init({ trackingUri: oracle.url, experimentId: '0' });
  const root = mlflow.startSpan({ name: 'root' });
  mlflow.startSpan({ name: 'child', parent: root }).end();
  root.end();
  assert.equal(await mlflow.flushTraces(20_000), 0);
  const { traces, requests } = await oracle.ledger();
  const trace = traces[root.traceId];
  assert.deepEqual(trace.infos, ['OK']);
  assert.deepEqual(
    Object.values(trace.spans).map((span) => span.copies),
    [1, 1],
  );
  const statuses = requests.filter((r) => r.endpoint === 'spans').map((r) => r.status);
  assert.deepEqual(statuses, [503, 200]);
  assert.equal((await oracle.stats()).spans, 2);
  await oracle.reset();
  assert.deepEqual((await oracle.ledger()).traces, {});
});
