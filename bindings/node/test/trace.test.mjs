import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mlflow, takeTrace, takeTraces, useMemory } from './support/engine.mjs';

before(useMemory);
beforeEach(takeTraces);

const { trace } = mlflow;

test('a traced function is the function, and a span per call', async () => {
  const tag = Symbol('tag');
  function add(a, b = 2) {
    return a + b;
  }
  add.unit = 'apples';
  add[tag] = 1;
  const traced = trace(add, { spanType: 'TOOL', attributes: { version: 3 } });
  assert.equal(traced(1, 4), 5);
  assert.equal(traced.name, 'add');
  assert.equal(traced.length, 1);
  assert.equal(traced.unit, 'apples');
  assert.equal(traced[tag], 1);
  assert.equal(traced.prototype, add.prototype);
  const { spans } = await takeTrace();
  assert.equal(spans[0].name, 'add');
  assert.deepEqual(spans[0].inputs, { a: 1, b: 4 });
  assert.equal(spans[0].outputs, 5);
  assert.equal(spans[0].attributes['mlflow.spanType'], 'TOOL');
  assert.equal(spans[0].attributes['mlflow.spanFunctionName'], 'add');
  assert.equal(spans[0].attributes.version, 3);
});

test('names: the option, the function, or anonymous', async () => {
  trace(() => 1)();
  trace(() => 1, { name: 'given' })();
  const called = () => 1;
  trace(called)();
  const names = (await takeTraces()).map(({ spans }) => spans[0].name);
  assert.deepEqual(names, ['anonymous', 'given', 'called']);
});

test('this, new and bound functions work as without tracing', async () => {
  const counter = {
    n: 41,
    next: trace(function (by) {
      this.n += by;
      return this.n;
    }),
  };
  assert.equal(counter.next(1), 42);
  function Point(x) {
    this.x = x;
  }
  const Traced = trace(Point);
  const point = new Traced(3);
  assert.equal(point.x, 3);
  assert.ok(point instanceof Point && point instanceof Traced);
  class Sub extends Traced {}
  assert.ok(new Sub(1) instanceof Sub);
  assert.equal(trace(counter.next.bind(counter))(1), 43);
});

test('nested traced functions are a tree', async () => {
  const inner = trace(async function inner(x) {
    await sleep(1);
    return x * 2;
  });
  const outer = trace(async function outer(x) {
    return (await inner(x)) + (await inner(x + 1));
  });
  assert.equal(await outer(1), 6);
  const { spans, byName } = await takeTrace();
  assert.equal(spans.filter((span) => span.parent_span_id === byName.outer.span_id).length, 2);
  assert.equal(byName.outer.outputs, 6);
});

test('a native promise stays a native promise', async () => {
  const promise = trace(async () => 1)();
  assert.equal(promise.constructor, Promise);
  assert.equal(await promise, 1);
});

test('a lazy thenable is not started by tracing, and ends the span when it settles', async () => {
  class Query {
    runs = 0;
    where() {
      return this;
    }
    then(onFulfilled, onRejected) {
      this.runs++;
      return sleep(2, ['row']).then(onFulfilled, onRejected);
    }
  }
  const query = trace(() => new Query(), { name: 'query' })();
  assert.ok(query instanceof Query && query.where() === query);
  await sleep(5);
  assert.equal(query.runs, 0);
  assert.deepEqual(await query, ['row']);
  assert.equal(query.runs, 1);
  const { spans } = await takeTrace();
  assert.deepEqual(spans[0].outputs, ['row']);
});

test('a promise of a subclass keeps its methods', async () => {
  class ApiPromise extends Promise {
    withResponse() {
      return this.then((data) => ({ data, response: 200 }));
    }
  }
  const call = trace(
    (fails) => new ApiPromise((resolve, reject) => (fails ? reject(new Error('no')) : resolve(1))),
    {
      name: 'api',
    },
  );
  assert.deepEqual(await call(false).withResponse(), { data: 1, response: 200 });
  await assert.rejects(call(true), /no/);
  const [ok, failed] = await takeTraces();
  assert.equal(ok.spans[0].outputs, 1);
  assert.equal(failed.spans[0].status.message, 'Error: no');
});

test('a frozen thenable ends its span at once', async () => {
  const thenable = Object.freeze({ then: (done) => done(1) });
  assert.equal(trace(() => thenable)(), thenable);
  assert.equal((await takeTraces()).length, 1);
});

test('a generator is followed to its end', async () => {
  const numbers = trace(function* numbers(n) {
    for (let i = 0; i < n; i++) {
      mlflow.withSpan(() => {}, { name: `step ${i}` });
      const sent = yield i;
      if (sent !== undefined) yield `got ${sent}`;
    }
    return 'done';
  });
  const generator = numbers(2);
  await sleep(1);
  assert.equal((await takeTraces()).length, 0);
  assert.deepEqual(generator.next(), { value: 0, done: false });
  assert.deepEqual(generator.next('x'), { value: 'got x', done: false });
  assert.deepEqual([...generator], [1]);
  const { byName } = await takeTrace();
  assert.deepEqual(byName.numbers.inputs, { n: 2 });
  assert.deepEqual(byName.numbers.outputs, [0, 'got x', 1]);
  assert.equal(byName['step 1'].parent_span_id, byName.numbers.span_id);
  assert.deepEqual(
    byName.numbers.events.map((event) => [event.name, event.attributes['mlflow.chunk.value']]),
    [
      ['mlflow.chunk.item.0', '0'],
      ['mlflow.chunk.item.1', '"got x"'],
      ['mlflow.chunk.item.2', '1'],
    ],
  );
});

test('an async generator is followed to its end, its break or its error', async () => {
  const stream = trace(
    async function* stream(n) {
      for (let i = 0; i < n; i++) {
        await sleep(1);
        if (i === 3) throw new Error('broken');
        yield { i };
      }
    },
    { outputReducer: (items) => items.map((item) => item.i).join('') },
  );
  const seen = [];
  for await (const { i } of stream(2)) seen.push(i);
  assert.deepEqual(seen, [0, 1]);
  for await (const _ of stream(9)) break;
  await assert.rejects(async () => {
    for await (const item of stream(9)) assert.ok(item);
  }, /broken/);
  const [whole, broken, failed] = (await takeTraces()).map(({ spans }) => spans[0]);
  assert.equal(whole.outputs, '01');
  assert.equal(broken.outputs, '0');
  assert.equal(broken.status.code, 'STATUS_CODE_OK');
  assert.equal(failed.status.message, 'Error: broken');
  assert.equal(failed.events.filter((event) => event.name === 'exception').length, 1);
});

test('a reducer that fails leaves the items', async () => {
  mlflow.diagnostics();
  const numbers = trace(
    function* () {
      yield 1;
    },
    {
      outputReducer: () => {
        throw new Error('reducer');
      },
    },
  );
  assert.deepEqual([...numbers()], [1]);
  assert.deepEqual((await takeTrace()).spans[0].outputs, [1]);
  assert.match(mlflow.diagnostics().join('\n'), /reducer/);
});

test('what is no function is refused with a clear error', () => {
  for (const bad of [1, 'x', null, true]) assert.throws(() => trace(bad), TypeError);
});
