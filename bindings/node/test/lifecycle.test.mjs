import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { deadUrl, run, silentServer, spansIn, temporaryDirectory } from './support/child.mjs';

const QUIET = { MLFLOW_TRACE_QUIET: 'true' };
/** 2 s for deliveries, and what a process on a busy machine needs to end. */
const EXIT_MS = 3500;

const endings = {
  'runs out of work': '',
  'calls process.exit': 'process.exit(0);',
  throws: 'throw new Error("host failed");',
  'exits from a timer': 'setTimeout(() => process.exit(0), 20);',
};

for (const [how, ending] of Object.entries(endings)) {
  test(`spans arrive when the process ${how} without a flush`, async (t) => {
    const directory = temporaryDirectory(t);
    const { status, milliseconds } = await run(
      `mlflow.withSpan(() => mlflow.withSpan(() => 1, { name: 'inner' }), { name: 'outer' });${ending}`,
      { env: { ...QUIET, MLFLOW_TRACE_FILE_DIRECTORY: directory } },
    );
    assert.equal(status, how === 'throws' ? 1 : 0);
    assert.deepEqual(
      spansIn(directory).map((span) => span.name),
      ['inner', 'outer'],
    );
    assert.ok(milliseconds < EXIT_MS, `${milliseconds} ms`);
  });

  test(`the process ends in time with a silent server when it ${how}`, async (t) => {
    const { milliseconds } = await run(`mlflow.withSpan(() => 1);${ending}`, {
      env: { ...QUIET, MLFLOW_TRACKING_URI: await silentServer(t) },
    });
    assert.ok(milliseconds < EXIT_MS, `${milliseconds} ms`);
  });
}

test('what fifty traces hold arrives when the process exits in the middle of things', async (t) => {
  for (const [ending, expected] of [
    ['process.exit(7);', 7],
    ['queueMicrotask(() => { throw new Error("uncaught"); });', 1],
    ['Promise.reject(new Error("unhandled"));', 1],
    [
      "process.on('SIGTERM', () => process.exit(9)); process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 5000);",
      9,
    ],
  ]) {
    const directory = temporaryDirectory(t);
    const { status } = await run(
      `for (let i = 0; i < 50; i++) mlflow.withSpan(() => i, { name: \`t\${i}\` });${ending}`,
      { env: { ...QUIET, MLFLOW_TRACE_FILE_DIRECTORY: directory } },
    );
    assert.equal(status, expected, ending);
    assert.equal(new Set(spansIn(directory).map((span) => span.name)).size, 50, ending);
  }
});

test('a signal without a handler of the host ends the process as it always does', async (t) => {
  const { signal } = await run(
    "mlflow.withSpan(() => 1); process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 5000);",
    { env: { ...QUIET, MLFLOW_TRACKING_URI: await silentServer(t) } },
  );
  assert.equal(signal, 'SIGTERM');
});

test('the process ends in time when nobody listens', async () => {
  const { status, milliseconds } = await run('mlflow.withSpan(() => 1);', {
    env: { ...QUIET, MLFLOW_TRACKING_URI: await deadUrl() },
  });
  assert.equal(status, 0);
  assert.ok(milliseconds < EXIT_MS, `${milliseconds} ms`);
});

test('the wait at the end can be shortened, by option and by environment', async (t) => {
  const url = await silentServer(t);
  for (const [options, env] of [
    ['{ shutdownTimeoutMs: 100 }', {}],
    ['{}', { MLFLOW_TRACE_SHUTDOWN_TIMEOUT_MS: '100' }],
  ]) {
    const { milliseconds } = await run(`mlflow.init(${options}); mlflow.withSpan(() => 1);`, {
      env: { ...QUIET, MLFLOW_TRACKING_URI: url, ...env },
    });
    assert.ok(milliseconds < 1900, `${milliseconds} ms`);
  }
});

