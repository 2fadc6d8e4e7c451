// The API of MLflow's TypeScript SDK, row by row; what each row does in depth is in the file of its noun.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import { mlflow, takeTrace, takeTraces, useMemory } from './support/engine.mjs';

beforeEach(async () => {
  useMemory();
  await takeTraces();
});

/** Runs `run` with these variables of the environment and no others of MLflow and Databricks. */
async function withEnvironment(variables, run) {
  const before = { ...process.env };
  for (const name of Object.keys(process.env)) {
    if (/^(MLFLOW|DATABRICKS)_/.test(name)) delete process.env[name];
  }
  Object.assign(process.env, { MLFLOW_TRACE_QUIET: 'true' }, variables);
  try {
    return await run();
  } finally {
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

test('init takes an object, the environment, or nothing', async () => {
  await withEnvironment({ MLFLOW_TRACKING_URI: 'nonsense' }, () => {
    assert.throws(() => mlflow.init(), /tracking_uri|MLFLOW_TRACKING_URI/);
    mlflow.init({ trackingUri: 'http://127.0.0.1:9', experimentId: '1' });
  });
  await withEnvironment({ MLFLOW_TRACKING_URI: 'http://127.0.0.1:9', MLFLOW_EXPERIMENT_ID: 'x y' }, () => {
    assert.throws(() => mlflow.init(), { code: 'ERR_MLFLOW_TRACE_INVALID_CONFIG' });
  });
  await withEnvironment({ MLFLOW_TRACE_EXPORTER: 'memory', MLFLOW_EXPERIMENT_ID: '7' }, async () => {
    mlflow.init();
    mlflow.startSpan({ name: 'from the environment' }).end();
    assert.equal((await takeTrace()).info.trace_location.mlflow_experiment.experiment_id, '7');
    mlflow.init({ experimentId: 8 });
    mlflow.startSpan({ name: 'an option wins' }).end();
    assert.equal((await takeTrace()).info.trace_location.mlflow_experiment.experiment_id, '8');
  });
  for (const [options, named] of [
    [{ trackingUri: 'ftp://x' }, /trackingUri/],
    [{ trackingUri: {} }, /trackingUri/],
    [{ traceLocation: { catalogName: 'a' } }, /traceLocation/],
    [null, /init/],
  ]) {
    assert.throws(() => mlflow.init(options), { code: 'ERR_MLFLOW_TRACE_INVALID_CONFIG', message: named });
  }
});

test('init may be called again: later traces go where it says', async () => {
  const bodies = { a: 0, b: 0 };
  const servers = await Promise.all(
    Object.keys(bodies).map(async (name) => {
      const server = createServer((request, response) => {
        request.resume().on('end', () => {
          if (request.url.endsWith('/v1/traces')) bodies[name]++;
          response.writeHead(200).end(request.url === '/version' ? '3.17.2' : '{}');
        });
      });
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  for (const server of servers) {
    mlflow.init({
      trackingUri: `http://127.0.0.1:${server.address().port}`,
      experimentId: '1',
      exportTraceInfo: 'spans_only',
    });
    mlflow.startSpan({ name: 'x' }).end();
    await mlflow.flushTraces(5000);
  }
  useMemory();
  servers.forEach((server) => {
    server.close();
    server.closeAllConnections();
  });
  assert.deepEqual(bodies, { a: 1, b: 1 });
});

test('startSpan is not active, but is a child of what is', async () => {
  const outer = mlflow.withSpan(
    (span) => {
      const child = mlflow.startSpan({
        name: 'child',
        spanType: mlflow.SpanType.MEMORY,
        inputs: { zero: 0, empty: '', no: false },
        attributes: { a: 1 },
        startTimeNs: 1_700_000_000_000_000_001n,
      });
      assert.equal(mlflow.getCurrentActiveSpan(), span);
      mlflow.startSpan({ name: 'grandchild', parent: child }).end();
      child.end({ outputs: 0, attributes: { b: 2 }, status: 'OK', endTimeNs: 1_700_000_000_000_000_009n });
      return span;
    },
    { name: 'outer' },
  );
  const { byName } = await takeTrace();
  assert.equal(byName.child.parent_span_id, byName.outer.span_id);
  assert.equal(byName.grandchild.parent_span_id, byName.child.span_id);
  assert.deepEqual(byName.child.inputs, { zero: 0, empty: '', no: false });
  assert.equal(byName.child.outputs, 0);
  assert.equal(byName.child.attributes['mlflow.spanStartTimeNs'], Number(1_700_000_000_000_000_001n));
  assert.equal(outer.status.statusCode, mlflow.SpanStatusCode.OK);
});

test('withSpan gives what its callback gives, sync or not, and rethrows', async () => {
  assert.equal(
    mlflow.withSpan(() => null),
    null,
  );
  assert.deepEqual(await mlflow.withSpan(async () => ({ a: 1 })), { a: 1 });
  const failure = new RangeError('no');
  assert.throws(
    () =>
      mlflow.withSpan(() => {
        throw failure;
      }),
    (error) => error === failure,
  );
  await assert.rejects(
    mlflow.withSpan(() => Promise.reject(failure)),
    (error) => error === failure,
  );
  mlflow.withSpan((span) => (span.setOutputs('set'), 'returned'));
  const spans = (await takeTraces()).map(({ spans: [span] }) => span);
  assert.deepEqual(new Set(spans.map(({ name }) => name)), new Set(['span']));
  assert.deepEqual(
    spans.filter(({ status }) => status.code === 'STATUS_CODE_ERROR').map(({ events }) => events[0].name),
    ['exception', 'exception'],
  );
  assert.ok(spans.some(({ outputs }) => outputs === 'set'));
  assert.ok(spans.some(({ outputs }) => outputs?.a === 1));
});

test('trace wraps functions of every kind and keeps what they are', async () => {
  async function* letters(count) {
    for (let i = 0; i < count; i++) yield String.fromCharCode(97 + i);
  }
  function named(a, { b }, ...rest) {
    return [a, b, rest, this?.me];
  }
  named.own = 1;
  const traced = mlflow.trace(named, { spanType: 'TOOL', attributes: { x: 1 } });
  assert.deepEqual([traced.name, traced.length, traced.own], ['named', 2, 1]);
  assert.deepEqual(traced.call({ me: 'me' }, 1, { b: 2 }, 3, 4), [1, 2, [3, 4], 'me']);
  assert.equal(mlflow.trace((n) => n * 2)(2), 4);
  assert.equal(await mlflow.trace(async (n) => n, { name: 'later' })(3), 3);
  const seen = [];
  for await (const letter of mlflow.trace(letters)(2)) seen.push(letter);
  assert.deepEqual(seen, ['a', 'b']);
  const byName = Object.fromEntries((await takeTraces()).map(({ spans: [span] }) => [span.name, span]));
  assert.deepEqual(Object.keys(byName).sort(), ['anonymous', 'later', 'letters', 'named']);
  assert.deepEqual(byName.named.inputs, { a: 1, arg1: { b: 2 }, rest: [3, 4] });
  assert.equal(byName.named.attributes['mlflow.spanType'], 'TOOL');
  assert.deepEqual(byName.letters.outputs, ['a', 'b']);
});

test('the active span, the last trace, and changes to the trace', async () => {
  assert.equal(mlflow.getCurrentActiveSpan(), null);
  const id = mlflow.withSpan((span) => {
    mlflow.getCurrentActiveSpan()?.setAttribute('found', true);
    mlflow.updateCurrentTrace({
      tags: { a: 'b', n: 1 },
      metadata: { m: 'm' },
      clientRequestId: 'req-1',
      requestPreview: 'asked',
      responsePreview: 'said',
      sessionId: 's',
      user: 'u',
    });
    assert.doesNotThrow(() => mlflow.updateCurrentTrace({ requestPreview: 5 }));
    mlflow.updateCurrentTrace({ requestPreview: 'asked' });
    return span.traceId;
  });
  assert.equal(mlflow.getLastActiveTraceId(), id);
  assert.equal(await mlflow.flushTraces(), 0);
  const { info, spans } = await takeTrace();
  assert.equal(spans[0].attributes.found, true);
  assert.deepEqual([info.tags.a, info.tags.n, info.client_request_id], ['b', '1', 'req-1']);
  assert.deepEqual([info.request_preview, info.response_preview], ['asked', 'said']);
  assert.equal(info.trace_metadata.m, 'm');
  assert.equal(info.trace_metadata['mlflow.trace.session'], 's');
  assert.equal(info.trace_metadata['mlflow.trace.user'], 'u');
  mlflow.diagnostics();
  mlflow.updateCurrentTrace({ tags: { a: 'b' } });
  assert.match(mlflow.diagnostics().join(), /without an active span/);
});

test('session and user reach the trace of a span that startSpan made', async () => {
  const span = mlflow.startSpan({ name: 'long-lived' });
  mlflow.updateCurrentTrace({ sessionId: 's', user: 'u' }, span);
  span.end();
  const { info } = await takeTrace();
  assert.equal(info.trace_metadata['mlflow.trace.session'], 's');
});

test('hooks see spans start and end, may change them, and can be taken back', async () => {
  const seen = [];
  const takeBack = [
    mlflow.registerOnSpanStartHook((span) => seen.push(`start ${span.name}`)),
    mlflow.registerOnSpanEndHook((span) => span.setAttribute('at the end', true)),
  ];
  mlflow.withSpan(() => undefined, { name: 'hooked' });
  takeBack.forEach((back) => back());
  mlflow.withSpan(() => undefined, { name: 'not hooked' });
  const spans = (await takeTraces()).map(({ spans: [span] }) => span);
  assert.deepEqual(seen, ['start hooked']);
  const hooked = spans.find(({ name }) => name === 'hooked');
  assert.equal(hooked.attributes['at the end'], true);
  assert.throws(() => mlflow.registerOnSpanEndHook('x'), TypeError);
});

test('log levels follow from types, and exceptions raise them', async () => {
  for (const spanType of ['LLM', 'CHAT_MODEL', 'TOOL', 'RETRIEVER', 'AGENT', 'EMBEDDING', 'PARSER', 'MINE']) {
    mlflow.startSpan({ name: spanType, spanType }).end();
  }
  for (const [name, level] of [
    ['failed', undefined],
    ['critical', ' critical '],
  ]) {
    const span = mlflow.startSpan({ name, spanType: 'LLM' });
    if (level) span.setLogLevel(level);
    span.recordException(new Error('x'));
    span.end();
  }
  const levels = Object.fromEntries(
    (await takeTraces()).map(({ spans: [span] }) => [span.name, span.attributes['mlflow.spanLogLevel']]),
  );
  assert.deepEqual(levels, {
    ...Object.fromEntries(
      ['LLM', 'CHAT_MODEL', 'TOOL', 'RETRIEVER', 'AGENT', 'EMBEDDING'].map((n) => [n, 20]),
    ),
    PARSER: 10,
    MINE: 10,
    failed: 40,
    critical: 50,
  });
  assert.equal(mlflow.toSpanLogLevel(' warning '), mlflow.SpanLogLevel.WARNING);
  assert.equal(mlflow.toSpanLogLevel(40), 40);
  for (const wrong of ['WARN', 15, null]) assert.throws(() => mlflow.toSpanLogLevel(wrong), RangeError);
});

test('events and links are entities or objects like them', async () => {
  const other = mlflow.startSpan({ name: 'other', parent: null });
  const span = mlflow.startSpan({ name: 'linked', parent: null });
  span.addEvent(new mlflow.SpanEvent({ name: 'tick', attributes: { a: 1 }, timestamp: 5n }));
  span.addLink(new mlflow.SpanLink({ traceId: other.traceId, spanId: other.spanId, attributes: null }));
  assert.ok(span.events[0] instanceof mlflow.SpanEvent);
  assert.ok(span.links[0] instanceof mlflow.SpanLink);
  assert.equal(span.links[0].traceId, other.traceId);
  span.end();
  other.end();
  assert.equal((await takeTraces()).length, 2);
});

test('what arrives reads back as a Trace', async () => {
  const usage = { input_tokens: 1, output_tokens: 2, total_tokens: 3 };
  const root = mlflow.startSpan({ name: 'root', spanType: 'LLM', inputs: { q: [1] } });
  const child = mlflow.startSpan({ name: 'child', parent: root });
  child.setAttribute(mlflow.SpanAttributeKey.TOKEN_USAGE, usage);
  child.addEvent('e', { n: 1 });
  child.end({ status: { statusCode: mlflow.SpanStatusCode.ERROR, description: 'bad' } });
  root.end({ outputs: 'text' });
  await mlflow.flushTraces();
  const { createRequire } = await import('node:module');
  const { native } = createRequire(import.meta.url)('../dist/native.js');
  const [text] = native().memoryTraces();
  const { info, spans } = JSON.parse(text);
  const numbers = /"start_time_unix_nano":\s*(\d+)/.exec(text)[1];
  const trace = mlflow.Trace.fromJson(text.replace(/"spans":/, '"data":{"spans":').replace(/\}$/, '}}'));
  assert.equal(trace.info.traceId, root.traceId);
  assert.equal(trace.info.state, mlflow.TraceState.OK);
  assert.equal(trace.info.traceLocation.type, mlflow.TraceLocationType.MLFLOW_EXPERIMENT);
  assert.deepEqual(trace.info.tokenUsage, usage);
  assert.equal(trace.info.tags[mlflow.TraceTagKey.TRACE_NAME], 'root');
  assert.equal(trace.data.spans.length, spans.length);
  assert.ok(trace.data.spans.some((span) => String(span.startTimeNs) === numbers));
  const found = trace.data.spans.find(({ name }) => name === 'child');
  assert.equal(found.traceId, root.traceId);
  assert.equal(found.spanId, child.spanId);
  assert.equal(found.parentId, root.spanId);
  assert.deepEqual(found.status, { statusCode: mlflow.SpanStatusCode.ERROR, description: 'bad' });
  assert.deepEqual(found.getAttribute(mlflow.SpanAttributeKey.TOKEN_USAGE), usage);
  assert.deepEqual(found.events[0].attributes, { n: 1 });
  const first = trace.data.spans.find(({ name }) => name === 'root');
  assert.deepEqual(
    [first.inputs, first.outputs, first.spanType, first.logLevel],
    [{ q: [1] }, 'text', 'LLM', 20],
  );
  assert.equal(first.startTimeNs, root.startTimeNs);
  assert.throws(() => {
    first.name = 'other';
  }, TypeError);
  const again = mlflow.Trace.fromJson(JSON.stringify(trace.toJson()));
  assert.deepEqual(again.toJson(), trace.toJson());
  assert.equal(again.info.requestTime, Date.parse(info.request_time));
});

test('spans of other versions of MLflow can be read', () => {
  const span = mlflow.Span.fromJson({
    trace_id: `tr-${'0a'.repeat(16)}`,
    span_id: '0b'.repeat(8),
    parent_span_id: '',
    name: 'old',
    start_time_unix_nano: '5',
    end_time_unix_nano: null,
    status: { code: 'OK' },
    attributes: { a: 'no JSON', b: { c: 1 } },
  });
  assert.deepEqual(
    [span.traceId, span.spanId, span.parentId],
    [`tr-${'0a'.repeat(16)}`, '0b'.repeat(8), null],
  );
  assert.deepEqual([span.startTimeNs, span.endTimeNs], [5n, null]);
  assert.equal(span.status.statusCode, mlflow.SpanStatusCode.OK);
  assert.deepEqual(span.attributes, { a: 'no JSON', b: { c: 1 } });
});

test('assessments have the defaults of MLflow', () => {
  const feedback = new mlflow.Feedback({ name: 'good', value: 0 });
  assert.ok(mlflow.isFeedback(feedback) && !mlflow.isExpectation(feedback));
  assert.deepEqual(feedback.source, { sourceType: 'CODE', sourceId: 'default' });
  assert.deepEqual(feedback.toJson().feedback, { value: 0 });
  const judged = new mlflow.Feedback({
    name: 'j',
    value: 1,
    source: { sourceType: 'AI_JUDGE', sourceId: 'm' },
  });
  assert.equal(judged.source.sourceType, mlflow.AssessmentSourceType.LLM_JUDGE);
  const failed = new mlflow.Feedback({
    name: 'f',
    error: { errorCode: 'E', stackTrace: 'x'.repeat(20_000) },
  });
  assert.equal(failed.error.stackTrace.length, 10_000);
  assert.equal(new mlflow.Feedback({ name: 'f', error: new RangeError('r') }).error.errorCode, 'RangeError');
  const expectation = new mlflow.Expectation({ name: 'e', value: { a: [1] } });
  assert.equal(expectation.source.sourceType, 'HUMAN');
  assert.deepEqual(expectation.toJson().expectation, {
    serialized_value: { serialization_format: 'JSON_FORMAT', value: '{"a":[1]}' },
  });
  for (const make of [
    () => new mlflow.Feedback({ name: 'nothing' }),
    () => new mlflow.Feedback({ value: 1 }),
    () => new mlflow.Feedback({ name: 'm', value: 1, metadata: { a: 1 } }),
    () => new mlflow.Feedback({ name: 's', value: 1, source: { sourceType: 'CAT' } }),
    () => new mlflow.Expectation({ name: 'nothing' }),
  ]) {
    assert.throws(make, TypeError);
  }
  const info = mlflow.TraceInfo.fromJson({
    trace_id: 'tr-1',
    trace_location: { type: 'MLFLOW_EXPERIMENT', mlflow_experiment: { experiment_id: '1' } },
    request_time: '2026-11-21T01:54:09.477Z',
    execution_duration: '0.118s',
    assessments: [feedback, failed, expectation].map((each) => each.toJson()),
  });
  assert.equal(info.executionDuration, 118);
  assert.deepEqual(info.assessments, [feedback, failed, expectation]);
});

test('locations in Unity Catalog are named as MLflow names them', () => {
  const location = mlflow.createTraceLocationFromUcTablePrefix('c', 's', 'p');
  assert.equal(location.type, mlflow.TraceLocationType.UC_TABLE_PREFIX);
  assert.equal(mlflow.getUcLocationString(location), 'c.s.p');
  assert.equal(mlflow.getUcLocationString(mlflow.createTraceLocationFromExperimentId('1')), null);
  assert.equal(mlflow.constructTraceIdV4('c.s.p', 'ab'), 'trace:/c.s.p/ab');
  assert.throws(() => mlflow.createTraceLocationFromUcTablePrefix('c', 's', ''), /tablePrefix/);
  const parts = { catalogName: 'c', schemaName: 's', tablePrefix: 'p' };
  assert.deepEqual(mlflow.parseUnityCatalogTraceLocation(' c. s .p'), parts);
  for (const wrong of ['a.b', 'a.b.', 'a.b.c.d', '', undefined]) {
    assert.equal(mlflow.parseUnityCatalogTraceLocation(wrong), null);
  }
});

test('authentication: basic before bearer, from options, URL and environment', async () => {
  const headers = (options) => mlflow.createAuthProvider(options).getHeadersProvider()();
  const trackingUri = 'https://mlflow.example/base/';
  const basic = `Basic ${Buffer.from('u:p').toString('base64')}`;
  await withEnvironment({}, async () => {
    const open = mlflow.createAuthProvider({ trackingUri });
    assert.equal(open.getHost(), 'https://mlflow.example/base');
    assert.equal(await open.getDatabricksToken(), undefined);
    assert.deepEqual(await headers({ trackingUri }), {});
    const both = { trackingServerUsername: 'u', trackingServerPassword: 'p', trackingServerToken: 't' };
    assert.deepEqual(await headers({ trackingUri, ...both }), { authorization: basic });
    assert.deepEqual(await headers({ trackingUri, trackingServerToken: 't' }), { authorization: 'Bearer t' });
    assert.deepEqual(await headers({ trackingUri: 'https://u:p@mlflow.example' }), { authorization: basic });
    assert.throws(() => mlflow.createAuthProvider(), /trackingUri/);
    assert.throws(
      () => mlflow.createAuthProvider({ trackingUri: 'ftp://u:secret@x' }),
      (error) => !error.message.includes('secret'),
    );
  });
  const variables = { MLFLOW_TRACKING_URI: trackingUri, MLFLOW_TRACKING_TOKEN: 'env' };
  await withEnvironment(variables, async () => {
    assert.deepEqual(await headers(), { authorization: 'Bearer env' });
  });
});

test('authentication of Databricks: options, profiles, service principals', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'mlflow-trace-'));
  t.after(() => rmSync(directory, { recursive: true }));
  let tokens = 0;
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.end(`{"access_token":"t${++tokens}","expires_in":3600}`));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const databricksConfigPath = join(directory, 'config');
  writeFileSync(
    databricksConfigPath,
    `# a comment\n[DEFAULT]\nhost = one.example\ntoken = a\n\n[robot]\nhost=http://127.0.0.1:${server.address().port}/\nclient_id = c\nclient_secret = s\n[empty]\n`,
  );
  await withEnvironment({}, async () => {
    const named = mlflow.createAuthProvider({
      trackingUri: 'databricks',
      host: 'h.example',
      databricksToken: 'k',
    });
    assert.deepEqual([named.getHost(), await named.getDatabricksToken()], ['https://h.example', 'k']);
    const byDefault = mlflow.createAuthProvider({ trackingUri: 'databricks', databricksConfigPath });
    assert.deepEqual(
      [byDefault.getHost(), await byDefault.getDatabricksToken()],
      ['https://one.example', 'a'],
    );
    const robot = mlflow.createAuthProvider({ trackingUri: 'databricks://robot', databricksConfigPath });
    assert.deepEqual(await robot.getHeadersProvider()(), { authorization: 'Bearer t1' });
    assert.equal(await robot.getDatabricksToken(), 't1');
    for (const profile of ['empty', 'absent']) {
      const trackingUri = `databricks://${profile}`;
      assert.throws(
        () => mlflow.createAuthProvider({ trackingUri, databricksConfigPath }),
        /no Databricks workspace/,
      );
    }
  });
});

