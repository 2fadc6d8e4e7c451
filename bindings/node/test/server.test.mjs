// Against a real MLflow server, whose base URL is in MLFLOW_TRACE_TEST_SERVER.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { mlflow } from './support/engine.mjs';

const server = process.env.MLFLOW_TRACE_TEST_SERVER?.replace(/\/$/, '');
const skip = server === undefined && 'MLFLOW_TRACE_TEST_SERVER is not set';
const experimentName = `node-${process.pid}-${Date.now()}`;

before(() => {
  if (server !== undefined) mlflow.init({ trackingUri: server, experimentName, batchDelayMs: 0 });
});

/** A trace as the server stores it, with the spans by name and their attributes as plain values. */
async function readBack(traceId) {
  assert.equal(await mlflow.flushTraces(20_000), 0);
  const url = `${server}/api/3.0/mlflow/traces/get?trace_id=${traceId}&allow_partial=false`;
  const reply = await fetch(url);
  const text = await reply.text();
  assert.equal(reply.status, 200, text);
  // Nanoseconds are more than a JavaScript number holds.
  const { trace } = JSON.parse(text.replace(/(_unix_nano":\s*)(\d+)/g, '$1"$2"'));
  const spans = trace.spans.map((span) => ({ ...span, attributes: toObject(span.attributes) }));
  return {
    info: trace.trace_info,
    spans,
    byName: Object.fromEntries(spans.map((span) => [span.name, span])),
  };
}

const toObject = (attributes = []) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, toValue(value)]));

function toValue(value = {}) {
  if ('array_value' in value) return (value.array_value.values ?? []).map(toValue);
  if ('kvlist_value' in value) return toObject(value.kvlist_value.values);
  return Object.values(value)[0] ?? null;
}

test('a nested trace reads back as it was recorded', { skip }, async () => {
  const retrieve = mlflow.trace(
    async function retrieve(query, limit) {
      await null;
      return [{ doc: query, rank: limit }];
    },
    { spanType: mlflow.SpanType.RETRIEVER },
  );
  const question = { messages: [{ role: 'user', content: 'Wie spät ist es? 🕰' }] };
  let root;
  await mlflow.withSpan(
    async (span) => {
      root = span;
      mlflow.updateCurrentTrace({
        tags: { team: 'search', 'with space': 'ü' },
        metadata: { version: 'v1' },
        clientRequestId: 'request-7',
        sessionId: 'session-1',
        user: 'ann',
        responsePreview: 'a preview of its own',
      });
      await retrieve('time', 3);
      await mlflow.withSpan(
        (llm) => {
          llm.setAttribute(mlflow.SpanAttributeKey.TOKEN_USAGE, {
            input_tokens: 10,
            output_tokens: 5,
            total_tokens: 15,
          });
          llm.addEvent('first token', { ms: 12, list: [1, 'x'] });
        },
        {
          name: 'llm',
          spanType: 'CHAT_MODEL',
          attributes: { temperature: 0.5, stream: false, 'big int': 2n ** 60n },
        },
      );
      try {
        mlflow.withSpan(
          () => {
            throw new TypeError('tool broke');
          },
          { name: 'tool', spanType: 'TOOL' },
        );
      } catch {
        return { answer: 42, at: new Date(0), n: [NaN, null] };
      }
    },
    { name: 'agent', spanType: 'AGENT', inputs: question },
  );

  const { info, spans, byName } = await readBack(root.traceId);
  assert.deepEqual(spans.map((span) => span.name).sort(), ['agent', 'llm', 'retrieve', 'tool']);
  const id = (hex) => Buffer.from(hex, 'hex').toString('base64');
  assert.equal(byName.agent.trace_id, id(root.traceId.slice(3)));
  assert.equal(byName.agent.span_id, id(root.spanId));
  assert.equal(byName.agent.parent_span_id, undefined);
  for (const name of ['llm', 'retrieve', 'tool'])
    assert.equal(byName[name].parent_span_id, byName.agent.span_id);
  assert.equal(BigInt(byName.agent.start_time_unix_nano), root.startTimeNs);
  assert.equal(BigInt(byName.agent.end_time_unix_nano), root.endTimeNs);

  const type = (name) => byName[name].attributes['mlflow.spanType'];
  assert.deepEqual(['agent', 'retrieve', 'llm', 'tool'].map(type), [
    'AGENT',
    'RETRIEVER',
    'CHAT_MODEL',
    'TOOL',
  ]);
  assert.deepEqual(byName.agent.attributes['mlflow.spanInputs'], question);
  assert.deepEqual(byName.agent.attributes['mlflow.spanOutputs'], {
    answer: 42,
    at: '1970-01-01T00:00:00.000Z',
    n: ['NaN', null],
  });
  assert.deepEqual(byName.retrieve.attributes['mlflow.spanInputs'], { query: 'time', limit: 3 });
  assert.deepEqual(byName.retrieve.attributes['mlflow.spanOutputs'], [{ doc: 'time', rank: 3 }]);
  assert.equal(byName.retrieve.attributes['mlflow.spanFunctionName'], 'retrieve');
  assert.equal(byName.llm.attributes.temperature, 0.5);
  assert.equal(byName.llm.attributes.stream, false);
  assert.equal(byName.llm.attributes['big int'], Number(2n ** 60n));
  assert.deepEqual(toObject(byName.llm.events[0].attributes), { ms: 12, list: [1, 'x'] });
  assert.equal(byName.agent.status.code, 'STATUS_CODE_OK');
  assert.deepEqual(byName.tool.status, { code: 'STATUS_CODE_ERROR', message: 'TypeError: tool broke' });
  const exception = toObject(byName.tool.events[0].attributes);
  assert.equal(exception['exception.type'], 'TypeError');
  assert.equal(exception['exception.message'], 'tool broke');

  assert.equal(info.state, 'OK');
  assert.equal(info.client_request_id, 'request-7');
  assert.equal(info.tags.team, 'search');
  assert.equal(info.tags['with space'], 'ü');
  assert.equal(info.tags['mlflow.traceName'], 'agent');
  assert.equal(info.trace_metadata.version, 'v1');
  assert.equal(info.trace_metadata['mlflow.trace.session'], 'session-1');
  assert.equal(info.trace_metadata['mlflow.trace.user'], 'ann');
  assert.equal(info.trace_metadata['mlflow.source.name'], process.argv[1]);
  assert.equal(JSON.parse(info.trace_metadata['mlflow.trace.tokenUsage']).total_tokens, 15);
  assert.equal(info.request_preview, 'Wie spät ist es? 🕰');
  assert.equal(info.response_preview, 'a preview of its own');

  const found = await fetch(
    `${server}/api/2.0/mlflow/experiments/get-by-name?experiment_name=${experimentName}`,
  );
  const { experiment } = await found.json();
  assert.equal(info.trace_location.mlflow_experiment.experiment_id, experiment.experiment_id);
});

