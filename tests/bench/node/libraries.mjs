// The libraries that are measured.
import { createRequire } from 'node:module';
import { ATTRIBUTES, CHILDREN } from './works.mjs';

const require = createRequire(new URL('../../../bindings/node/package.json', import.meta.url));

/** Our package. `options` go to `init`. */
export function ours(options) {
  const mlflow = require('./dist/index.js');
  mlflow.init(options);
  const under = (fill, children = CHILDREN) => {
    for (let i = 0; i < children; i++) {
      const span = mlflow.startSpan({ name: 'child' });
      fill(span);
      span.end();
    }
  };
  const nothing = () => undefined;
  const nest = () => {
    for (let i = 0; i < CHILDREN; i++) mlflow.withSpan(nothing, { name: 'child' });
  };
  return {
    mlflow,
    root: () => mlflow.startSpan({ name: 'root' }).end(),
    tree: (fill, children) => mlflow.withSpan(() => under(fill, children), { name: 'root' }),
    nested: () => mlflow.withSpan(nest, { name: 'root' }),
    attributes: (span) => span.setAttributes(ATTRIBUTES),
    content: (span, inputs, outputs) => {
      span.setInputs(inputs);
      span.setOutputs(outputs);
    },
    traced: (fn) => mlflow.trace(fn),
    flush: () => mlflow.flushTraces(120_000),
    dropped: () => Object.values(mlflow.stats().dropped).reduce((sum, count) => sum + count, 0),
    pending: () => mlflow.stats().pending,
  };
}

/** OpenTelemetry's SDK with a batch processor; without a URL everything is dropped. */
export function opentelemetry(url) {
  const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
  const { BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');
  const processor = new BatchSpanProcessor(url === undefined ? new Drop() : otlp(url), {
    // Its own of 2,048 spans would be full after a few milliseconds, and a span that is dropped costs less.
    maxQueueSize: 10_000_000,
  });
  const provider = new NodeTracerProvider({ spanProcessors: [processor] });
  provider.register();
  const tracer = provider.getTracer('bench');
  const under = (root, fill, children) => {
    for (let i = 0; i < children; i++) {
      const span = tracer.startSpan('child');
      fill(span);
      span.end();
    }
    root.end();
  };
  const toText = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
  const end = (span) => span.end();
  const nest = (root) => {
    for (let i = 0; i < CHILDREN; i++) tracer.startActiveSpan('child', end);
    root.end();
  };
  return {
    root: () => tracer.startSpan('root').end(),
    tree: (fill, children = CHILDREN) =>
      tracer.startActiveSpan('root', (root) => under(root, fill, children)),
    nested: () => tracer.startActiveSpan('root', nest),
    attributes: (span) => span.setAttributes(ATTRIBUTES),
    content: (span, inputs, outputs) => {
      span.setAttribute('input.value', toText(inputs));
      span.setAttribute('output.value', toText(outputs));
    },
    // What a program writes by hand around a function, for the same span.
    traced: (fn) => (a, b) =>
      tracer.startActiveSpan(fn.name, (span) => {
        span.setAttribute('input.value', JSON.stringify({ a, b }));
        const finish = (result) => {
          span.setAttribute('output.value', JSON.stringify(result));
          span.end();
          return result;
        };
        const result = fn(a, b);
        return result instanceof Promise ? result.then(finish) : finish(result);
      }),
    flush: () => provider.forceFlush(),
    dropped: () => 0,
    pending: () => 0,
  };
}

class Drop {
  export(_spans, done) {
    done({ code: 0 });
  }
  async shutdown() {}
  async forceFlush() {}
}

function otlp(url) {
  const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
  const headers = { 'x-mlflow-experiment-id': '0' };
  return new OTLPTraceExporter({ url: `${url}/v1/traces`, headers, timeoutMillis: 120_000 });
}

export const version = (name) => require(`${name}/package.json`).version;
