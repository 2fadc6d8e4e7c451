// The package under test with an exporter that keeps what it gets, and a look at what the engine is handed.
import { createRequire } from 'node:module';
import * as mlflow from '../../index.mjs';
import { readFrames, readSpan } from './protobuf.mjs';

const require = createRequire(import.meta.url);
const { native } = require('../../dist/native.js');

process.env.MLFLOW_TRACE_QUIET = 'true';

export { mlflow };

/** Starts every test file with an empty memory exporter. */
export function useMemory() {
  mlflow.init({ exporter: 'memory', batchDelayMs: 0 });
}

/** The traces that arrived since the last call: `{info, spans}`, attributes decoded. */
export async function takeTraces() {
  await mlflow.flushTraces(5000);
  return native()
    .memoryTraces()
    .map((text) => {
      const { info, spans } = JSON.parse(text);
      for (const span of spans) {
        span.attributes = Object.fromEntries(
          Object.entries(span.attributes).map(([key, value]) => [key, JSON.parse(value)]),
        );
        span.inputs = span.attributes['mlflow.spanInputs'];
        span.outputs = span.attributes['mlflow.spanOutputs'];
      }
      return { info, spans, byName: Object.fromEntries(spans.map((span) => [span.name, span])) };
    });
}

/** The only trace that arrived. */
export async function takeTrace() {
  const traces = await takeTraces();
  if (traces.length !== 1) throw new Error(`${traces.length} traces arrived instead of one`);
  return traces[0];
}

/** The frames that `record`, which must be synchronous, hands to the engine. */
export function framesOf(record) {
  const addon = native();
  const { drain } = addon;
  const taken = [];
  mlflow.stats(); // Hands over what was recorded before.
  addon.drain = (buffer, length) => {
    taken.push(Buffer.from(buffer.subarray(0, length)));
    drain(buffer, length);
  };
  try {
    record();
    mlflow.stats();
  } finally {
    addon.drain = drain;
  }
  return readFrames(Buffer.concat(taken));
}

/** The span that `fill` describes, as it is encoded. */
export function encodedSpan(fill, options = {}) {
  const frames = framesOf(() => {
    const span = mlflow.startSpan({ name: 'encoded', parent: null, ...options });
    fill(span);
    span.end();
  });
  return readSpan(frames.find((frame) => frame.kind === 2).payload);
}
