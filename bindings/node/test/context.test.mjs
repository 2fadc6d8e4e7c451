import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mlflow, takeTrace, takeTraces, useMemory } from './support/engine.mjs';

before(useMemory);
beforeEach(takeTraces);

const { withSpan, startSpan } = mlflow;

test('nested spans are a tree, also across promises, timers and callbacks', async () => {
  await withSpan(
    async (root) => {
      assert.equal(mlflow.getCurrentActiveSpan(), root);
      await sleep(1);
      assert.equal(mlflow.getCurrentActiveSpan(), root);
      await withSpan(
        async () => {
          await new Promise((resolve) => setImmediate(resolve));
          await new Promise((resolve) => queueMicrotask(resolve));
          await new Promise((resolve) => setTimeout(() => withSpan(() => resolve(), { name: 'timer' }), 1));
        },
        { name: 'child' },
      );
      startSpan({ name: 'started' }).end();
    },
    { name: 'root' },
  );
  const { byName } = await takeTrace();
  assert.equal(byName.root.parent_span_id, null);
  assert.equal(byName.child.parent_span_id, byName.root.span_id);
  assert.equal(byName.timer.parent_span_id, byName.child.span_id);
  assert.equal(byName.started.parent_span_id, byName.root.span_id);
  assert.equal(mlflow.getCurrentActiveSpan(), null);
});

test('parallel tasks keep their parents apart', async () => {
  const task = (name) =>
    withSpan(
      async () => {
        await sleep(Math.random() * 5);
        await withSpan(() => sleep(1), { name: `${name} inner` });
      },
      { name },
    );
  await withSpan(() => Promise.all(Array.from({ length: 20 }, (_, i) => task(`task ${i}`))), { name: 'all' });
  const { spans, byName } = await takeTrace();
  assert.equal(spans.length, 41);
  for (let i = 0; i < 20; i++) {
    assert.equal(byName[`task ${i}`].parent_span_id, byName.all.span_id);
    assert.equal(byName[`task ${i} inner`].parent_span_id, byName[`task ${i}`].span_id);
  }
});

test('startSpan is not active; an explicit parent counts, null starts a trace', async () => {
  const root = startSpan({ name: 'root' });
  assert.equal(mlflow.getCurrentActiveSpan(), null);
  withSpan(
    (child) => {
      assert.equal(child.parentId, root.spanId);
      assert.equal(startSpan({ name: 'own root', parent: null }).parentId, null);
    },
    { name: 'child', parent: root },
  );
  root.end();
  const { byName } = await takeTrace();
  assert.equal(byName.child.parent_span_id, byName.root.span_id);
});

test('children that outlive the root arrive with it', async () => {
  const root = startSpan({ name: 'root' });
  const late = startSpan({ name: 'late', parent: root });
  root.end();
  assert.equal((await takeTraces()).length, 0);
  late.end();
  const { spans, info } = await takeTrace();
  assert.equal(spans.length, 2);
  assert.equal(info.tags['mlflow.traceName'], 'root');
});

test('the last active trace is that of the root that ended last', async () => {
  const first = startSpan({ name: 'first' });
  const second = startSpan({ name: 'second' });
  second.end();
  assert.equal(mlflow.getLastActiveTraceId(), second.traceId);
  const child = startSpan({ name: 'child', parent: first });
  child.end();
  assert.equal(mlflow.getLastActiveTraceId(), second.traceId);
  first.end();
  assert.equal(mlflow.getLastActiveTraceId(), first.traceId);
});

test('event handlers run in the context of who emits', async () => {
  const emitter = new EventEmitter();
  emitter.on('call', () => withSpan(() => {}, { name: 'handler' }));
  const heard = once(emitter, 'call');
  withSpan(() => emitter.emit('call'), { name: 'emitter' });
  await heard;
  const { byName } = await takeTrace();
  assert.equal(byName.handler.parent_span_id, byName.emitter.span_id);
});

test('withSpan gives outputs, keeps those that were set, and takes void for none', async () => {
  withSpan(() => ({ a: 1 }), { name: 'object' });
  withSpan(() => null, { name: 'null' });
  withSpan(() => undefined, { name: 'void' });
  withSpan((span) => (span.setOutputs('set'), 'returned'), { name: 'explicit' });
  await withSpan(async () => 0, { name: 'zero' });
  withSpan(() => 1);
  const outputs = Object.fromEntries(
    (await takeTraces()).map(({ spans }) => [spans[0].name, spans[0].outputs]),
  );
  assert.deepEqual(outputs, {
    object: { a: 1 },
    null: null,
    void: undefined,
    explicit: 'set',
    zero: 0,
    span: 1,
  });
});