test('headers, sampling, counters and health', async () => {
  assert.deepEqual(mlflow.getTracingContextHeaders(), {});
  const headers = mlflow.withSpan(() => mlflow.getTracingContextHeaders());
  const child = mlflow.withTracingContextFromHeaders(headers, () => mlflow.withSpan((span) => span));
  assert.equal(headers.traceparent.split('-')[1], child.traceId.slice(3));
  await mlflow.flushTraces();
  const { created, delivered, pending, dropped } = mlflow.stats();
  const lost = Object.values(dropped).reduce((sum, count) => sum + count, 0);
  assert.equal(created, delivered + pending + lost);
  const { circuit, lastError } = mlflow.health();
  assert.deepEqual([circuit, lastError], ['closed', undefined]);
  await takeTraces();
});

test('a span is closed by `using`', async () => {
  {
    const span = mlflow.startSpan({ name: 'used' });
    // What the statement `using` does at the end of its block; Node 20 cannot parse it.
    span[Symbol.dispose]();
    assert.notEqual(span.endTimeNs, null);
  }
  assert.equal((await takeTrace()).spans[0].name, 'used');
});

test('spans that record nothing are NoOpSpans', () => {
  mlflow.tracingContext({ enabled: false }, () => {
    const span = mlflow.startSpan({ name: 'off' });
    assert.ok(span instanceof mlflow.NoOpSpan);
    assert.equal(span.traceId, 'MLFLOW_NO_OP_SPAN_TRACE_ID');
  });
});
