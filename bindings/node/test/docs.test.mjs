// The programs of the guide run as they stand there.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './support/child.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

for (const page of ['../README.md', '../../../docs/node.md']) {
  const text = readFileSync(new URL(page, import.meta.url), 'utf8');
  const programs = [...text.matchAll(/```js\n(.*?)```/gs)].map(([, program]) => program);
  test(`the programs of ${page} run`, (t) => {
    assert.ok(programs.length >= 2);
    const directory = temporaryDirectory(t);
    mkdirSync(join(directory, 'node_modules'));
    symlinkSync(root, join(directory, 'node_modules', 'mlflow-trace'), 'junction');
    symlinkSync(
      join(root, 'node_modules/@opentelemetry'),
      join(directory, 'node_modules/@opentelemetry'),
      'junction',
    );
    for (const program of programs) {
      const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
        cwd: directory,
        env: { PATH: process.env.PATH, MLFLOW_TRACE_EXPORTER: 'none', MLFLOW_TRACE_QUIET: 'true' },
        encoding: 'utf8',
      });
      assert.deepEqual([status, stderr], [0, ''], program);
    }
  });
}
