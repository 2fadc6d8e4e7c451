// What programs read and say about traces: on a real MLflow server, whose base URL is in MLFLOW_TRACE_TEST_SERVER.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { mlflow } from './support/engine.mjs';

const server = process.env.MLFLOW_TRACE_TEST_SERVER?.replace(/\/$/, '');
const skip = server === undefined && 'MLFLOW_TRACE_TEST_SERVER is not set';
const experimentName = `node-client-${process.pid}-${Date.now()}`;
const client = new mlflow.MlflowClient({ trackingUri: server });
const UNKNOWN = `tr-${'0'.repeat(31)}1`;
let experimentId;

before(async () => {
  if (server === undefined) return;
  experimentId = await client.createExperiment(experimentName, undefined, { team: 'a' });
  mlflow.init({ trackingUri: server, experimentId, batchDelayMs: 0 });
});

/** Records a trace with a child; gives its root. */
function record(name, tags = {}) {
  return mlflow.withSpan(
    (root) => {
      mlflow.updateCurrentTrace({ tags });
      mlflow.withSpan(() => 'found', { name: 'child', spanType: 'RETRIEVER', inputs: { n: 2n ** 60n } });
      return root;
    },
    { name, inputs: { question: 'ü' } },
  );
}

const rejectsWith = (kind, message = /./, more = {}) =>
  Object.assign((error) => {
    assert.ok(error instanceof mlflow.MlflowError, String(error));
    assert.equal(error.kind, kind, error.message);
    const screaming = kind.replace(/(?<=.)([A-Z])/g, '_$1').toUpperCase();
    assert.equal(error.code, `ERR_MLFLOW_TRACE_${screaming}`);
    assert.match(error.message, message);
    for (const [name, value] of Object.entries(more)) assert.deepEqual(error[name], value, name);
    return true;
  });

test('a trace is delivered before it is read', { skip }, async () => {
  const root = record('read', { env: 'prod' });
  const trace = await client.getTrace(root.traceId);
  assert.ok(trace instanceof mlflow.Trace);
  assert.deepEqual(trace.data.spans.map((span) => span.name).sort(), ['child', 'read']);
  const child = trace.data.spans.find((span) => span.name === 'child');
  assert.equal(child.outputs, 'found');
  assert.equal(child.spanType, 'RETRIEVER');
  const read = trace.data.spans.find((span) => span.name === 'read');
  assert.equal(read.startTimeNs, root.startTimeNs);
  assert.equal(read.endTimeNs, root.endTimeNs);
  // The server marks a trace when its spans come, which may be between two reads.
  await mlflow.flushTraces();
  const info = await client.getTraceInfo(root.traceId);
  assert.ok(info instanceof mlflow.TraceInfo);
  assert.deepEqual(info.toJson(), (await client.getTrace(root.traceId)).info.toJson());
  assert.equal(info.experimentId, experimentId);
  assert.equal(info.tags.env, 'prod');
  assert.equal(info.state, 'OK');
  assert.ok(info.executionDuration >= 0);
  const [again, ...rest] = await client.getTraces([UNKNOWN, root.traceId]);
  assert.equal(again.info.traceId, root.traceId);
  assert.deepEqual(rest, []);
});

test('searches go by filter, order and page', { skip }, async () => {
  const ids = ['a', 'b', 'c'].map((tag) => record(`search ${tag}`, { search: 'me' }).traceId);
  await mlflow.flushTraces();
  const filter = "tags.search = 'me'";
  const found = [];
  let pageToken;
  do {
    const page = await client.searchTraces({
      experimentIds: [experimentId],
      filter,
      orderBy: ['timestamp ASC'],
      maxResults: 2,
      pageToken,
    });
    assert.ok(page.traces.length <= 2);
    found.push(...page.traces);
    pageToken = page.nextPageToken;
  } while (pageToken !== undefined);
  assert.ok(found.every((info) => info instanceof mlflow.TraceInfo));
  assert.deepEqual(found.map((info) => info.traceId).sort(), [...ids].sort());
  const whole = [];
  for await (const trace of client.iterateTraces({ locations: [experimentId], filter, maxResults: 1 })) {
    assert.equal(trace.data.spans.length, 2);
    whole.push(trace.info.traceId);
  }
  assert.deepEqual(whole.sort(), [...ids].sort());
  for await (const trace of client.iterateTraces({ locations: [experimentId], filter, maxResults: 1 })) {
    assert.ok(trace);
    break;
  }
  await assert.rejects(
    client.searchTraces({ experimentIds: [experimentId], filter: 'no = such' }),
    rejectsWith('InvalidFilter', /no|such|filter/i, {
      status: 400,
      statusText: 'Bad Request',
      errorCode: 'INVALID_PARAMETER_VALUE',
      name: 'MlflowHttpError',
    }),
  );
  await assert.rejects(client.searchTraces({}), rejectsWith('InvalidFilter', /experiment/));
});

