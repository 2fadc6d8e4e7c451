// The active span along every way that Node takes from one piece of code to the next.
import assert from 'node:assert/strict';
import { AsyncResource } from 'node:async_hooks';
import { EventEmitter, on, once } from 'node:events';
import { readFile } from 'node:fs';
import { before, test } from 'node:test';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep, setInterval as every } from 'node:timers/promises';
import { promisify } from 'node:util';
import { mlflow, takeTrace, takeTraces, useMemory } from './support/engine.mjs';

before(useMemory);

const callbackStyle = {
  'process.nextTick': (call) => process.nextTick(call),
  queueMicrotask: (call) => queueMicrotask(call),
  setImmediate: (call) => setImmediate(call),
  setTimeout: (call) => setTimeout(call, 1),
  setInterval: (call) => {
    const timer = setInterval(() => {
      clearInterval(timer);
      call();
    }, 1);
  },
  'a promise': (call) => Promise.resolve().then(call),
  'a thenable': (call) => void Promise.resolve({ then: (resolve) => setImmediate(resolve) }).then(call),
  'a callback of fs': (call) => readFile(new URL(import.meta.url), call),
  'a promisified callback': (call) => void promisify(readFile)(new URL(import.meta.url)).then(call),
  'an event that is emitted at once': (call) => {
    const emitter = new EventEmitter();
    emitter.on('x', call);
    emitter.emit('x');
  },
  'once()': (call) => {
    const emitter = new EventEmitter();
    void once(emitter, 'x').then(call);
    setImmediate(() => emitter.emit('x'));
  },
  'an AsyncResource': (call) => AsyncResource.bind(call)(),
};

for (const [name, schedule] of Object.entries(callbackStyle)) {
  test(`the active span goes along with ${name}`, async () => {
    await mlflow.withSpan(
      () =>
        new Promise((resolve) => {
          schedule(() => {
            mlflow.startSpan({ name: 'inside' }).end();
            resolve();
          });
        }),
      { name: 'outer' },
    );
    const { byName } = await takeTrace();
    assert.equal(byName.inside.parent_span_id, byName.outer.span_id);
  });
}

test('streams, asynchronous iterators and event iterators keep their spans apart', async () => {
  const work = (name) =>
    mlflow.withSpan(
      async () => {
        const double = new Transform({
          objectMode: true,
          transform(chunk, _encoding, done) {
            mlflow.startSpan({ name: `${name} transform` }).end();
            done(null, 2 * chunk);
          },
        });
        await pipeline(Readable.from([1, 2]), double, async (source) => {
          for await (const chunk of source) mlflow.startSpan({ name: `${name} sink ${chunk}` }).end();
        });
        const emitter = new EventEmitter();
        setImmediate(() => emitter.emit('x', 1));
        for await (const _ of on(emitter, 'x')) {
          mlflow.startSpan({ name: `${name} event` }).end();
          break;
        }
        for await (const _ of every(1)) {
          mlflow.startSpan({ name: `${name} tick` }).end();
          break;
        }
      },
      { name },
    );
  await Promise.all([work('a'), work('b'), sleep(1)]);
  const traces = await takeTraces();
  assert.equal(traces.length, 2);
  for (const { spans, byName } of traces) {
    const [root] = spans.filter((span) => span.parent_span_id === null);
    assert.equal(spans.length, 7);
    for (const span of spans) {
      assert.ok(span.name.startsWith(root.name), span.name);
      if (span !== root) assert.equal(span.parent_span_id, byName[root.name].span_id);
    }
  }
});

test('a generator is in its own span at every step, and its caller is not', async () => {
  const letters = mlflow.trace(async function* letters() {
    for (const letter of 'ab') {
      mlflow.startSpan({ name: `make ${letter}` }).end();
      await sleep(1);
      yield letter;
    }
  });
  await mlflow.withSpan(
    async () => {
      for await (const letter of letters()) mlflow.startSpan({ name: `use ${letter}` }).end();
    },
    { name: 'outer' },
  );
  const { byName } = await takeTrace();
  for (const letter of 'ab') {
    assert.equal(byName[`make ${letter}`].parent_span_id, byName.letters.span_id);
    assert.equal(byName[`use ${letter}`].parent_span_id, byName.outer.span_id);
  }
});
