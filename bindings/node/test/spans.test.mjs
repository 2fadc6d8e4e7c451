import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { mlflow, takeTrace, takeTraces, useMemory } from './support/engine.mjs';

before(useMemory);

test('a span reads back what was set', () => {
  const before = BigInt(Date.now()) * 1_000_000n;
  const span = mlflow.startSpan({
    name: 'read',
    spanType: mlflow.SpanType.TOOL,
    inputs: { q: 1 },
    attributes: { a: 1, list: [1] },
  });
  assert.equal(span.name, 'read');
  assert.equal(span.spanType, 'TOOL');
  assert.equal(span.parentId, null);
  assert.equal(span.endTimeNs, null);
  assert.deepEqual(span.status, { statusCode: mlflow.SpanStatusCode.UNSET, description: '' });
  assert.ok(span.startTimeNs > before - 1_000_000_000n);
  span.setOutputs(['x']);
  span.setLogLevel('warning');
  span.addEvent('e', { n: 1 });
  assert.deepEqual(span.inputs, { q: 1 });
  assert.deepEqual(span.outputs, ['x']);
  assert.equal(span.logLevel, mlflow.SpanLogLevel.WARNING);
  assert.equal(span.getAttribute('a'), 1);
  assert.equal(span.events[0].name, 'e');
  assert.equal(typeof span.events[0].timestamp, 'bigint');
  assert.deepEqual(span.attributes, {
    'mlflow.traceRequestId': span.traceId,
    'mlflow.spanType': 'TOOL',
    'mlflow.spanInputs': { q: 1 },
    'mlflow.spanOutputs': ['x'],
    a: 1,
    list: [1],
    'mlflow.spanLogLevel': 30,
  });
  span.end();
  assert.equal(span.status.statusCode, 'STATUS_CODE_OK');
  assert.ok(span.endTimeNs >= span.startTimeNs);
});

