// Traces as they are compared: no ids, no times, no nulls, siblings in order of their start.
import { createRequire } from 'node:module';
import * as mlflow from 'mlflow-trace';

process.env.MLFLOW_TRACE_QUIET = 'true';

const require = createRequire(new URL('../../../../bindings/node/', import.meta.url));
const { native } = require('./dist/native.js');

/** Said elsewhere in the tree, or different in every run, or by the server alone. */
const LEFT_OUT = [
  'mlflow.traceRequestId',
  'mlflow.spanInputs',
  'mlflow.spanOutputs',
  'mlflow.spanType',
  'mlflow.llm.cost',
];

export { mlflow };

export function recordInMemory() {
  mlflow.init({ exporter: 'memory', batchDelayMs: 0 });
}

/** The traces that arrived since the last call, each as the tree of its root; `count` of them are waited for. */
export async function takeTrees(count = 0) {
  const trees = [];
  for (let tries = 0; tries === 0 || (trees.length < count && tries < 100); tries++) {
    // What ends after the caller has its result, such as a stream whose body is closed.
    await new Promise((resolve) => setTimeout(resolve, 20));
    await mlflow.flushTraces(5000);
    trees.push(
      ...native()
        .memoryTraces()
        .map((text) => toTree(JSON.parse(text).spans)),
    );
  }
  return trees;
}

export function toTree(spans) {
  const nodes = new Map(spans.map((span) => [span.span_id, toNode(span)]));
  const sorted = [...spans].sort((a, b) =>
    BigInt(a.start_time_unix_nano) < BigInt(b.start_time_unix_nano) ? -1 : 1,
  );
  let root;
  for (const span of sorted) {
    const above = nodes.get(span.parent_span_id);
    if (above === undefined) root = nodes.get(span.span_id);
    else (above.children ??= []).push(nodes.get(span.span_id));
  }
  return root;
}

function toNode(span) {
  const attributes = Object.fromEntries(
    Object.entries(span.attributes).map(([key, value]) => [key, fromJson(value)]),
  );
  const node = {
    name: span.name,
    type: attributes['mlflow.spanType'],
    status: span.status.code.replace('STATUS_CODE_', ''),
    message: span.status.message || undefined,
    inputs: attributes['mlflow.spanInputs'],
    outputs: attributes['mlflow.spanOutputs'],
    attributes: Object.fromEntries(Object.entries(attributes).filter(([key]) => !LEFT_OUT.includes(key))),
    events: (span.events ?? []).map(({ name, attributes }) => ({
      name,
      attributes,
    })),
  };
  return withoutNulls(node);
}

/** Some exporters write text as it is. */
function fromJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The value without nulls and nothing in objects. */
export function withoutNulls(value) {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, member]) => member !== null && member !== undefined);
  return Object.fromEntries(entries.map(([key, member]) => [key, withoutNulls(member)]));
}

/** What is seen of a tree at a glance: `name [type] status`, and the tokens. */
export function outline({ name, type, status, attributes, children = [] }) {
  const usage = attributes['mlflow.chat.tokenUsage'];
  const tokens =
    usage === undefined ? '' : ` ${usage.input_tokens}+${usage.output_tokens}=${usage.total_tokens}`;
  return [
    `${name} [${type}] ${status}${tokens}`,
    ...children.flatMap((child) => outline(child).map((line) => `  ${line}`)),
  ];
}
