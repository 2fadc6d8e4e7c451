import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { spansIn, temporaryDirectory } from './support/child.mjs';

const require = createRequire(import.meta.url);

test('ESM and CommonJS export the same, and are the same', async () => {
  const esm = await import('mlflow-trace');
  const cjs = require('mlflow-trace');
  const names = Object.keys(esm).filter((name) => name !== 'module.exports');
  assert.deepEqual(
    names.sort(),
    Object.keys(cjs)
      .filter((name) => name !== '__esModule')
      .sort(),
  );
  for (const name of names) assert.equal(esm[name], cjs[name], name);
  assert.deepEqual(names, [
    'AssessmentSourceType',
    'Attachment',
    'Expectation',
    'Feedback',
    'MlflowClient',
    'MlflowError',
    'MlflowHttpError',
    'NoOpSpan',
    'Span',
    'SpanAttributeKey',
    'SpanEvent',
    'SpanLink',
    'SpanLogLevel',
    'SpanStatusCode',
    'SpanType',
    'TokenUsageKey',
    'Trace',
    'TraceData',
    'TraceInfo',
    'TraceLocationType',
    'TraceMetadataKey',
    'TraceState',
    'TraceTagKey',
    'ViewType',
    'constructTraceIdV4',
    'createAuthProvider',
    'createTraceLocationFromExperimentId',
    'createTraceLocationFromUcTablePrefix',
    'diagnostics',
    'flushTraces',
    'getCurrentActiveSpan',
    'getLastActiveTraceId',
    'getTracingContextHeaders',
    'getUcLocationString',
    'health',
    'init',
    'isExpectation',
    'isFeedback',
    'parseUnityCatalogTraceLocation',
    'registerOnSpanEndHook',
    'registerOnSpanStartHook',
    'startSpan',
    'stats',
    'toSpanLogLevel',
    'trace',
    'tracingContext',
    'updateCurrentTrace',
    'withSpan',
    'withTracingContextFromHeaders',
  ]);
});

test('the entry point for OpenTelemetry exports the same in both', async () => {
  const esm = await import('mlflow-trace/otel');
  const cjs = require('mlflow-trace/otel');
  for (const name of ['MlflowSpanExporter', 'MlflowSpanProcessor']) assert.equal(esm[name], cjs[name]);
  assert.equal(Object.keys(cjs).filter((name) => name !== '__esModule').length, 2);
});

const INTEGRATIONS = {
  openai: ['tracedOpenAI', 'untraced'],
  anthropic: ['tracedAnthropic', 'untraced'],
  gemini: ['tracedGemini', 'untraced'],
  langchain: ['MlflowCallbackHandler', 'enableLangchain'],
  'ai-sdk': ['enableAiSdk'],
  mastra: ['MlflowMastraExporter'],
  http: ['enableHttp'],
};
for (const [entry, names] of Object.entries(INTEGRATIONS)) {
  test(`the entry point ${entry} exports the same in both`, async () => {
    const esm = await import(`mlflow-trace/${entry}`);
    const cjs = require(`mlflow-trace/${entry}`);
    const found = Object.keys(esm).filter((name) => name !== 'module.exports');
    assert.deepEqual(found.sort(), names);
    for (const name of names) assert.equal(esm[name], cjs[name]);
    assert.equal(Object.keys(cjs).filter((name) => name !== '__esModule').length, names.length);
  });
}

test('the versions of package and engine agree', () => {
  const { native } = require('../dist/native.js');
  assert.equal(native().version(), require('mlflow-trace/package.json').version);
});

test('the quick start runs where the package is installed', (t) => {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(
    fileURLToPath(new URL('..', import.meta.url)),
    join(directory, 'node_modules', 'mlflow-trace'),
    'junction',
  );
  copyFileSync(
    new URL('../../../examples/node/quickstart.mjs', import.meta.url),
    join(directory, 'quickstart.mjs'),
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, ['quickstart.mjs'], {
    cwd: directory,
    env: { PATH: process.env.PATH },
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^trace tr-[0-9a-f]{32}, 0 spans pending\n$/);
  assert.deepEqual(
    spansIn(join(directory, 'mlflow-traces')).map((span) => span.name),
    ['search', 'answer'],
  );
});