test('updateCurrentTrace changes the trace, of startSpan parents as well', async () => {
  const root = startSpan({ name: 'root' });
  await withSpan(
    async () => {
      await sleep(1);
      mlflow.updateCurrentTrace({ tags: { a: 'first', n: 1, o: { x: 1 } }, metadata: { m: true } });
      mlflow.updateCurrentTrace({
        tags: { a: 'second' },
        clientRequestId: 'request-1',
        requestPreview: 'asked',
        responsePreview: 42,
        sessionId: 's',
        user: 'u',
        modelId: 'm-1',
        state: 'ERROR',
      });
    },
    { parent: root },
  );
  mlflow.updateCurrentTrace({ tags: { direct: 'yes' } }, root);
  root.end();
  const { info } = await takeTrace();
  assert.equal(info.tags.a, 'second');
  assert.equal(info.tags.n, '1');
  assert.equal(info.tags.o, '{"x":1}');
  assert.equal(info.tags.direct, 'yes');
  assert.equal(info.trace_metadata.m, 'true');
  assert.equal(info.trace_metadata['mlflow.trace.session'], 's');
  assert.equal(info.trace_metadata['mlflow.trace.user'], 'u');
  assert.equal(info.trace_metadata['mlflow.modelId'], 'm-1');
  assert.equal(info.client_request_id, 'request-1');
  assert.equal(info.request_preview, 'asked');
  assert.equal(info.response_preview, '42');
  assert.equal(info.state, 'ERROR');
});

test('updateCurrentTrace without a span is reported and harmless', () => {
  mlflow.diagnostics();
  mlflow.updateCurrentTrace({ tags: { a: 1 } });
  assert.match(mlflow.diagnostics().join('\n'), /without an active span/);
});

test('tracingContext marks the traces that start in it; inner scopes win', async () => {
  mlflow.tracingContext({ tags: { a: '1', b: '1' }, sessionId: 'outer', user: 'u' }, () => {
    mlflow.tracingContext({ tags: { b: '2' }, metadata: { m: 'x' }, sessionId: 'inner' }, () => {
      withSpan(() => {}, { name: 'both' });
    });
    withSpan(() => {}, { name: 'outer' });
  });
  withSpan(() => {}, { name: 'none' });
  const infos = Object.fromEntries((await takeTraces()).map(({ spans, info }) => [spans[0].name, info]));
  assert.equal(infos.both.tags.a, '1');
  assert.equal(infos.both.tags.b, '2');
  assert.equal(infos.both.trace_metadata.m, 'x');
  assert.equal(infos.both.trace_metadata['mlflow.trace.session'], 'inner');
  assert.equal(infos.both.trace_metadata['mlflow.trace.user'], 'u');
  assert.equal(infos.outer.tags.b, '1');
  assert.equal(infos.outer.trace_metadata['mlflow.trace.session'], 'outer');
  assert.equal(infos.none.tags.a, undefined);
});

test('tracingContext can switch recording off, and on again inside', async () => {
  const { created } = mlflow.stats();
  await mlflow.tracingContext({ enabled: false }, async () => {
    await sleep(1);
    const traced = mlflow.trace((x) => x * 2);
    assert.equal(traced(2), 4);
    assert.equal(
      withSpan((span) => {
        assert.equal(span.traceId, 'MLFLOW_NO_OP_SPAN_TRACE_ID');
        assert.equal(mlflow.getCurrentActiveSpan(), null);
        assert.equal(startSpan({ name: 'child', parent: span }).spanId, '');
        span.setAttribute('a', 1);
        return 'result';
      }),
      'result',
    );
    mlflow.tracingContext({ enabled: true }, () => startSpan({ name: 'on', parent: null }).end());
    mlflow.diagnostics();
    withSpan(() => mlflow.updateCurrentTrace({ tags: { a: '1' } }));
    assert.deepEqual(mlflow.diagnostics(), []);
  });
  assert.equal(mlflow.stats().created, created + 1);
  assert.equal((await takeTrace()).spans[0].name, 'on');
});
