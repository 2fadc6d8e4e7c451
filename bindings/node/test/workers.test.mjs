import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('workers that are terminated at any moment lose nothing that they handed over', () => {
  const program = fileURLToPath(new URL('support/terminate-workers.mjs', import.meta.url));
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [program, '4', '3'], {
    env: { PATH: process.env.PATH, MLFLOW_TRACE_QUIET: 'true' },
    encoding: 'utf8',
  });
  assert.deepEqual([status, signal, stderr], [0, null, '']);
  const { created, delivered, pending, dropped, handedOver } = JSON.parse(stdout);
  assert.ok(handedOver > 0);
  assert.equal(created, delivered + pending + dropped);
  assert.ok(delivered + dropped >= handedOver, stdout);
});