test('tags are set and deleted, also while the trace is recorded', { skip }, async () => {
  const { traceId } = await mlflow.withSpan(
    async (span) => {
      await client.setTraceTag(span.traceId, 'open', 'yes');
      await client.setTraceTag(span.traceId, 'gone', 'yes');
      await client.deleteTraceTag(span.traceId, 'gone');
      await client.logFeedback({ traceId: span.traceId, name: 'early', value: true });
      return span;
    },
    { name: 'tags' },
  );
  const { tags, assessments } = await client.getTraceInfo(traceId);
  assert.equal(tags.open, 'yes');
  assert.equal(tags.gone, undefined);
  assert.deepEqual(
    assessments.map(({ name, value }) => [name, value]),
    [['early', true]],
  );
  await client.setTraceTag(traceId, 'late', 'ü');
  assert.equal((await client.getTraceInfo(traceId)).tags.late, 'ü');
  await client.deleteTraceTag(traceId, 'late');
  assert.equal((await client.getTraceInfo(traceId)).tags.late, undefined);
  await assert.rejects(client.deleteTraceTag(traceId, 'late'), mlflow.MlflowHttpError);
  await assert.rejects(
    client.setTraceTag(traceId, 'mlflow.user', 'eve'),
    rejectsWith('InvalidArgument', /immutable/),
  );
});

test('feedback and expectations go through their life', { skip }, async () => {
  const { traceId, spanId } = record('assessed');
  const values = [true, 0.5, 'fine', [1, 'a'], { a: { b: [null] } }];
  for (const value of values) {
    const feedback = await client.logFeedback({ traceId, name: 'quality', value, rationale: 'why not' });
    assert.ok(mlflow.isFeedback(feedback));
    const stored = await client.getAssessment(traceId, feedback.assessmentId);
    assert.deepEqual(stored.value, value);
    assert.equal(stored.source.sourceType, 'CODE');
    await client.deleteAssessment(traceId, feedback.assessmentId);
  }
  const failed = await client.logFeedback({ traceId, name: 'judge', error: new RangeError('too long') });
  assert.deepEqual([failed.error.errorCode, failed.error.errorMessage], ['RangeError', 'too long']);
  const source = { sourceType: 'AI_JUDGE', sourceId: 'small' };
  const first = await client.logFeedback(
    new mlflow.Feedback({ traceId, spanId, name: 'tone', value: 'rude', source, metadata: { a: 'b' } }),
  );
  assert.deepEqual(first.source, { sourceType: 'LLM_JUDGE', sourceId: 'small' });
  assert.equal(first.spanId, spanId);
  const updated = await client.updateAssessment(
    traceId,
    first.assessmentId,
    new mlflow.Feedback({ name: 'tone', value: 'kind', rationale: 'read again', metadata: { c: 'd' } }),
  );
  assert.deepEqual(
    [updated.value, updated.rationale, updated.metadata],
    ['kind', 'read again', { a: 'b', c: 'd' }],
  );
  assert.equal(updated.source.sourceType, 'LLM_JUDGE');
  const human = await client.overrideFeedback(traceId, first.assessmentId, {
    value: 'dry',
    source: { sourceType: 'HUMAN', sourceId: 'ann' },
  });
  assert.deepEqual(
    [human.name, human.spanId, human.overrides, human.valid],
    ['tone', spanId, first.assessmentId, true],
  );
  assert.equal((await client.getAssessment(traceId, first.assessmentId)).valid, false);
  const expected = await client.logExpectation({ traceId, name: 'answer', value: { answer: 42 } });
  assert.ok(mlflow.isExpectation(expected));
  assert.deepEqual([expected.value, expected.source.sourceType], [{ answer: 42 }, 'HUMAN']);
  await assert.rejects(
    client.overrideFeedback(traceId, expected.assessmentId, { value: 1 }),
    rejectsWith('InvalidArgument', /not a feedback/),
  );
  const { assessments } = await client.getTraceInfo(traceId);
  assert.deepEqual(assessments.map(({ name }) => name).sort(), ['answer', 'judge', 'tone', 'tone']);
  await client.deleteAssessment(traceId, 'a-0');
});

