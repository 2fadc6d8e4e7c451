// Measures the Node package beside OpenTelemetry's SDK, in turns, a process each, and writes docs/bench/node.md.
// Usage: run.mjs [--quick]
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Oracle } from '../../faults/oracle.mjs';
import { report } from './report.mjs';

const QUICK = process.argv.includes('--quick');
const ROUNDS = QUICK ? 1 : 5;
const MILLISECONDS = QUICK ? 500 : 2000;
const TRACES = QUICK ? 2_000 : 50_000;
const MEMORY_SPANS = QUICK ? 200_000 : 1_000_000;
const DELAY_SECONDS = QUICK ? 2 : 10;
const WORKS = ['W1', 'W2', 'W3', 'W3d', 'nested active spans', 'traced function', 'traced async function'];
const PEERS = ['ours', 'opentelemetry'];
const MEASURE = fileURLToPath(new URL('measure.mjs', import.meta.url));
const execute = promisify(execFile);

async function measure(...args) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(MLFLOW|OTEL)_/.test(name)),
  );
  const { stdout } = await execute(process.execPath, ['--expose-gc', MEASURE, ...args.map(String)], {
    env: { ...env, MLFLOW_TRACE_QUIET: 'true' },
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(stdout);
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Each peer in every round, so that what else the machine does meets both. */
async function rounds(count, take) {
  const found = Object.fromEntries(PEERS.map((peer) => [peer, []]));
  for (let round = 0; round < count; round++) for (const peer of PEERS) found[peer].push(await take(peer));
  return found;
}

async function costs() {
  const table = {};
  for (const work of WORKS) {
    const found = await rounds(ROUNDS, (peer) => measure('cost', peer, work, MILLISECONDS));
    table[work] = Object.fromEntries(PEERS.map((peer) => [peer, median(found[peer].map(({ ns }) => ns))]));
    console.log(work, table[work]);
  }
  return table;
}

async function endToEnd() {
  const found = await rounds(ROUNDS, async (peer) => {
    const oracle = await Oracle.start('--count-only');
    try {
      // OpenTelemetry's exporter takes many times as long.
      const traces = peer === 'ours' ? TRACES : Math.ceil(TRACES / 5);
      const result = await measure('export', peer, oracle.url, traces);
      const { spans } = await oracle.stats();
      return { ...result, missing: 10 * (traces + 1) - spans };
    } finally {
      await oracle.stop();
    }
  });
  const middle = (runs) => runs.toSorted((a, b) => a.rate - b.rate)[Math.floor(runs.length / 2)];
  const result = Object.fromEntries(PEERS.map((peer) => [peer, middle(found[peer])]));
  console.log('export', result);
  return result;
}

const load = [loadavg()];
const figures = {
  isQuick: QUICK,
  machine: { cpu: cpus()[0].model, cores: cpus().length, load },
  spans: { traces: TRACES, memory: MEMORY_SPANS },
  costs: await costs(),
  export: await endToEnd(),
  memory: await measure('memory', 'ours', MEMORY_SPANS),
  delay: {},
};
for (const peer of ['none', ...PEERS]) figures.delay[peer] = await measure('delay', peer, DELAY_SECONDS);
load.push(loadavg());
writeFileSync(new URL('../../../docs/bench/node.md', import.meta.url), await report(figures));
console.log('docs/bench/node.md is written');
