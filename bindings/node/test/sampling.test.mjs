import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { run } from './support/child.mjs';
import { framesOf, mlflow, takeTrace, takeTraces } from './support/engine.mjs';

const { getTracingContextHeaders, startSpan, withSpan, withTracingContextFromHeaders } = mlflow;

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

const configure = (options) => mlflow.init({ exporter: 'memory', batchDelayMs: 0, ...options });
const under = (flags, record) =>
  withTracingContextFromHeaders({ traceparent: `00-${TRACE}-${SPAN}-${flags}`, tracestate: 'a=1' }, record);

beforeEach(async () => {
  configure({});
  await takeTraces();
});

test('a ratio is the share of traces that is recorded, each of them whole', async () => {
  configure({ samplingRatio: 0.5 });
  const { created } = mlflow.stats();
  for (let i = 0; i < 400; i++) withSpan(() => withSpan(() => i, { name: 'child' }), { name: 'root' });
  const traces = await takeTraces();
  assert.ok(traces.length > 120 && traces.length < 280, `${traces.length} of 400`);
  for (const { spans, info } of traces) {
    assert.equal(spans.length, 2);
    assert.equal(info.tags['mlflow.traceName'], 'root');
    // MLflow's rule: the lower half of the id is below the bound.
    assert.ok(Number(`0x${info.trace_id.slice(-16, -15)}`) < 8, info.trace_id);
  }
  assert.equal(mlflow.stats().created - created, 2 * traces.length);
});

test('what is not sampled records nothing, and works as if it were', async () => {
  configure({ samplingRatio: 0 });
  const frames = framesOf(() => {
    const result = withSpan(
      (root) => {
        assert.equal(root.traceId, 'MLFLOW_NO_OP_SPAN_TRACE_ID');
        assert.equal(mlflow.getCurrentActiveSpan(), null);
        root.setAttribute('a', 1);
        const child = startSpan({ name: 'child', parent: root, inputs: { a: 1 } });
        child.recordException(new Error('ignored'));
        child.end();
        return mlflow.trace((x) => x + 1)(1);
      },
      { name: 'root' },
    );
    assert.equal(result, 2);
  });
  assert.deepEqual(frames, []);
  await withSpan(async () => {
    await null;
    assert.equal(startSpan({ name: 'later' }).spanId, '');
  });
  assert.deepEqual(await takeTraces(), []);
});

test('updating a trace that is not sampled is no fault', () => {
  configure({ samplingRatio: 0 });
  mlflow.diagnostics();
  withSpan(() => mlflow.updateCurrentTrace({ tags: { a: '1' } }));
  assert.deepEqual(mlflow.diagnostics(), []);
});

test('other processes learn that a trace is not sampled', () => {
  configure({ samplingRatio: 0 });
  withSpan(() => {
    const outer = getTracingContextHeaders();
    assert.match(outer.traceparent, /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-02$/);
    withSpan(() => assert.deepEqual(getTracingContextHeaders(), outer));
  });
  const [first, second] = [0, 1].map(() => withSpan(() => getTracingContextHeaders().traceparent));
  assert.notEqual(first.slice(3, 35), second.slice(3, 35));
});

test("the caller's decision counts, whatever is configured here", async () => {
  configure({ samplingRatio: 0 });
  under('01', () => withSpan(() => 1, { name: 'sampled' }));
  assert.equal((await takeTrace()).spans[0].name, 'sampled');
  configure({});
  for (const flags of ['00', '02']) {
    under(flags, () =>
      withSpan(
        (span) => {
          assert.equal(span.spanId, '');
          const { traceparent, tracestate } = getTracingContextHeaders();
          assert.match(traceparent, new RegExp(`^00-${TRACE}-[0-9a-f]{16}-${flags}$`));
          assert.notEqual(traceparent.slice(36, 52), SPAN);
          assert.equal(tracestate, 'a=1');
        },
        { samplingRatioOverride: 1 },
      ),
    );
  }
  assert.deepEqual(await takeTraces(), []);
});

test('a root may have a ratio of its own; its children follow it', async () => {
  const names = async () =>
    (await takeTraces()).flatMap(({ spans }) => spans.map((span) => span.name)).sort();
  const record = () => {
    for (const ratio of [0, 1]) {
      const options = { samplingRatioOverride: ratio };
      startSpan({ name: `start ${ratio}`, ...options }).end();
      withSpan(() => startSpan({ name: 'child', samplingRatioOverride: 1 - ratio }).end(), {
        name: `with ${ratio}`,
        ...options,
      });
      mlflow.trace(() => 1, { name: `trace ${ratio}`, ...options })();
    }
    withSpan(() => 1, { name: 'usual' });
  };
  record();
  const recorded = ['child', 'start 1', 'trace 1', 'with 1'];
  assert.deepEqual(await names(), [...recorded, 'usual'].sort());
  configure({ samplingRatio: 0 });
  record();
  assert.deepEqual(await names(), recorded);
});