test('a trace of the server reads as a Trace, with spans of OpenTelemetry in it', { skip }, async () => {
  const { MlflowSpanProcessor } = await import('mlflow-trace/otel');
  const { NodeTracerProvider } = await import('@opentelemetry/sdk-trace-node');
  const provider = new NodeTracerProvider({ spanProcessors: [new MlflowSpanProcessor()] });
  const other = { traceId: `tr-${'ab'.repeat(16)}`, spanId: 'cd'.repeat(8) };
  const root = mlflow.startSpan({
    name: 'root',
    inputs: { question: 'why' },
    startTimeNs: 1_700_000_000_000_000_003n,
  });
  root.addLink({ ...other, attributes: { rel: 'retry' } });
  const { context, trace: api } = await import('@opentelemetry/api');
  const parent = { traceId: root.traceId.slice(3), spanId: root.spanId, traceFlags: 1, isRemote: true };
  const child = provider
    .getTracer('shop')
    .startSpan(
      'chat',
      { attributes: { 'gen_ai.operation.name': 'chat', 'gen_ai.request.model': 'small', sizes: [1, 2] } },
      api.setSpanContext(context.active(), parent),
    );
  child.addEvent('tick', { n: 1 });
  child.end();
  root.end({ outputs: 5 });
  const { info, spans } = await readBack(root.traceId);
  const reply = await fetch(`${server}/api/3.0/mlflow/traces/get?trace_id=${root.traceId}`);
  const { trace } = JSON.parse((await reply.text()).replace(/(_unix_nano":\s*)(\d+)/g, '$1"$2"'));
  const read = mlflow.Trace.fromJson({ info: trace.trace_info, data: { spans: trace.spans } });
  assert.equal(read.info.traceId, root.traceId);
  assert.equal(read.info.requestTime, Date.parse(info.request_time));
  assert.equal(read.data.spans.length, spans.length);
  const [ours, theirs] = ['root', 'chat'].map((name) => read.data.spans.find((span) => span.name === name));
  assert.deepEqual([ours.inputs, ours.outputs, ours.parentId], [{ question: 'why' }, 5, null]);
  assert.equal(ours.startTimeNs, 1_700_000_000_000_000_003n);
  assert.equal(ours.attributes['mlflow.spanStartTimeNs'], Number(ours.startTimeNs));
  assert.deepEqual(
    ours.links.map(({ traceId, spanId, attributes }) => ({ traceId, spanId, attributes })),
    [{ ...other, attributes: { rel: 'retry' } }],
  );
  assert.equal(theirs.parentId, root.spanId);
  assert.equal(theirs.spanType, mlflow.SpanType.CHAT_MODEL);
  assert.deepEqual(theirs.attributes.sizes, [1, 2]);
  assert.equal(theirs.attributes['otel.scope.name'], 'shop');
  assert.deepEqual(theirs.events[0].attributes, { n: 1 });
  await provider.shutdown();
});

test('a failed root is a failed trace', { skip }, async () => {
  let traceId;
  assert.throws(() =>
    mlflow.withSpan(
      (span) => {
        traceId = span.traceId;
        throw new Error('no luck');
      },
      { name: 'failing' },
    ),
  );
  const { info, byName } = await readBack(traceId);
  assert.equal(info.state, 'ERROR');
  assert.equal(byName.failing.status.message, 'Error: no luck');
});

test('hostile values leave a trace that can be read', { skip }, async () => {
  let deep = 'bottom';
  for (let i = 0; i < 200; i++) deep = i % 2 ? [deep] : { in: deep };
  const cycle = { list: [] };
  cycle.list.push(cycle);
  const hostile = {
    deep,
    cycle,
    surrogate: '\ud800',
    nul: 'a\0b',
    huge: 10n ** 400n,
    power: 2 ** 64,
    nan: NaN,
    '\udc00 key': 1,
  };
  let traceId;
  mlflow.withSpan(
    (span) => {
      traceId = span.traceId;
      span.setAttributes({ ...hostile, big: 2n ** 64n, text: '\ud83d' });
      span.addEvent('event', hostile);
    },
    { name: 'hostile \ud800', inputs: hostile },
  );
  const { spans } = await readBack(traceId);
  const inputs = spans[0].attributes['mlflow.spanInputs'];
  assert.deepEqual(inputs.cycle, { list: ['<cycle>'] });
  assert.equal(inputs.surrogate, '\ufffd');
  assert.equal(inputs.huge, String(10n ** 400n));
  assert.equal(inputs.power, 2 ** 64);
  assert.equal(inputs.nan, 'NaN');
  assert.equal(inputs['\ufffd key'], 1);
  assert.equal(spans[0].attributes.big, '18446744073709551616');
  assert.equal(spans[0].name, 'hostile \ufffd');
});

test('an attachment lies beside its trace, byte for byte', { skip }, async () => {
  const content = Uint8Array.from({ length: 70_000 }, (_, i) => i * 7);
  let traceId;
  mlflow.withSpan(
    (span) => {
      traceId = span.traceId;
      span.setInputs({ picture: new mlflow.Attachment('image/png', content) });
      return { copy: `data:text/plain;base64,${Buffer.from('extracted').toString('base64')}` };
    },
    { name: 'attached' },
  );
  const { info, byName } = await readBack(traceId);
  const { attributes } = byName.attached;
  const folder = info.tags['mlflow.artifactLocation'].replace(/^mlflow-artifacts:\/+/, '');
  const download = async (reference) => {
    const { hostname: id, searchParams } = new URL(reference);
    const reply = await fetch(`${server}/api/2.0/mlflow-artifacts/artifacts/${folder}/attachments/${id}`);
    assert.equal(reply.status, 200);
    const bytes = new Uint8Array(await reply.arrayBuffer());
    assert.equal(searchParams.get('trace_id'), traceId);
    assert.equal(Number(searchParams.get('size')), bytes.length);
    return [searchParams.get('content_type'), bytes];
  };
  const picture = await download(attributes['mlflow.spanInputs'].picture);
  assert.deepEqual(picture, ['image/png', content]);
  const [type, bytes] = await download(attributes['mlflow.spanOutputs'].copy);
  assert.deepEqual([type, Buffer.from(bytes).toString()], ['text/plain', 'extracted']);
});

test('a trace that is kept for its errors arrives whole, others do not', { skip }, async (t) => {
  const usual = { trackingUri: server, experimentName, batchDelayMs: 0 };
  t.after(() => mlflow.init(usual));
  mlflow.init({ ...usual, samplingRatio: 0, samplingKeepErrors: true });
  const record = (name, status) =>
    mlflow.withSpan(
      (span) => {
        mlflow.withSpan(() => 1, { name: 'child' });
        span.setStatus(status);
        return span.traceId;
      },
      { name },
    );
  const [fine, failed] = [record('fine', 'OK'), record('failed', 'ERROR')];
  const { info, spans } = await readBack(failed);
  assert.equal(info.state, 'ERROR');
  assert.equal(spans.length, 2);
  const reply = await fetch(`${server}/api/3.0/mlflow/traces/get?trace_id=${fine}&allow_partial=true`);
  assert.equal(reply.status, 404);
});

test('a burst arrives whole', { skip }, async () => {
  const ids = await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      mlflow.withSpan(
        async (span) => {
          await mlflow.withSpan(() => i, { name: 'child' });
          return span.traceId;
        },
        { name: `burst ${i}` },
      ),
    ),
  );
  assert.equal(await mlflow.flushTraces(60_000), 0);
  for (const id of ids) assert.equal((await readBack(id)).spans.length, 2);
});
