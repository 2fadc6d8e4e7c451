// What the vectors of tests/vectors describe: values, programs, and the traces that these leave.
import { readFileSync } from 'node:fs';
import { mlflow } from './engine.mjs';

// Nanoseconds are more than a JavaScript number holds.
export const parse = (text) => JSON.parse(text.replace(/((?:_unix_nano|_ns)":\s*)(\d+)/g, '$1"$2"'));

/** The vectors of a file, without those that Node is an exception to. */
export const load = (name) =>
  parse(readFileSync(new URL(`../../../../tests/vectors/${name}`, import.meta.url), 'utf8')).filter(
    (vector) => !vector.except?.includes('node'),
  );

/** The value that is described. */
export function build(description) {
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

export const members = ({ attributes = {} }) =>
  Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, build(value)]));

/** Runs the steps of a program; what they record is one trace. */
export function run(steps, spans = {}, parent = null) {
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
export function comparable({ info, spans }) {
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