test('a span that is never ended keeps no process alive', async (t) => {
  const directory = temporaryDirectory(t);
  const { milliseconds } = await run(
    `globalThis.open = mlflow.startSpan({ name: 'open' });
     mlflow.startSpan({ name: 'ended', parent: open }).end();`,
    { env: { ...QUIET, MLFLOW_TRACE_FILE_DIRECTORY: directory } },
  );
  assert.ok(milliseconds < 1900, `${milliseconds} ms`);
  assert.deepEqual(
    spansIn(directory).map((span) => span.name),
    ['ended'],
  );
});

test('flushTraces resolves with what is pending, and never rejects', async (t) => {
  const { stdout } = await run(
    `mlflow.withSpan(() => 1);
     const begin = performance.now();
     const pending = await mlflow.flushTraces(150);
     console.log(JSON.stringify({ pending, ms: performance.now() - begin, stats: mlflow.stats() }));
     process.exit(0);`,
    { env: { ...QUIET, MLFLOW_TRACKING_URI: await silentServer(t), MLFLOW_TRACE_SHUTDOWN_TIMEOUT_MS: '0' } },
  );
  const { pending, ms, stats } = JSON.parse(stdout);
  assert.equal(pending, 1);
  assert.equal(stats.pending, 1);
  assert.equal(stats.created, 1);
  assert.ok(ms >= 140 && ms < 1500, `${ms} ms`);
  const strange = await run(
    `for (const timeout of [NaN, -1, 'x', null, Infinity, 1e12]) console.log(await mlflow.flushTraces(timeout));`,
    { env: QUIET },
  );
  assert.equal(strange.stdout, '0\n'.repeat(6));
});

test('health tells what was delivered, and why something was not', async (t) => {
  const program = `mlflow.withSpan(() => 1); await mlflow.flushTraces(1000);
    const { lastSuccess, lastError, ...rest } = mlflow.health();
    console.log(JSON.stringify({ success: lastSuccess instanceof Date, at: lastError?.time instanceof Date, lastError, ...rest }));`;
  const told = async (env) => JSON.parse((await run(program, { env: { ...QUIET, ...env } })).stdout);
  const well = await told({ MLFLOW_TRACE_FILE_DIRECTORY: temporaryDirectory(t) });
  assert.deepEqual([well.success, well.at, well.circuit, well.pending], [true, false, 'closed', 0]);
  assert.equal(well.dropped.rejected, 0);
  const badly = await told({ MLFLOW_TRACKING_URI: await deadUrl(), MLFLOW_TRACE_SHUTDOWN_TIMEOUT_MS: '0' });
  assert.deepEqual([badly.success, badly.at, badly.pending], [false, true, 1]);
  assert.equal(badly.lastError.class, 'unreachable');
  assert.match(badly.lastError.message, /traces wait/);
  const unused = await run('console.log(JSON.stringify(mlflow.health()));', { env: QUIET });
  assert.equal(unused.stdout, '{"circuit":"closed","pending":0,"dropped":{}}\n');
});

test('importing the package does nothing; the host keeps its signals and its OpenTelemetry', async (t) => {
  const cwd = temporaryDirectory(t);
  const { stdout, stderr } = await run(
    `const api = Symbol.for('opentelemetry.js.api.1');
     const look = () => [process.listenerCount('exit') + process.listenerCount('beforeExit'), api in globalThis, process.getActiveResourcesInfo().length];
     const before = look();
     mlflow.init({ exporter: 'none' });
     mlflow.withSpan(() => 1);
     console.log(JSON.stringify([before, look(), process.listenerCount('SIGTERM'), process.listenerCount('SIGINT')]));`,
    { cwd },
  );
  const [before, after, ...signals] = JSON.parse(stdout);
  assert.equal(after[0] - before[0], 2);
  assert.equal(before[2], after[2]);
  assert.equal(after[1], false);
  assert.deepEqual(signals, [0, 0]);
  assert.equal(stderr, '');
  assert.deepEqual(readdirSync(cwd), []);
});

