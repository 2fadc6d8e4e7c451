// What the engine takes out is tested with the engine; here is how the options reach it.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { mlflow, takeTrace, takeTraces } from './support/engine.mjs';

const { withSpan } = mlflow;

const FAILED = '[redaction failed]';
const configure = (options) => mlflow.init({ exporter: 'memory', batchDelayMs: 0, ...options });
const inputs = { user: 'ann', password: 'hunter2', note: 'use sk-1a2b, please' };

/** The inputs of a span as they are sent. */
async function sent() {
  withSpan((span) => span.setInputs(inputs), { name: 'sent' });
  return (await takeTrace()).spans[0].inputs;
}

beforeEach(async () => {
  configure({});
  await takeTraces();
});

test('lists and texts of keys, paths and patterns are taken', async () => {
  for (const redactKeys of ['user, pass*', ['user', 'pass*']]) {
    configure({ redactKeys });
    assert.deepEqual(await sent(), { ...inputs, user: '[redacted]', password: '[redacted]' });
  }
  for (const redactPaths of ['inputs.user,inputs.note', ['inputs.user', "inputs['note']"]]) {
    configure({ redactPaths });
    assert.deepEqual(await sent(), { ...inputs, user: '[redacted]', note: '[redacted]' });
  }
  for (const redactPatterns of ['sk-[a-z0-9]+\nann', ['sk-[a-z0-9]+', 'ann']]) {
    configure({ redactPatterns });
    assert.deepEqual(await sent(), { ...inputs, user: '[redacted]', note: 'use [redacted], please' });
  }
  configure({ redactKeys: [], redactPaths: [], redactPatterns: [] });
  assert.deepEqual(await sent(), inputs);
});

test('an empty list wins over the environment', async (t) => {
  t.after(() => delete process.env.MLFLOW_TRACE_REDACT_KEYS);
  process.env.MLFLOW_TRACE_REDACT_KEYS = 'password';
  configure({});
  assert.equal((await sent()).password, '[redacted]');
  configure({ redactKeys: [] });
  assert.equal((await sent()).password, 'hunter2');
});

test('content can be left out as a whole', async () => {
  for (const captureContent of [false, 'off', 0]) {
    configure({ captureContent });
    assert.equal(await sent(), undefined);
  }
  configure({ captureContent: true });
  assert.deepEqual(await sent(), inputs);
});

test('an option that should take content out and is malformed withholds all of it', async () => {
  for (const options of [
    { redactKeys: 'a"b' },
    { redactKeys: ['a,b'] },
    { redactKeys: [''] },
    { redactKeys: [1] },
    { redactKeys: { password: true } },
    { redactPaths: 'password' },
    { redactPatterns: '(' },
    { redactPatterns: ['('] },
    { redactPatterns: [/sk-.*/] },
    { captureContent: 'perhaps' },
    { redactKey: 'password' },
    { redactKeys: 'password', trackingUri: 'nowhere' },
  ]) {
    assert.throws(() => configure(options), { code: 'ERR_MLFLOW_TRACE_INVALID_CONFIG' });
    const { redactionFailed } = mlflow.stats();
    assert.equal(await sent(), FAILED, JSON.stringify(options));
    assert.equal(mlflow.stats().redactionFailed, redactionFailed + 1);
    withSpan(() =>
      mlflow.updateCurrentTrace({ tags: { a: '1' }, requestPreview: 'q', responsePreview: 'r' }),
    );
    const { info } = await takeTrace();
    assert.equal(info.tags.a, '1');
    assert.ok(![info.request_preview, info.response_preview].some((text) => text === 'q' || text === 'r'));
    // A slip elsewhere changes nothing, in either direction.
    assert.throws(() => configure({ trackingUri: 'nowhere' }));
    assert.equal(await sent(), FAILED);
    configure({});
    assert.deepEqual(await sent(), inputs);
    assert.throws(() => configure({ trackingUri: 'nowhere' }));
    assert.deepEqual(await sent(), inputs);
  }
});

test('a pattern is not repeated in an error', () => {
  assert.throws(
    () => configure({ redactPatterns: ['hunter2('] }),
    (error) => /'redactPatterns'/.test(error.message) && !error.message.includes('hunter2'),
  );
});
