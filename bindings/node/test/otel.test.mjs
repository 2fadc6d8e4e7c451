import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { context, propagation, SpanKind, SpanStatusCode, trace, TraceFlags } from '@opentelemetry/api';
import { SimpleSpanProcessor, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { NodeTracerProvider, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-node';
import { MlflowSpanExporter, MlflowSpanProcessor } from 'mlflow-trace/otel';
import { mlflow, takeTrace, takeTraces, useMemory } from './support/engine.mjs';

const provider = new NodeTracerProvider({ spanProcessors: [new MlflowSpanProcessor()] });
const tracer = provider.getTracer('shop', '1.2');

before(() => provider.register());
beforeEach(async () => {
  useMemory();
  await takeTraces();
});
after(async () => {
  await provider.shutdown();
  trace.disable();
  context.disable();
  propagation.disable();
});

/** A provider of its own, which is not the global one. */
function exporting(exporter, Processor = SimpleSpanProcessor) {
  return new NodeTracerProvider({ spanProcessors: [new Processor(exporter)] });
}

test('a span of the SDK arrives with all that it holds', async () => {
  const other = tracer.startSpan('other', { root: true });
  const span = tracer.startSpan('chat gpt', {
    kind: SpanKind.CLIENT,
    startTime: [1_700_000_000, 5],
    attributes: { 'gen_ai.operation.name': 'chat', n: 1, x: 0.5, yes: true, list: ['a', 'b'] },
    links: [{ context: other.spanContext(), attributes: { why: 'retry' } }],
  });
  span.addEvent('tick', { at: 3 }, [1_700_000_000, 9]);
  span.setStatus({ code: SpanStatusCode.ERROR, message: 'no' });
  span.end([1_700_000_001, 0]);
  other.end();
  const traces = await takeTraces();
  const [stored] = traces.flatMap(({ spans }) => spans).filter(({ name }) => name === 'chat gpt');
  assert.equal(stored.start_time_unix_nano, Number(1_700_000_000_000_000_005n));
  assert.equal(stored.attributes['mlflow.spanType'], 'CHAT_MODEL');
  assert.equal(stored.attributes['otel.scope.name'], 'shop');
  assert.equal(stored.attributes['otel.scope.version'], '1.2');
  assert.deepEqual(stored.attributes.list, ['a', 'b']);
  assert.deepEqual([stored.attributes.n, stored.attributes.x, stored.attributes.yes], [1, 0.5, true]);
  assert.deepEqual([stored.status.code, stored.status.message], ['STATUS_CODE_ERROR', 'no']);
  assert.deepEqual(
    stored.events.map(({ name, attributes }) => [name, attributes]),
    [['tick', { at: 3 }]],
  );
  assert.equal(stored.links.length, 1);
  assert.deepEqual(stored.links[0].attributes, { why: 'retry' });
});

test('spans of both kinds share a trace, each below the other', async () => {
  let ids;
  await tracer.startActiveSpan('theirs', async (theirs) => {
    await mlflow.withSpan(
      async (ours) => {
        await sleep(1);
        await tracer.startActiveSpan('theirs inside', async (inside) => {
          ids = [theirs, ours, inside];
          mlflow.startSpan({ name: 'ours inside' }).end();
          mlflow.trace(() => 1, { name: 'traced' })();
          inside.end();
        });
        assert.equal(mlflow.getCurrentActiveSpan(), ours);
      },
      { name: 'ours' },
    );
    assert.equal(trace.getActiveSpan(), theirs);
    theirs.end();
  });
  const { spans, byName } = await takeTrace();
  assert.equal(spans.length, 5);
  const parents = Object.fromEntries(
    spans.map(({ name, parent_span_id: parent }) => [
      name,
      spans.find(({ span_id: id }) => id === parent)?.name ?? null,
    ]),
  );
  assert.deepEqual(parents, {
    theirs: null,
    ours: 'theirs',
    'theirs inside': 'ours',
    'ours inside': 'theirs inside',
    traced: 'theirs inside',
  });
  assert.equal(ids[1].traceId, `tr-${ids[0].spanContext().traceId}`);
  assert.equal(mlflow.getLastActiveTraceId(), ids[1].traceId);
  assert.ok(byName.theirs);
  assert.equal(mlflow.stats().pending, 0);
});

test('a trace of ours with spans of the SDK is rooted in ours', async () => {
  const id = mlflow.withSpan(
    (span) => {
      tracer.startActiveSpan('child', (child) => {
        mlflow.updateCurrentTrace({ tags: { a: 'b' } });
        child.end();
      });
      return span.traceId;
    },
    { name: 'root', inputs: { q: 1 } },
  );
  const { info, byName } = await takeTrace();
  assert.equal(info.trace_id, id);
  assert.equal(info.tags.a, 'b');
  assert.equal(byName.child.parent_span_id, byName.root.span_id);
  assert.match(info.request_preview, /q/);
});

test('a trace of the SDK alone can be updated from inside', async () => {
  tracer.startActiveSpan('alone', (span) => {
    mlflow.updateCurrentTrace({ tags: { team: 'x' }, sessionId: 's' });
    span.end();
  });
  const { info } = await takeTrace();
  assert.equal(info.tags.team, 'x');
  assert.equal(info.trace_metadata['mlflow.trace.session'], 's');
});

test('the trace that is changed is that of the nearest span, or of the one that is given', async () => {
  mlflow.withSpan(
    (ours) => {
      tracer.startActiveSpan('theirs', { root: true }, (theirs) => {
        mlflow.updateCurrentTrace({ tags: { to: 'nearest' } });
        mlflow.updateCurrentTrace({ tags: { to: 'given' } }, ours);
        theirs.end();
      });
    },
    { name: 'ours' },
  );
  const tags = (await takeTraces()).map(({ info }) => [info.tags['mlflow.traceName'], info.tags.to]);
  assert.deepEqual(Object.fromEntries(tags), { ours: 'given', theirs: 'nearest' });
});

test('headers carry the nearest span of either kind, by either API', async () => {
  const inject = () => {
    const carrier = {};
    propagation.inject(context.active(), carrier);
    return carrier.traceparent;
  };
  mlflow.withSpan((ours) => {
    assert.match(inject(), new RegExp(`-${ours.spanId}-03$|-${ours.spanId}-01$`));
    tracer.startActiveSpan('theirs', (theirs) => {
      const { spanId } = theirs.spanContext();
      assert.match(mlflow.getTracingContextHeaders().traceparent, new RegExp(spanId));
      assert.match(inject(), new RegExp(spanId));
      theirs.end();
    });
  });
  const headers = { traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01` };
  mlflow.withTracingContextFromHeaders(headers, () => {
    const span = tracer.startSpan('below a caller');
    assert.equal(span.spanContext().traceId, 'ab'.repeat(16));
    span.end();
  });
  await takeTraces();
});

test('what is not sampled or not wanted is not recorded, whoever decides', async () => {
  const none = new NodeTracerProvider({
    sampler: new TraceIdRatioBasedSampler(0),
    spanProcessors: [new MlflowSpanProcessor()],
  }).getTracer('none');
  none.startActiveSpan('unsampled', (span) => {
    mlflow.startSpan({ name: 'below unsampled' }).end();
    span.end();
  });
  mlflow.tracingContext({ enabled: false }, () => tracer.startSpan('not wanted').end());
  mlflow.init({ exporter: 'memory', samplingRatio: 0 });
  mlflow.withSpan(() => {
    const span = tracer.startSpan('below ours');
    assert.equal(span.spanContext().traceFlags & TraceFlags.SAMPLED, 0);
    span.end();
  });
  useMemory();
  assert.deepEqual(await takeTraces(), []);
});

test('the exporter sends whole traces once their root has come', async () => {
  for (const Processor of [SimpleSpanProcessor, BatchSpanProcessor]) {
    const other = exporting(new MlflowSpanExporter(), Processor);
    other
      .getTracer('batch')
      .startActiveSpan('root', { attributes: { 'mlflow.spanInputs': '{"q":1}' } }, (root) => {
        other.getTracer('batch').startSpan('child').end();
        other.getTracer('second').startSpan('child of another scope').end();
        root.end();
      });
    await other.forceFlush();
    const { info, spans, byName } = await takeTrace();
    assert.equal(spans.length, 3);
    assert.equal(byName.child.parent_span_id, byName.root.span_id);
    assert.equal(byName['child of another scope'].attributes['otel.scope.name'], 'second');
    assert.match(info.request_preview, /q/);
    await other.shutdown();
  }
});

test('spans whose root does not come go without it, at a flush or in time', async () => {
  const exporter = new MlflowSpanExporter({ rootWaitMs: 60_000 });
  const other = exporting(exporter);
  other.getTracer('x').startActiveSpan('never ends', () => other.getTracer('x').startSpan('orphan').end());
  assert.deepEqual(await takeTraces(), []);
  await exporter.forceFlush();
  assert.equal((await takeTrace()).spans[0].name, 'orphan');
  const at = exporting(new MlflowSpanExporter({ rootWaitMs: 0 }));
  at.getTracer('x').startActiveSpan('never ends', () => at.getTracer('x').startSpan('at once').end());
  assert.equal((await takeTrace()).spans[0].name, 'at once');
  assert.throws(() => new MlflowSpanExporter({ rootWaitMs: -1 }), RangeError);
});

test('where processors take content out, that of the SDK is withheld', async () => {
  mlflow.init({ exporter: 'memory', batchDelayMs: 0, spanProcessors: [() => undefined] });
  tracer.startActiveSpan('secret', { attributes: { password: 'xyzzy' } }, (span) => {
    span.recordException(new Error('xyzzy'));
    span.setStatus({ code: SpanStatusCode.ERROR, message: 'xyzzy' });
    span.end();
  });
  const other = exporting(new MlflowSpanExporter({ rootWaitMs: 0 }));
  const span = other.getTracer('x').startSpan('secret', { root: true, attributes: { password: 'xyzzy' } });
  span.setStatus({ code: SpanStatusCode.ERROR, message: 'xyzzy' });
  span.end();
  const traces = await takeTraces();
  assert.equal(traces.length, 2);
  assert.ok(!JSON.stringify(traces).includes('xyzzy'));
});

test('a span that is forgotten, or not understood, hurts nobody', async () => {
  const processor = new MlflowSpanProcessor();
  processor.onEnd({});
  processor.onStart({ spanContext: () => ({ traceId: 'x', spanId: 'y', traceFlags: 1 }) });
  processor.onStart({});
  const results = [];
  new MlflowSpanExporter().export([{}], (result) => results.push(result.code));
  new MlflowSpanExporter().export([], (result) => results.push(result.code));
  assert.deepEqual(results, [1, 0]);
  assert.deepEqual(await takeTraces(), []);
});

test('a span of the SDK that is forgotten does not hold its trace', async () => {
  const { setFlagsFromString } = await import('node:v8');
  const { runInNewContext } = await import('node:vm');
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc');
  tracer.startActiveSpan('root', (root) => {
    tracer.startSpan('forgotten');
    root.end();
  });
  const until = Date.now() + 10_000;
  let traces = [];
  while (traces.length === 0 && Date.now() < until) {
    await sleep(5);
    gc();
    traces = await takeTraces();
  }
  assert.deepEqual(
    traces.map(({ spans }) => spans.map(({ name }) => name)),
    [['root']],
  );
  assert.equal(mlflow.stats().pending, 0);
});