test('without configuration traces go to files, and one line says where', async (t) => {
  const cwd = temporaryDirectory(t);
  const program = `for (let i = 0; i < 3; i++) { mlflow.withSpan(() => i); await mlflow.flushTraces(); }`;
  const { stderr } = await run(program, { cwd });
  assert.match(stderr, /^mlflow-trace: [^\n]*mlflow-traces[^\n]*\n$/);
  assert.equal(spansIn(join(cwd, 'mlflow-traces')).length, 3);
  assert.equal((await run(program, { cwd, env: QUIET })).stderr, '');
});

test('a malformed environment stops init, not the recording', async (t) => {
  const cwd = temporaryDirectory(t);
  const { stdout, stderr, status } = await run(
    `mlflow.withSpan(() => 1, { name: 'recorded' });
     try { mlflow.init(); } catch (error) { console.log(error.code, error.message); }`,
    { cwd, env: { MLFLOW_TRACKING_URI: 'not a uri' } },
  );
  assert.equal(status, 0);
  assert.match(stdout, /^ERR_MLFLOW_TRACE_INVALID_CONFIG .*MLFLOW_TRACKING_URI/);
  assert.match(stderr, /the defaults are used: .*MLFLOW_TRACKING_URI/);
  assert.equal(spansIn(join(cwd, 'mlflow-traces'))[0].name, 'recorded');
});

test('init again: new traces follow it, old ones arrive where they belong, nothing is lost', async (t) => {
  const [first, second] = [temporaryDirectory(t), temporaryDirectory(t)];
  await run(
    `const file = (fileDirectory) => ({ exporter: 'file', fileDirectory });
     mlflow.init(file(${JSON.stringify(first)}));
     mlflow.withSpan(() => 1, { name: 'before' });
     const open = mlflow.startSpan({ name: 'open' });
     mlflow.startSpan({ name: 'ended before', parent: open }).end();
     mlflow.init(file(${JSON.stringify(second)}));
     mlflow.withSpan(() => 1, { name: 'after' });
     mlflow.startSpan({ name: 'started after', parent: open }).end();
     open.end();
     await mlflow.flushTraces();`,
    { env: QUIET },
  );
  const names = (directory) => spansIn(directory).map((span) => span.name);
  assert.ok(names(first).includes('before'));
  assert.ok(names(second).includes('after'));
  const all = [...names(first), ...names(second)].sort();
  assert.deepEqual(all, ['after', 'before', 'ended before', 'open', 'started after']);
});

test('init many times leaves no threads and files behind', async (t) => {
  if (!existsSync('/proc/self/task')) return t.skip('counts threads through /proc');
  const directory = temporaryDirectory(t);
  const { stdout } = await run(
    `import { readdirSync } from 'node:fs';
     const count = () => readdirSync('/proc/self/task').length + readdirSync('/proc/self/fd').length;
     const round = async (n) => {
       for (let i = 0; i < n; i++) {
         mlflow.init({ exporter: 'file', fileDirectory: ${JSON.stringify(directory)}, batchDelayMs: 0 });
         mlflow.withSpan(() => i, { name: 'span' });
       }
       await mlflow.flushTraces();
       await new Promise((resolve) => setTimeout(resolve, 300));
       return count();
     };
     const before = await round(5);
     console.log(JSON.stringify([before, await round(60)]));`,
    { env: QUIET },
  );
  const [before, after] = JSON.parse(stdout);
  assert.ok(after <= before + 4, `${before} -> ${after}`);
  assert.equal(spansIn(directory).length, 65);
});

test('worker threads share the engine', async (t) => {
  const directory = temporaryDirectory(t);
  const { stdout, stderr, status } = await run(
    `import { Worker } from 'node:worker_threads';
     mlflow.init({ exporter: 'file', fileDirectory: ${JSON.stringify(directory)} });
     const code = (i) => \`
       import * as mlflow from ${new URL('../index.mjs', import.meta.url).href.replace(/.*/, '"$&"')};
       mlflow.withSpan(() => mlflow.withSpan(() => 1, { name: 'inner \${i}' }), { name: 'worker \${i}' });\`;
     await Promise.all([0, 1, 2].map((i) => new Promise((resolve) => {
       new Worker(new URL('data:text/javascript,' + encodeURIComponent(code(i)))).on('exit', resolve);
     })));
     mlflow.withSpan(() => 1, { name: 'main' });
     console.log(await mlflow.flushTraces(), mlflow.stats().delivered);`,
    { env: QUIET },
  );
  assert.equal(status, 0, stderr);
  assert.equal(stdout, '0 7\n');
  const names = spansIn(directory).map((span) => span.name);
  assert.deepEqual(
    names.sort(),
    ['inner 0', 'inner 1', 'inner 2', 'main', 'worker 0', 'worker 1', 'worker 2'].sort(),
  );
});

