// The vectors of tests/vectors, which every language's suite reads.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { before, test } from 'node:test';
import { framesOf, mlflow, useMemory } from './support/engine.mjs';
import { build, comparable, load, parse, run } from './support/programs.mjs';
import { readFields } from './support/protobuf.mjs';

const { native } = createRequire(import.meta.url)('../dist/native.js');

before(useMemory);

/** The only trace that arrived, attributes as JSON text. */
async function takeTrace() {
  await mlflow.flushTraces(5000);
  const [text, ...more] = native().memoryTraces();
  assert.deepEqual(more, []);
  return parse(text);
}

/** Attributes compare as text, JSON inside of them as what it holds: numbers are spelt otherwise here. */
const comparableText = (text) => (/^[[{]/.test(text) ? JSON.parse(text) : text);

test('attributes are stored as MLflow stores them', async () => {
  const vectors = load('values.json');
  mlflow.withSpan(
    (span) => {
      for (const { name, value } of vectors) span.setAttribute(name, build(value));
    },
    { name: 'values' },
  );
  const { attributes } = (await takeTrace()).spans[0];
  for (const { name, text } of vectors) {
    assert.deepEqual(comparableText(attributes[name]), comparableText(text), name);
  }
});

test('attributes of events travel as MLflow sends them', async () => {
  const vectors = load('values.json');
  const frames = framesOf(() => {
    const span = mlflow.startSpan({ name: 'values', parent: null });
    for (const { name, value } of vectors) span.addEvent(name, { value: build(value) });
    span.end();
  });
  await takeTrace();
  const all = (message, number) =>
    readFields(message)
      .filter((field) => field[0] === number)
      .map((field) => field[2]);
  const span = frames.find((frame) => frame.kind === 2).payload;
  const sent = Object.fromEntries(
    all(span, 11).map((event) => {
      const [value] = all(all(event, 3)[0], 2);
      return [all(event, 2)[0].toString(), Buffer.from(value).toString('hex')];
    }),
  );
  for (const { name, otlp } of vectors) {
    if (otlp !== null) assert.equal(sent[name], otlp, name);
  }
});

for (const { name, steps, trace } of load('programs.json')) {
  test(`programs leave the traces that MLflow leaves: ${name}`, async () => {
    run(structuredClone(steps));
    const found = comparable(await takeTrace());
    assert.deepEqual(found, trace);
  });
}

test('headers carry the context that MLflow reads', () => {
  for (const { name, traceparent, tracestate, context } of load('headers.json')) {
    const headers = { traceparent, ...(tracestate === undefined ? {} : { tracestate }) };
    let found = null;
    mlflow.withTracingContextFromHeaders(headers, () => {
      mlflow.withSpan(
        (span) => {
          const onward = mlflow.getTracingContextHeaders();
          const [, trace_id, , flags] = onward.traceparent.split('-');
          const isSampled = flags !== '00';
          // A root has a trace of its own; of one that is not sampled only the trace is to be seen.
          if (isSampled ? span.parentId === null : trace_id !== context?.trace_id) return;
          found = {
            trace_id,
            span_id: isSampled ? span.parentId : context.span_id,
            flags: parseInt(flags, 16),
            tracestate: onward.tracestate ?? null,
          };
        },
        { name: 'child' },
      );
    });
    assert.deepEqual(found, context, name);
  }
});

for (const { name, inputs, outputs, previews } of load('previews.json')) {
  test(`previews are those that MLflow makes: ${name}`, async () => {
    await mlflow.flushTraces(5000);
    native().memoryTraces();
    mlflow.withSpan((span) => span.setOutputs(outputs), { name: 'preview', inputs });
    const { info } = await takeTrace();
    const spaced = (text) => text.replace(/\s/g, '');
    assert.deepEqual([info.request_preview, info.response_preview].map(spaced), previews.map(spaced));
  });
}
