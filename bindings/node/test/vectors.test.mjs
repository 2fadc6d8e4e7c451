// The vectors of tests/vectors, which every language's suite reads.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { before, test } from 'node:test';
import { framesOf, mlflow, useMemory } from './support/engine.mjs';
import { readFields } from './support/protobuf.mjs';

const { native } = createRequire(import.meta.url)('../dist/native.js');

before(useMemory);

// Nanoseconds are more than a JavaScript number holds.
const parse = (text) => JSON.parse(text.replace(/((?:_unix_nano|_ns)":\s*)(\d+)/g, '$1"$2"'));

const load = (name) =>
  parse(readFileSync(new URL(`../../../tests/vectors/${name}`, import.meta.url), 'utf8')).filter(
    (vector) => !vector.except?.includes('node'),
  );

/** The value that is described. */
function build(description) {
  const [[kind, content]] = Object.entries(description);
  switch (kind) {
    case 'int': {
      const number = Number(content);
      return Number.isSafeInteger(number) ? number : BigInt(content);
    }
    case 'double':
      return Number(content);
    case 'list':
      return content.map(build);
    case 'object':
      return Object.fromEntries(content.map(([key, item]) => [key, build(item)]));
    case 'nested': {
      const [[container, depth]] = Object.entries(content);
      let value = 'bottom';
      for (let i = 0; i < depth; i++) value = container === 'list' ? [value] : { k: value };
      return value;
    }
    default:
      return content;
  }
}

const members = ({ attributes = {} }) =>
  Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, build(value)]));

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

function run(steps, spans = {}, parent = null) {
  while (steps.length > 0) {
    const [[kind, content]] = Object.entries(steps.shift());
    if (kind === 'open') {
      mlflow.withSpan(
        (span) => {
          spans[content.name] = span;
          run(steps, spans, span);
        },
        { name: content.name, spanType: content.type, attributes: members(content) },
      );
    } else if (kind === 'close') {
      return;
    } else if (kind === 'start') {
      spans[content.name] = mlflow.startSpan({
        name: content.name,
        spanType: content.type,
        parent: spans[content.parent] ?? null,
        inputs: content.inputs && build(content.inputs),
        attributes: members(content),
        startTimeNs: content.start_ns && BigInt(content.start_ns),
      });
    } else if (kind === 'update') {
      mlflow.updateCurrentTrace({
        tags: content.tags,
        metadata: content.metadata,
        clientRequestId: content.client_request_id,
        sessionId: content.session_id,
        user: content.user,
        state: content.state,
        requestPreview: content.request_preview,
        responsePreview: content.response_preview,
      });
    } else {
      record(spans[content.span ?? content.name] ?? parent, kind, content);
    }
  }
}

function record(span, kind, content) {
  switch (kind) {
    case 'end':
      return span.end({
        outputs: content.outputs && build(content.outputs),
        status: content.status,
        endTimeNs: content.end_ns && BigInt(content.end_ns),
      });
    case 'attribute':
      return span.setAttribute(content.key, build(content.value));
    case 'inputs':
      return span.setInputs(build(content.value));
    case 'outputs':
      return span.setOutputs(build(content.value));
    case 'type':
      return span.setSpanType(content.value);
    case 'level':
      return span.setLogLevel(content.value);
    case 'event':
      return span.addEvent({
        name: content.name,
        attributes: members(content),
        timestamp: BigInt(content.time_ns),
      });
    case 'link':
      return span.addLink({
        traceId: content.trace_id,
        spanId: content.span_id,
        attributes: members(content),
      });
    case 'status':
      return span.setStatus(content.code, content.message);
    default:
      throw new Error(kind);
  }
}

// Programs give times in 2023.
const THIS_RUN = 1_750_000_000_000_000_000n;
const MACHINE = ['mlflow.user', 'mlflow.source.', 'mlflow.trace.size'];

/** A trace without what two runs cannot have in common. */
function comparable({ info, spans }) {
  const names = Object.fromEntries(spans.map((span) => [span.span_id, span.name]));
  const metadata = Object.entries(info.trace_metadata).filter(
    ([key]) => !MACHINE.some((prefix) => key.startsWith(prefix)),
  );
  return {
    state: info.state,
    client_request_id: info.client_request_id ?? null,
    request_preview: info.request_preview ?? null,
    response_preview: info.response_preview ?? null,
    tags: info.tags,
    metadata: Object.fromEntries(metadata),
    spans: Object.fromEntries(
      spans.map((span) => {
        const { 'mlflow.traceRequestId': _, ...attributes } = span.attributes;
        const { events, links, status, start_time_unix_nano: start } = span;
        const parent = names[span.parent_span_id] ?? null;
        const given = BigInt(start) < THIS_RUN ? { start_ns: start } : {};
        return [span.name, { parent, attributes, events, links, status, ...given }];
      }),
    ),
  };
}

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
