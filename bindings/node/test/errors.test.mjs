import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { mlflow, takeTrace, takeTraces, useMemory } from './support/engine.mjs';

before(useMemory);
beforeEach(takeTraces);

class BadRequestError extends Error {}
class NamedError extends Error {
  name = 'RateLimitError';
}

/** The span of a call that throws `thrown`, which must come out unchanged. */
async function spanOf(thrown, isAsync) {
  let caught;
  try {
    const result = mlflow.withSpan(
      isAsync
        ? async () => {
            await null;
            throw thrown;
          }
        : () => {
            throw thrown;
          },
      { name: 'failing' },
    );
    await result;
    assert.fail('nothing was thrown');
  } catch (error) {
    caught = error;
  }
  assert.equal(caught, thrown);
  return (await takeTrace()).spans[0];
}

for (const isAsync of [false, true]) {
  const kind = isAsync ? 'rejection' : 'exception';

  test(`an ${kind} is recorded and thrown on`, async () => {
    const span = await spanOf(new BadRequestError('bad input'), isAsync);
    assert.deepEqual(span.status, {
      code: 'STATUS_CODE_ERROR',
      message: 'BadRequestError: bad input',
    });
    assert.equal(span.events.length, 1);
    const { name, attributes } = span.events[0];
    assert.equal(name, 'exception');
    assert.equal(attributes['exception.type'], 'BadRequestError');
    assert.equal(attributes['exception.message'], 'bad input');
    assert.match(attributes['exception.stacktrace'], /errors\.test\.mjs/);
    assert.equal(span.outputs, undefined);
    assert.equal(span.attributes['mlflow.spanLogLevel'], 40);
  });

  test(`an ${kind} of any value is recorded`, async () => {
    const type = async (thrown) => (await spanOf(thrown, isAsync)).status.message;
    assert.equal(await type(new NamedError('slow down')), 'RateLimitError: slow down');
    assert.equal(await type(new TypeError('t')), 'TypeError: t');
    assert.equal(await type('just text'), 'Error: just text');
    assert.equal(await type(null), 'Error: null');
    assert.equal(await type(undefined), 'Error: undefined');
    assert.equal(await type(42), 'Error: 42');
    assert.equal(await type({ code: 7 }), 'Object: {"code":7}');
    assert.equal(await type({ name: 'Odd', message: 'shape' }), 'Odd: shape');
    assert.equal(await type(new DOMException('gone', 'AbortError')), 'AbortError: gone');
  });
}

test('an error that cannot be read is recorded all the same', async () => {
  const hostile = new Proxy(new Error('x'), {
    get() {
      throw new Error('hands off');
    },
  });
  const span = await spanOf(hostile, false);
  assert.equal(span.status.code, 'STATUS_CODE_ERROR');
  assert.equal(span.events.length, 1);
});

test('causes are in the stack trace', async () => {
  const span = await spanOf(new Error('outer', { cause: new RangeError('root of it') }), false);
  assert.match(
    span.events[0].attributes['exception.stacktrace'],
    /Error: outer[^]*Caused by: RangeError: root of it/,
  );
});

test('the parent of a failing span has its own event only where the error passes through', async () => {
  mlflow.withSpan(
    () => {
      try {
        mlflow.withSpan(
          () => {
            throw new Error('handled');
          },
          { name: 'inner' },
        );
      } catch {
        return 'recovered';
      }
    },
    { name: 'outer' },
  );
  const { byName, info } = await takeTrace();
  assert.equal(byName.inner.status.code, 'STATUS_CODE_ERROR');
  assert.equal(byName.outer.status.code, 'STATUS_CODE_OK');
  assert.equal(byName.outer.outputs, 'recovered');
  assert.equal(byName.outer.events.length, 0);
  assert.equal(info.state, 'OK');
});

test('a rejection that nobody handles stays unhandled', async () => {
  const { spawnSync } = await import('node:child_process');
  const script = `
    const mlflow = require(${JSON.stringify(new URL('../dist/index.js', import.meta.url).pathname)});
    mlflow.init({ exporter: 'none' });
    mlflow.withSpan(async () => { throw new Error('nobody listens'); });
  `;
  const { status, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /nobody listens/);
});
