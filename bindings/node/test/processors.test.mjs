import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { run } from './support/child.mjs';
import { mlflow, takeTrace, takeTraces } from './support/engine.mjs';

const { startSpan, withSpan } = mlflow;

const FAILED = '[redaction failed]';
const configure = (...spanProcessors) => mlflow.init({ exporter: 'memory', batchDelayMs: 0, spanProcessors });

beforeEach(async () => {
  configure();
  await takeTraces();
  mlflow.diagnostics();
});

test('processors see every span as it starts and as it ends, in their order', async () => {
  const calls = [];
  const named = (name) => ({
    onStart: (span) => calls.push(`${name} starts ${span.name}`) && undefined,
    onEnd: (span) => calls.push(`${name} ends ${span.name}`) && undefined,
  });
  configure(named('first'), named('second'), (span) => void calls.push(`function ends ${span.name}`));
  const take = mlflow.registerOnSpanEndHook((span) => void calls.push(`hook ends ${span.name}`));
  const takeStart = mlflow.registerOnSpanStartHook((span) => void calls.push(`hook starts ${span.name}`));
  withSpan(() => startSpan({ name: 'child' }).end(), { name: 'root' });
  const ofSpan = (name) => calls.filter((call) => call.endsWith(name));
  assert.deepEqual(ofSpan('child'), [
    'first starts child',
    'second starts child',
    'hook starts child',
    'first ends child',
    'second ends child',
    'function ends child',
    'hook ends child',
  ]);
  assert.equal(ofSpan('root').length, 7);
  take();
  takeStart();
  configure();
  calls.length = 0;
  withSpan(() => 1);
  assert.deepEqual(calls, []);
  await takeTraces();
});

test('what processors set is recorded', async () => {
  class Redact {
    word = 'secret';
    onStart(span) {
      span.setAttribute('started with', span.inputs);
      span.setSpanType('TOOL');
    }
    onEnd(span) {
      span.setOutputs(span.outputs.replace(this.word, '***'));
      span.setAttribute('took', span.endTimeNs >= span.startTimeNs);
      span.setAttribute('status', span.status.statusCode);
      mlflow.updateCurrentTrace({ tags: { seen: 'yes' } }, span);
    }
  }
  configure(new Redact());
  withSpan(() => 'a secret', { name: 'with', inputs: { q: 1 } });
  const traced = await takeTrace();
  const [span] = traced.spans;
  assert.equal(span.outputs, 'a ***');
  assert.deepEqual(span.attributes['started with'], { q: 1 });
  assert.equal(span.attributes['mlflow.spanType'], 'TOOL');
  assert.equal(span.attributes.took, true);
  assert.equal(span.attributes.status, 'STATUS_CODE_OK');
  assert.equal(traced.info.tags.seen, 'yes');
  assert.ok(!JSON.stringify(traced.info).includes('secret'));
  // The inputs of a traced function are there when it starts.
  mlflow.trace((q) => `${q}`)(7);
  assert.deepEqual((await takeTrace()).spans[0].attributes['started with'], { q: 7 });
});

test('a processor that fails withholds the content of its span, and no other', async () => {
  const secret = 'hunter2';
  const fails = (span) => {
    if (span.name === 'bad') throw new TypeError(`cannot redact ${secret}`);
  };
  const { redactionFailed } = mlflow.stats();
  const failing = [{ onEnd: fails }, { onStart: fails }];
  for (const [i, processor] of failing.entries()) {
    let others = 0;
    configure(processor, () => void others++);
    withSpan(
      (root) => {
        root.setInputs('visible');
        withSpan((span) => span.setAttribute('password', secret), { name: 'bad', inputs: { secret } });
      },
      { name: 'good' },
    );
    const { byName, info } = await takeTrace();
    assert.equal(byName.good.inputs, 'visible');
    assert.equal(byName.bad.inputs, FAILED);
    assert.equal(byName.bad.attributes.password, FAILED);
    assert.ok(!JSON.stringify({ byName, info }).includes(secret));
    assert.equal(mlflow.stats().redactionFailed - redactionFailed, i + 1);
    assert.equal(others, 2);
    const messages = mlflow.diagnostics().join('\n');
    assert.match(messages, /span processor failed, content is withheld: TypeError/);
    assert.ok(!messages.includes(secret));
  }
});

