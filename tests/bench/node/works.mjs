// The work that is measured, the same for every library: see shared workloads in docs/bench/node.md.

export const CHILDREN = 10;
export const ATTRIBUTES = {
  model: 'gpt-4o-mini',
  provider: 'openai',
  region: 'europe-west-1',
  tenant: 'customer-00017',
  endpoint: '/v1/chat/completions',
  attempt: 1,
  shard: 7,
  limit: 1024,
  offset: 3,
  total: 123456789,
};
const TEXT = JSON.stringify({ text: 'x'.repeat(1000) });
const REQUEST = {
  model: 'gpt-4o-mini',
  temperature: 0.2,
  messages: [
    { role: 'system', content: 'You are a helpful assistant. '.repeat(10) },
    { role: 'user', content: 'What is the answer to the question of questions? '.repeat(12) },
  ],
};
const REPLY = {
  id: 'chatcmpl-123',
  choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: '42 '.repeat(270) } }],
  usage: { prompt_tokens: 120, completion_tokens: 260, total_tokens: 380 },
};

/**
 * What a library has to do:
 * `root()` starts and ends a root; `tree(fill)` makes a root with children that `fill` fills; `nested()` makes such a
 * tree of spans that are active; `attributes(span)`, `content(span, inputs, outputs)`; `traced(fn)` wraps a function.
 */
export function works(library) {
  const traced = library.traced(function add(a, b) {
    return a + b;
  });
  const tracedLater = library.traced(async function addLater(a, b) {
    return a + b;
  });
  const withContent = (inputs, outputs) => () =>
    library.tree((span) => {
      library.attributes(span);
      library.content(span, inputs, outputs);
    });
  return {
    W1: { run: () => library.root(), spans: 1 },
    W2: { run: () => library.tree((span) => library.attributes(span)), spans: CHILDREN + 1 },
    W3: { run: withContent(TEXT, TEXT), spans: CHILDREN + 1 },
    W3d: { run: withContent(REQUEST, REPLY), spans: CHILDREN + 1 },
    'nested active spans': { run: () => library.nested(), spans: CHILDREN + 1 },
    'traced function': { run: () => traced(1, 2), spans: 1 },
    'traced async function': { run: () => tracedLater(1, 2), spans: 1 },
  };
}

/** A trace of 10 spans of W3. */
export function trace10(library) {
  library.tree((span) => {
    library.attributes(span);
    library.content(span, TEXT, TEXT);
  }, 9);
}
