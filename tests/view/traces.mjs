// Traces in MLflow's JSON, for the page to draw.

const START = 1_795_226_127_000_000_000n;
const hex = (number, digits) => number.toString(16).padStart(digits, '0');

/** A trace of these spans, each `{ name, type, parent, start, end, ... }` with milliseconds after its begin. */
function trace(number, name, spans) {
  const id = hex(number, 32);
  const nanoseconds = (milliseconds) => Number(START + BigInt(Math.round(milliseconds * 1e6)));
  const json = (value) => JSON.stringify(value);
  const state = spans[0].error === undefined ? 'OK' : 'ERROR';
  return {
    info: {
      trace_id: `tr-${id}`,
      trace_location: { type: 'MLFLOW_EXPERIMENT', mlflow_experiment: { experiment_id: '0' } },
      request_time: '2026-11-21T01:15:27.000Z',
      execution_duration: `${(spans[0].end / 1000).toFixed(3)}s`,
      state,
      tags: { 'mlflow.traceName': name },
      trace_metadata: {
        'mlflow.trace.tokenUsage': json({ input_tokens: 812, output_tokens: 143, total_tokens: 955 }),
        'mlflow.trace.session': 'support-42',
      },
    },
    data: {
      spans: spans.map((span, place) => ({
        trace_id: id,
        span_id: hex(place + 1, 16),
        parent_span_id: span.parent === undefined ? null : hex(span.parent + 1, 16),
        name: span.name,
        start_time_unix_nano: nanoseconds(span.start),
        end_time_unix_nano: nanoseconds(span.end),
        status:
          span.error === undefined
            ? { code: 'STATUS_CODE_OK', message: '' }
            : { code: 'STATUS_CODE_ERROR', message: span.error },
        attributes: {
          'mlflow.traceRequestId': json(`tr-${id}`),
          'mlflow.spanType': json(span.type),
          ...(span.inputs === undefined ? {} : { 'mlflow.spanInputs': json(span.inputs) }),
          ...(span.outputs === undefined ? {} : { 'mlflow.spanOutputs': json(span.outputs) }),
          ...Object.fromEntries(
            Object.entries(span.attributes ?? {}).map(([key, value]) => [key, json(value)]),
          ),
        },
        events: [],
      })),
    },
  };
}

/** What an agent does to answer a question. */
export function answer() {
  const chat = (text) => ({ choices: [{ message: { role: 'assistant', content: text } }] });
  const lookUp = { type: 'function', function: { name: 'look_up', arguments: '{"order":1187}' } };
  const question = { messages: [{ role: 'user', content: 'Where is order 1187?' }] };
  const usage = { 'mlflow.chat.tokenUsage': { input_tokens: 402, output_tokens: 71, total_tokens: 473 } };
  return trace(1, 'answer', [
    {
      name: 'answer',
      type: 'AGENT',
      start: 0,
      end: 2480,
      inputs: question,
      outputs: chat('It arrives on Tuesday.'),
    },
    { name: 'plan', type: 'CHAIN', parent: 0, start: 12, end: 660 },
    {
      name: 'chat',
      type: 'CHAT_MODEL',
      parent: 1,
      start: 20,
      end: 640,
      inputs: question,
      outputs: { choices: [{ message: { role: 'assistant', content: null, tool_calls: [lookUp] } }] },
      attributes: { ...usage, 'mlflow.llm.model': 'small-1' },
    },
    { name: 'parse', type: 'PARSER', parent: 1, start: 641, end: 655 },
    { name: 'look_up', type: 'TOOL', parent: 0, start: 665, end: 1490, inputs: { order: 1187 } },
    { name: 'orders.get', type: 'RETRIEVER', parent: 4, start: 670, end: 1120, error: 'connection reset' },
    {
      name: 'orders.get',
      type: 'RETRIEVER',
      parent: 4,
      start: 1140,
      end: 1480,
      outputs: { state: 'on its way' },
    },
    { name: 'embed', type: 'EMBEDDING', parent: 6, start: 1150, end: 1230 },
    { name: 'rank', type: 'RERANKER', parent: 6, start: 1235, end: 1460 },
    { name: 'write', type: 'CHAIN', parent: 0, start: 1500, end: 2470 },
    {
      name: 'chat',
      type: 'CHAT_MODEL',
      parent: 9,
      start: 1510,
      end: 2440,
      inputs: question,
      outputs: chat('It arrives on Tuesday.'),
      attributes: usage,
    },
    { name: 'check', type: 'GUARDRAIL', parent: 9, start: 2442, end: 2466 },
  ]);
}

/** A trace of so many spans, ten below each; every hundredth failed, and one is like no other. */
export function large(count) {
  const types = ['CHAIN', 'TOOL', 'CHAT_MODEL', 'RETRIEVER'];
  const spans = Array.from({ length: count }, (_, place) => ({
    name: place === 7777 ? 'needle' : `step ${place}`,
    type: types[place % types.length],
    parent: place === 0 ? undefined : Math.floor((place - 1) / 10),
    start: place / 10,
    end: place === 0 ? count : place / 10 + 40,
    inputs: { place },
    error: place % 100 === 99 ? 'no luck' : undefined,
  }));
  return trace(2, 'large', spans);
}