test('experiments are made, found and deleted', { skip }, async () => {
  const found = await client.getExperimentByName(experimentName);
  assert.deepEqual(await client.getExperiment(experimentId), found);
  assert.deepEqual(
    [found.experimentId, found.name, found.lifecycleStage, found.tags],
    [experimentId, experimentName, 'active', { team: 'a' }],
  );
  assert.equal(await client.getExperimentByName('no such'), null);
  assert.equal(await client.getExperiment('999999'), null);
  await assert.rejects(
    client.createExperiment(experimentName),
    rejectsWith('Rejected', /already exists/, { status: 400, errorCode: 'RESOURCE_ALREADY_EXISTS' }),
  );
  const other = await client.createExperiment(`${experimentName}-other`);
  await client.deleteExperiment(other);
  assert.equal((await client.getExperiment(other)).lifecycleStage, 'deleted');
  const names = async (viewType) => {
    const filter = `name LIKE '${experimentName}%'`;
    const { experiments } = await client.searchExperiments({ viewType, filter, orderBy: ['name ASC'] });
    return experiments.map(({ name }) => name);
  };
  assert.deepEqual(await names(), [experimentName]);
  assert.deepEqual(await names(mlflow.ViewType.DELETED_ONLY), [`${experimentName}-other`]);
  assert.deepEqual(await names(mlflow.ViewType.ALL), [experimentName, `${experimentName}-other`]);
  const page = await client.searchExperiments({ viewType: 'ALL', maxResults: 1 });
  assert.equal(typeof page.nextPageToken, 'string');
});

test('a trace is made from parts, and copied', { skip }, async () => {
  const original = await client.getTrace(record('original', { kept: 'yes' }).traceId);
  const target = await client.createExperiment(`${experimentName}-copies`);
  const { traceId } = original.info;
  await client.deleteTraces(experimentId, { traceIds: [traceId] });
  const imported = await client.importTrace(original, target);
  assert.equal(imported.traceId, traceId);
  await client.importTrace(original, target);
  const copy = await client.getTrace(traceId);
  assert.equal(copy.info.experimentId, target);
  assert.equal(copy.info.tags.kept, 'yes');
  const byId = (trace) =>
    trace.data.spans.map((span) => span.toJson()).sort((a, b) => (a.span_id < b.span_id ? -1 : 1));
  assert.deepEqual(byId(copy), byId(original));

  const id = `tr-${'5'.repeat(24)}${String(Date.now()).slice(-8)}`;
  const json = { ...original.info.toJson(), trace_id: id, tags: { made: 'by hand' } };
  const created = await client.createTrace(mlflow.TraceInfo.fromJson(json));
  assert.equal(created.traceId, id);
  await client.uploadTraceData(created, original.data);
  const made = await client.getTrace(id);
  assert.equal(made.info.tags.made, 'by hand');
  assert.deepEqual(byId(made), byId(original));
  await client.exportOtlpSpans(target, new Uint8Array());
  await assert.rejects(client.exportOtlpSpans(target, new Uint8Array([255])), mlflow.MlflowError);
});

test('traces are deleted by id and by age', { skip }, async () => {
  const ids = [1, 2, 3].map((number) => record(`deleted ${number}`).traceId);
  await mlflow.flushTraces();
  assert.equal(await client.deleteTraces(experimentId, { traceIds: ids.slice(0, 1) }), 1);
  await assert.rejects(
    client.getTraceInfo(ids[0]),
    rejectsWith('NotFound', /./, {
      status: 404,
      statusText: 'Not Found',
      errorCode: 'RESOURCE_DOES_NOT_EXIST',
    }),
  );
  const target = await client.createExperiment(`${experimentName}-aged`);
  await client.importTrace(await client.getTrace(ids[1]), target);
  assert.equal(await client.deleteTraces(target, { maxTimestampMillis: Date.now(), maxTraces: 5 }), 1);
});

test('traces become part of a run', { skip }, async () => {
  const { traceId } = record('of a run');
  await mlflow.flushTraces();
  const reply = await fetch(`${server}/api/2.0/mlflow/runs/create`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ experiment_id: experimentId, start_time: Date.now() }),
  });
  const runId = (await reply.json()).run.info.run_id;
  await client.linkTracesToRun([traceId], runId);
  const { traces } = await client.searchTraces({ locations: [experimentId], runId });
  assert.deepEqual(
    traces.map((info) => info.traceId),
    [traceId],
  );
});

test('attachments are stored and read', { skip }, async () => {
  const content = Buffer.from([0, 255, 1, 2]);
  const { traceId } = mlflow.withSpan(
    (span) => {
      span.setInputs({ image: new mlflow.Attachment('image/png', content) });
      return span;
    },
    { name: 'attached' },
  );
  const { data } = await client.getTrace(traceId);
  const [, id] = /mlflow-attachment:\/\/([^?"]+)/.exec(JSON.stringify(data.spans[0].inputs));
  assert.deepEqual(await client.downloadAttachment(traceId, id), content);
  await client.uploadAttachment(traceId, 'mine', new Uint8Array([7, 8]));
  assert.deepEqual(await client.downloadAttachment(traceId, 'mine'), Buffer.from([7, 8]));
});

test('many calls at once all come back', { skip }, async () => {
  const { traceId } = record('many');
  await mlflow.flushTraces();
  const infos = await Promise.all(Array.from({ length: 40 }, () => client.getTraceInfo(traceId)));
  assert.ok(infos.every((info) => info.traceId === traceId));
});