test('MLflow keys set as attributes are the fields they name', async () => {
  await takeTraces();
  const span = mlflow.startSpan({ name: 'keys' });
  span.setAttributes({
    'mlflow.spanInputs': { i: 1 },
    'mlflow.spanOutputs': 'o',
    'mlflow.spanType': 'AGENT',
    'mlflow.spanLogLevel': 50,
    'mlflow.traceRequestId': 'tr-forged',
    'mlflow.chat.tokenUsage': { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
  });
  span.end();
  const { spans, info } = await takeTrace();
  assert.deepEqual(spans[0].attributes, {
    'mlflow.traceRequestId': span.traceId,
    'mlflow.spanType': 'AGENT',
    'mlflow.spanInputs': { i: 1 },
    'mlflow.spanOutputs': 'o',
    'mlflow.chat.tokenUsage': { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
    'mlflow.spanLogLevel': 50,
  });
  assert.equal(JSON.parse(info.trace_metadata['mlflow.trace.tokenUsage']).total_tokens, 3);
});

test('end takes outputs, attributes, status and time; afterwards nothing changes', async () => {
  await takeTraces();
  const span = mlflow.startSpan({ name: 'ends' });
  span.end({
    outputs: 0,
    attributes: { late: true },
    status: { statusCode: mlflow.SpanStatusCode.ERROR, description: 'why' },
    endTimeNs: span.startTimeNs + 5n,
  });
  span.setOutputs('changed');
  span.setAttribute('changed', true);
  span.setStatus('OK');
  span.setSpanType('LLM');
  span.setLogLevel('INFO');
  span.addEvent('changed');
  span.recordException(new Error('changed'));
  span.end({ outputs: 'changed' });
  const { spans } = await takeTrace();
  assert.equal(spans[0].outputs, 0);
  assert.equal(spans[0].attributes.late, true);
  assert.equal(spans[0].attributes.changed, undefined);
  assert.deepEqual(spans[0].status, { code: 'STATUS_CODE_ERROR', message: 'why' });
  assert.equal(spans[0].events.length, 0);
  assert.equal(span.endTimeNs - span.startTimeNs, 5n);
});

test('a status is an object, a code or its short name; anything else is ignored and reported', () => {
  const span = mlflow.startSpan({ name: 'status' });
  span.setStatus('ERROR', 'short');
  assert.deepEqual(span.status, { statusCode: 'STATUS_CODE_ERROR', description: 'short' });
  span.setStatus(mlflow.SpanStatusCode.OK);
  assert.deepEqual(span.status, { statusCode: 'STATUS_CODE_OK', description: '' });
  mlflow.diagnostics();
  for (const bad of ['FINE', 2, null, undefined, {}]) span.setStatus(bad);
  assert.equal(span.status.statusCode, 'STATUS_CODE_OK');
  assert.equal(mlflow.diagnostics().filter((line) => line.includes('span status')).length, 5);
  span.end();
});

test('hostile arguments never throw', () => {
  const hostile = new Proxy(
    {},
    {
      get: () => {
        throw new Error('get');
      },
      ownKeys: () => {
        throw new Error('keys');
      },
    },
  );
  for (const bad of [null, undefined, 1, 'x', Symbol('s'), hostile, () => hostile]) {
    mlflow.startSpan(bad).end();
    mlflow.startSpan({ name: bad, attributes: bad, inputs: bad, spanType: bad, startTimeNs: bad }).end();
    mlflow.startSpan({ name: 'parent', parent: bad }).end();
    const span = mlflow.startSpan({ name: 'hostile' });
    span.setAttribute(bad, bad);
    span.setAttributes(bad);
    span.setInputs(bad);
    span.setOutputs(bad);
    span.setSpanType(bad);
    span.setLogLevel(bad);
    span.setStatus(bad, bad);
    span.addEvent(bad, bad);
    span.addEvent({ name: 'e', attributes: bad, timestamp: bad });
    span.addLink(bad);
    span.recordException(bad);
    mlflow.updateCurrentTrace(bad, span);
    mlflow.updateCurrentTrace({ tags: bad, metadata: bad, requestPreview: bad, state: bad }, bad);
    mlflow.tracingContext(bad, () => 1);
    mlflow.tracingContext({ tags: bad, user: bad }, () => 1);
    span.end(bad);
    span.end({ outputs: bad, attributes: bad, status: bad, endTimeNs: bad });
    assert.notEqual(span.endTimeNs, null);
  }
});

test('using ends a span', async () => {
  await takeTraces();
  const span = mlflow.startSpan({ name: 'using' });
  span[Symbol.dispose]();
  assert.notEqual(span.endTimeNs, null);
  assert.equal((await takeTrace()).spans[0].name, 'using');
});

test('log levels follow the type, and exceptions raise them', async () => {
  await takeTraces();
  mlflow.withSpan(
    () => {
      mlflow.startSpan({ name: 'tool', spanType: 'TOOL' }).end();
      mlflow.startSpan({ name: 'parser', spanType: 'PARSER' }).end();
      const failing = mlflow.startSpan({ name: 'failing', spanType: 'TOOL' });
      failing.recordException(new Error('x'));
      failing.end();
      const critical = mlflow.startSpan({ name: 'critical' });
      critical.setLogLevel(mlflow.SpanLogLevel.CRITICAL);
      critical.recordException(new Error('x'));
      critical.end();
    },
    { name: 'root' },
  );
  const { byName } = await takeTrace();
  const level = (name) => byName[name].attributes['mlflow.spanLogLevel'];
  assert.deepEqual(['root', 'tool', 'parser', 'failing', 'critical'].map(level), [10, 20, 10, 40, 50]);
  assert.equal(mlflow.toSpanLogLevel(' info '), 20);
  assert.throws(() => mlflow.toSpanLogLevel('loud'), RangeError);
  assert.throws(() => mlflow.toSpanLogLevel(15), RangeError);
});

test('a span that is garbage before it ended is given up, and its trace arrives without it', async () => {
  await takeTraces();
  const { setFlagsFromString } = await import('node:v8');
  const { runInNewContext } = await import('node:vm');
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc');
  const before = mlflow.stats().dropped.unfinished;
  const root = mlflow.startSpan({ name: 'root' });
  (() => mlflow.startSpan({ name: 'forgotten', parent: root }))();
  root.end();
  for (let i = 0; i < 50 && mlflow.stats().dropped.unfinished === before; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(mlflow.stats().dropped.unfinished, before + 1);
  const { spans } = await takeTrace();
  assert.deepEqual(
    spans.map((span) => span.name),
    ['root'],
  );
});