test('a ratio that is none is reported, or refused where it is configured', async () => {
  mlflow.diagnostics();
  for (const ratio of [1.5, -1, NaN, '0', null]) {
    startSpan({ name: 'recorded', samplingRatioOverride: ratio }).end();
    assert.match(mlflow.diagnostics().join('\n'), /samplingRatioOverride ignored/);
    assert.throws(() => mlflow.trace(() => 1, { samplingRatioOverride: ratio }), {
      name: 'RangeError',
      message: /samplingRatioOverride/,
    });
  }
  assert.equal((await takeTraces()).length, 5);
});

test('at most so many traces begin in a second', async () => {
  configure({ samplingMaxTracesPerSecond: 3 });
  for (let i = 0; i < 50; i++) withSpan(() => i);
  const { length } = await takeTraces();
  // The second may have turned meanwhile.
  assert.ok(length === 3 || length === 6, `${length}`);
});

test('traces that are not sampled are kept for their errors', async () => {
  configure({ samplingRatio: 0, samplingKeepErrors: true });
  const { dropped } = mlflow.stats();
  const frames = framesOf(() => {
    withSpan(() => withSpan(() => 1, { name: 'child' }), { name: 'fine' });
  });
  assert.deepEqual(
    frames.map(({ kind, flags }) => [kind, flags]),
    [
      [1, 2],
      [1, 2],
      [2, 0],
      [2, 0],
    ],
  );
  assert.throws(() =>
    withSpan(
      () => {
        assert.match(getTracingContextHeaders().traceparent, /-02$/);
        withSpan(() => 1, { name: 'child' });
        throw new Error('broke');
      },
      { name: 'failed' },
    ),
  );
  const { byName, info } = await takeTrace();
  assert.deepEqual(Object.keys(byName).sort(), ['child', 'failed']);
  assert.equal(info.state, 'ERROR');
  assert.equal(mlflow.stats().dropped.unsampled - dropped.unsampled, 2);
  assert.equal(mlflow.stats().pending, 0);
});

test('a trace that is kept for its errors is whole, also through headers inside the process', async () => {
  configure({ samplingRatio: 0, samplingKeepErrors: true });
  withSpan(
    (root) => {
      withTracingContextFromHeaders(getTracingContextHeaders(), () => {
        withSpan(() => 1, { name: 'server' });
      });
      // Of a trace that began elsewhere.
      under('00', () => withSpan((span) => assert.equal(span.spanId, ''), { name: 'other' }));
      root.setStatus('ERROR', 'failed');
    },
    { name: 'client' },
  );
  const { byName, spans } = await takeTrace();
  assert.equal(spans.length, 2);
  assert.equal(byName.server.parent_span_id, byName.client.span_id);
});

test('a disabled engine records nothing and leaves the context of callers alone', async () => {
  configure({ sdkDisabled: true });
  const { created } = mlflow.stats();
  withSpan(() => assert.deepEqual(getTracingContextHeaders(), {}), { samplingRatioOverride: 1 });
  under('01', () =>
    withSpan(() => {
      withSpan(() => {
        assert.deepEqual(getTracingContextHeaders(), {
          traceparent: `00-${TRACE}-${SPAN}-01`,
          tracestate: 'a=1',
        });
      });
    }),
  );
  assert.equal(mlflow.stats().created, created);
  configure({});
  withSpan(() => 1);
  assert.equal((await takeTraces()).length, 1);
});

test('the environment samples as well', async () => {
  const program = `for (let i = 0; i < 20; i++) mlflow.withSpan(() => i); console.log(mlflow.stats().created);`;
  const created = async (env) =>
    (await run(program, { env: { MLFLOW_TRACE_EXPORTER: 'none', ...env } })).stdout;
  assert.equal(await created({}), '20\n');
  assert.equal(await created({ MLFLOW_TRACE_SAMPLING_RATIO: '0' }), '0\n');
  assert.equal(await created({ OTEL_SDK_DISABLED: 'true' }), '0\n');
});

test('worker threads follow what another thread configures', async () => {
  const program = `
    import { Worker } from 'node:worker_threads';
    const code = \`
      import { parentPort } from 'node:worker_threads';
      import * as mlflow from ${JSON.stringify(new URL('../index.mjs', import.meta.url).href)};
      parentPort.on('message', async (rounds) => {
        if (rounds === 0) process.exit();
        mlflow.withSpan(() => 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
        for (let i = 0; i < rounds; i++) mlflow.withSpan(() => 1);
        await new Promise((resolve) => setTimeout(resolve, 20));
        parentPort.postMessage(mlflow.stats().created);
      });\`;
    mlflow.init({ exporter: 'none' });
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(code)));
    const ask = (rounds) => new Promise((resolve) => { worker.once('message', resolve); worker.postMessage(rounds); });
    const grown = async (options) => {
      mlflow.init({ exporter: 'none', ...options });
      const before = mlflow.stats().created;
      return (await ask(10)) - before;
    };
    console.log(await grown({}), await grown({ sdkDisabled: true }) < 2, await grown({}) >= 10,
      await grown({ samplingRatio: 0 }) < 2, await grown({ samplingRatio: 1, batchMaxSpans: 7 }));
    worker.postMessage(0);`;
  const { stdout, stderr } = await run(program, { env: { MLFLOW_TRACE_QUIET: 'true' } });
  assert.equal(stdout, '11 true true true 11\n', stderr);
});
