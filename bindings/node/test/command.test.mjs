import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const { bin, version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const COMMAND = fileURLToPath(new URL(`../${bin['mlflow-trace']}`, import.meta.url));

const run = (...args) => spawnSync(process.execPath, [COMMAND, ...args], { encoding: 'utf8' });

test('npx mlflow-trace is the command', () => {
  const shown = run('--version');
  assert.equal(shown.status, 0, shown.stderr);
  assert.equal(shown.stdout.trim(), `mlflow-trace ${version}`);
  const unknown = run('list', '--set', 'unheard.of=1');
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /unheard\.of/);
});