test('a burst is delivered whole', async (t) => {
  const directory = temporaryDirectory(t);
  const { stdout } = await run(
    `for (let i = 0; i < 20000; i++) mlflow.withSpan(() => i, { name: 'burst', inputs: { i } });
     await mlflow.flushTraces();
     const { created, delivered, pending, dropped } = mlflow.stats();
     console.log(JSON.stringify([created, delivered, pending, Object.values(dropped).reduce((a, b) => a + b)]));`,
    { env: { ...QUIET, MLFLOW_TRACE_FILE_DIRECTORY: directory } },
  );
  assert.deepEqual(JSON.parse(stdout), [20000, 20000, 0, 0]);
  assert.equal(new Set(spansIn(directory).map((span) => span.spanId)).size, 20000);
});

test('more than the engine lets wait is delivered whole, and counted at any moment', async (t) => {
  const directory = temporaryDirectory(t);
  const { stdout } = await run(
    `const inputs = 'x'.repeat(100_000);
     const wrong = [];
     for (let i = 1; i <= 200; i++) {
       mlflow.startSpan({ name: \`\${i}\`, inputs }).end();
       if (i % 50 === 0 && mlflow.stats().created !== i) wrong.push(i);
     }
     mlflow.startSpan({ name: 'large', inputs: 'y'.repeat(7_000_000) }).end();
     console.log(JSON.stringify([wrong, mlflow.stats().created, await mlflow.flushTraces()]));`,
    { env: { ...QUIET, MLFLOW_TRACE_FILE_DIRECTORY: directory } },
  );
  assert.deepEqual(JSON.parse(stdout), [[], 201, 0]);
  const names = new Set(spansIn(directory).map((span) => span.name));
  assert.equal(names.size, 201);
});

test('fake timers of the host neither stop the clock nor hold spans back', async (t) => {
  const directory = temporaryDirectory(t);
  await run(
    `import { mock } from 'node:test';
     mlflow.init({ exporter: 'file', fileDirectory: ${JSON.stringify(directory)} });
     mock.timers.enable({ apis: ['setImmediate', 'setTimeout', 'Date'], now: 0 });
     const span = mlflow.startSpan({ name: 'mocked' });
     for (const end = performance.now() + 20; performance.now() < end;);
     span.end();`,
    { env: QUIET },
  );
  const [span] = spansIn(directory);
  const duration = BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano);
  assert.ok(duration >= 20_000_000n && duration < 2_000_000_000n, String(duration));
  assert.ok(BigInt(span.startTimeUnixNano) > 1_600_000_000_000_000_000n);
});

test('the next process takes over what was left in the spool, and counts it apart', async (t) => {
  const options = JSON.stringify({
    trackingUri: await deadUrl(),
    spool: 'write-through',
    spoolDir: join(temporaryDirectory(t), 'spool'),
    shutdownTimeoutMs: 100,
  });
  await run(`mlflow.init(${options}); mlflow.withSpan(() => 1);`, { env: QUIET });
  const { stdout } = await run(
    `mlflow.init(${options}); mlflow.withSpan(() => 1);
     while (!mlflow.stats().recovered?.adopted) await new Promise((resolve) => setTimeout(resolve, 10));
     console.log(JSON.stringify(mlflow.stats()));`,
    { env: QUIET },
  );
  const stats = JSON.parse(stdout);
  assert.deepEqual([stats.created, stats.pending, stats.spooled, stats.spoolDegraded], [1, 1, 0, false]);
  assert.deepEqual(stats.recovered, { adopted: 1, delivered: 0, pending: 1, dropped: 0 });
});
