import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { before, beforeEach, test } from 'node:test';
import { framesOf, mlflow, takeTraces, useMemory } from './support/engine.mjs';

before(useMemory);
beforeEach(takeTraces);

const { getTracingContextHeaders, withTracingContextFromHeaders, withSpan } = mlflow;

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const TRACEPARENT = `00-${TRACE}-${SPAN}-01`;

/** The trace and parent of a span that starts under these headers. One that is not sampled has none. */
function startedUnder(headers) {
  return withTracingContextFromHeaders(headers, () =>
    withSpan((span) => ({
      trace: span.traceId.slice(3),
      parent: span.parentId,
      headers: getTracingContextHeaders(),
    })),
  );
}

const UNSAMPLED = mlflow.startSpan({ name: 'off', samplingRatioOverride: 0 }).traceId.slice(3);

test('headers name the active span', () => {
  assert.deepEqual(getTracingContextHeaders(), {});
  withSpan((span) => {
    assert.deepEqual(getTracingContextHeaders(), {
      traceparent: `00-${span.traceId.slice(3)}-${span.spanId}-03`,
    });
  });
});

test('headers of every shape are read', () => {
  const shapes = [
    { traceparent: TRACEPARENT },
    { TraceParent: TRACEPARENT },
    { traceparent: [TRACEPARENT] },
    { traceparent: ` ${TRACEPARENT} ` },
    new Headers({ traceparent: TRACEPARENT }),
    new Map([['TraceParent', TRACEPARENT]]),
    [['Traceparent', TRACEPARENT]],
    { get: (name) => (name === 'traceparent' ? TRACEPARENT : null) },
  ];
  for (const shape of shapes) {
    const { trace, parent } = startedUnder(shape);
    assert.deepEqual([trace, parent], [TRACE, SPAN]);
  }
});

test('malformed headers start a trace of their own', () => {
  const bad = [
    undefined,
    null,
    'text',
    {},
    { traceparent: '' },
    { traceparent: undefined },
    { traceparent: TRACEPARENT.toUpperCase() },
    { traceparent: `ff-${TRACE}-${SPAN}-01` },
    { traceparent: `00-${'0'.repeat(32)}-${SPAN}-01` },
    { traceparent: `00-${TRACE}-${'0'.repeat(16)}-01` },
    { traceparent: `${TRACEPARENT}-extra` },
    { traceparent: `00-${TRACE}-${SPAN}` },
    { traceparent: `00-${TRACE.slice(1)}-${SPAN}-01` },
    {
      get traceparent() {
        throw new Error('hostile');
      },
    },
  ];
  for (const headers of bad) {
    const { trace, parent } = startedUnder(headers);
    assert.notEqual(trace, TRACE);
    assert.equal(parent, null);
  }
});

test('a version to come is read as far as it is known', () => {
  assert.equal(startedUnder({ traceparent: `cc-${TRACE}-${SPAN}-01-what-comes` }).trace, TRACE);
});

test('tracestate and flags are passed on', () => {
  const { headers } = startedUnder({ traceparent: TRACEPARENT, tracestate: 'a=1, b=2' });
  assert.match(headers.traceparent, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
  assert.equal(headers.tracestate, 'a=1,b=2');
  const unsampled = startedUnder({ traceparent: `00-${TRACE}-${SPAN}-02` });
  assert.match(unsampled.headers.traceparent, /-02$/);
  assert.equal(
    startedUnder({ traceparent: TRACEPARENT, tracestate: ['x=1', 'y=2'] }).headers.tracestate,
    'x=1,y=2',
  );
  assert.equal(
    startedUnder({ traceparent: TRACEPARENT, tracestate: 'no pair' }).headers.tracestate,
    undefined,
  );
  const many = Array.from({ length: 33 }, (_, i) => `k${i}=v`).join(',');
  assert.equal(startedUnder({ traceparent: TRACEPARENT, tracestate: many }).headers.tracestate, undefined);
});

const shared = JSON.parse(readFileSync(new URL('../../../tests/w3c/cases.json', import.meta.url), 'utf8'));

for (const { name, headers, parent } of shared.cases) {
  test(name, () => {
    const started = startedUnder(headers);
    if (parent === null) {
      assert.notEqual(started.trace, shared.trace_id);
      assert.equal(started.parent, null);
      assert.equal(started.headers.tracestate, undefined);
      return;
    }
    const isSampled = Number(parent.flags) % 2 === 1;
    assert.deepEqual(
      [started.trace, started.parent],
      isSampled ? [shared.trace_id, shared.span_id] : [UNSAMPLED, null],
    );
    assert.match(
      started.headers.traceparent,
      new RegExp(`^00-${shared.trace_id}-[0-9a-f]{16}-0${parent.flags}$`),
    );
    assert.equal(started.headers.tracestate ?? null, parent.tracestate);
  });
}

test('keys and values of tracestate have 256 characters at most', () => {
  for (const [key, value] of [
    [256, 256],
    [257, 1],
    [1, 257],
  ]) {
    const tracestate = `${'k'.repeat(key)}=${'v'.repeat(value)}`;
    const passed = startedUnder({ traceparent: TRACEPARENT, tracestate }).headers.tracestate;
    assert.equal(passed, key + value === 512 ? tracestate : undefined);
  }
});

test('without a span of its own, a service passes the caller on', () => {
  withTracingContextFromHeaders({ traceparent: TRACEPARENT }, () => {
    assert.deepEqual(getTracingContextHeaders(), { traceparent: TRACEPARENT });
  });
});

test('the START frame says that the parent is remote', () => {
  const [start, , child] = framesOf(() =>
    withTracingContextFromHeaders({ traceparent: TRACEPARENT }, () => {
      const span = mlflow.startSpan({ name: 'server' });
      span.end();
      mlflow.startSpan({ name: 'child', parent: span }).end();
    }),
  );
  assert.deepEqual([start.kind, start.flags], [1, 1]);
  assert.equal(start.payload.toString('hex', 0, 16), TRACE);
  assert.equal(start.payload.toString('hex', 24, 32), SPAN);
  assert.deepEqual([child.kind, child.flags], [1, 0]);
});

test('a request between two services is one trace', async () => {
  const server = createServer((incoming, response) => {
    withTracingContextFromHeaders(incoming.headers, () =>
      withSpan(
        async () => {
          await null;
          response.end('ok');
        },
        { name: 'server' },
      ),
    );
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  await withSpan(
    () =>
      new Promise((resolve, reject) => {
        const { port } = server.address();
        request({ host: '127.0.0.1', port, headers: getTracingContextHeaders() }, (response) => {
          response.resume().on('end', resolve);
        })
          .on('error', reject)
          .end();
      }),
    { name: 'client' },
  );
  server.close();
  const spans = (await takeTraces()).flatMap((trace) => trace.spans);
  const [client, remote] = ['client', 'server'].map((name) => spans.find((span) => span.name === name));
  assert.equal(remote.trace_id, client.trace_id);
  assert.equal(remote.parent_span_id, client.span_id);
});