test('a processor that is asynchronous comes too late, and its rejection is nobody’s', async () => {
  configure(async (span) => {
    await null;
    span.setOutputs('too late');
    throw new Error('rejected');
  });
  withSpan(() => 'secret');
  assert.equal((await takeTrace()).spans[0].outputs, FAILED);
  assert.match(mlflow.diagnostics().join('\n'), /it returned a promise/);
});

test('processors do not see what they record themselves, and cannot end what they are shown', async () => {
  const traced = mlflow.trace(() => 1);
  let seen = 0;
  const hook = (span) => {
    seen++;
    traced();
    withSpan(() => startSpan({ name: 'inner' }).end());
    span.end();
    span.setAttribute('after end', true);
  };
  configure({ onStart: hook, onEnd: hook });
  withSpan(() => 1, { name: 'outer' });
  const { spans } = await takeTrace();
  assert.deepEqual(
    spans.map((span) => span.name),
    ['outer'],
  );
  assert.equal(spans[0].attributes['after end'], true);
  assert.equal(seen, 2);
});

test('spans that are not recorded have no processors', () => {
  let seen = 0;
  configure(() => void seen++);
  mlflow.tracingContext({ enabled: false }, () => withSpan(() => 1));
  withSpan(() => 1, { samplingRatioOverride: 0 });
  assert.equal(seen, 0);
});

test('what is no processor is refused, and then content is withheld until init succeeds', async () => {
  for (const bad of [[1], [{}], [{ onEnd: 1 }], [null], 'text', {}]) {
    assert.throws(() => mlflow.init({ exporter: 'memory', spanProcessors: bad }), {
      code: 'ERR_MLFLOW_TRACE_INVALID_CONFIG',
      message: /'spanProcessors'/,
    });
  }
  withSpan(() => 'secret');
  assert.equal((await takeTrace()).spans[0].outputs, FAILED);
  configure();
  withSpan(() => 'open');
  assert.equal((await takeTrace()).spans[0].outputs, 'open');
  assert.throws(() => mlflow.registerOnSpanEndHook({}), TypeError);
  assert.throws(() => mlflow.registerOnSpanStartHook(undefined), TypeError);
});

test('a worker thread without processors of its own withholds content', async () => {
  const program = (hook) => `
    import { Worker } from 'node:worker_threads';
    import { createRequire } from 'node:module';
    const { native } = createRequire(${JSON.stringify(import.meta.url)})('../dist/native.js');
    mlflow.init({ exporter: 'memory', batchDelayMs: 0, spanProcessors: [(span) => span.setOutputs('main')] });
    const code = \`
      import * as mlflow from ${JSON.stringify(new URL('../index.mjs', import.meta.url).href)};
      ${hook}
      mlflow.withSpan(() => 'secret', { name: 'in worker' });\`;
    await new Promise((resolve) =>
      new Worker(new URL('data:text/javascript,' + encodeURIComponent(code))).on('exit', resolve));
    mlflow.withSpan(() => 'secret', { name: 'in main' });
    await mlflow.flushTraces();
    const spans = native().memoryTraces().flatMap((text) => JSON.parse(text).spans);
    console.log(JSON.stringify(spans.map((span) => [span.name, JSON.parse(span.attributes['mlflow.spanOutputs'])])));`;
  const env = { MLFLOW_TRACE_QUIET: 'true' };
  const bare = await run(program(''), { env });
  assert.deepEqual(
    JSON.parse(bare.stdout),
    [
      ['in worker', FAILED],
      ['in main', 'main'],
    ],
    bare.stderr,
  );
  const hooked = await run(program(`mlflow.registerOnSpanEndHook((span) => span.setOutputs('worker'));`), {
    env,
  });
  assert.deepEqual(JSON.parse(hooked.stdout)[0], ['in worker', 'worker']);
});
