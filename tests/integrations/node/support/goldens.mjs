// The traces that MLflow's own integrations stored for the same calls in Python, as they should be here.
import { readFileSync } from 'node:fs';
import { withoutNulls } from './traces.mjs';

const USAGE = 'mlflow.chat.tokenUsage';

/** What MLflow stored, and whether anything of it is to be otherwise here. */
export function golden(library, name) {
  const file = new URL(`../../golden/${library}/${name}.json`, import.meta.url);
  const { traces, raised } = JSON.parse(readFileSync(file, 'utf8'));
  return { raised, trees: traces.map(({ spans }) => expected(spans[0])) };
}

/**
 * The rules of deviations.py, for one span and those below it: no chunk events, tokens on leaves, no headers; and what is
 * spelled otherwise in JavaScript: errors have another text, and all clients are asynchronous.
 */
function expected(span) {
  const tree = structuredClone(span);
  tree.name = tree.name.replace(/^Async/, '');
  delete tree.attributes['mlflow.llm.cost'];
  delete tree.message;
  tree.events = withoutStack(tree.events).filter(({ name }) => !name.startsWith('mlflow.chunk.'));
  for (const part of [tree.inputs, tree.attributes]) {
    for (const [key, value] of Object.entries(part ?? {})) {
      if (key === 'extra_headers' || value === 'NOT_GIVEN' || String(value).startsWith('<openai.'))
        delete part[key];
    }
  }
  delete tree.inputs?.config?.http_options;
  delete tree.outputs?.sdk_http_response;
  // Settings and results that only Python's library adds by itself.
  delete tree.inputs?.config?.automatic_function_calling;
  if (Object.keys(tree.inputs?.config ?? { any: 1 }).length === 0) delete tree.inputs.config;
  if (tree.outputs?.automatic_function_calling_history?.length === 0) {
    delete tree.outputs.automatic_function_calling_history;
  }
  for (const { function: tool } of tree.attributes['mlflow.chat.tools'] ?? []) {
    if (tool.parameters !== undefined) tool.parameters.type ??= 'object';
  }
  if (tree.children !== undefined) {
    tree.children = inOrder(tree.children.map(expected));
    if (tree.children.some(counts)) delete tree.attributes[USAGE];
  }
  return withoutNulls(tree);
}

function counts({ attributes, children = [] }) {
  return USAGE in attributes || children.some(counts);
}

/** Siblings have no order of their own: those that run in parallel differ from run to run. */
function inOrder(trees) {
  const keyed = trees.map((tree) => [JSON.stringify(sorted(tree)), tree]);
  return keyed.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, tree]) => tree);
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

function withoutStack(events = []) {
  // The message of an error is the library's, whose wording differs by language.
  return events.map(({ name, attributes }) => ({
    name,
    type: attributes['exception.type'],
  }));
}

/** A tree of ours as it would be in Python, for a comparison with `golden`. */
export function asInPython(tree, { spelling = (value) => value } = {}) {
  const { message: _, events, inputs, outputs, children, name, ...rest } = tree;
  return withoutNulls({
    ...rest,
    name: spelling(name),
    inputs: renamed(inputs, spelling),
    outputs: renamed(outputs, spelling),
    events: withoutStack(events),
    children: children && inOrder(children.map((child) => asInPython(child, { spelling }))),
  });
}

function renamed(value, spelling) {
  if (Array.isArray(value)) return value.map((item) => renamed(item, spelling));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [spelling(key), renamed(member, spelling)]),
  );
}
