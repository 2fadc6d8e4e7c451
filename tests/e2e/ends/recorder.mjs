// Records traces and ends as its first argument says. Prints each trace id when that trace's `end` has returned.
// Usage: node recorder.mjs ENDING COUNT
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import * as mlflow from '../../../bindings/node/index.mjs';
import { MlflowSpanProcessor } from '../../../bindings/node/otel.mjs';

const [ending, count] = isMainThread ? [process.argv[2], Number(process.argv[3])] : workerData;
const record = ending.startsWith('OpenTelemetry') ? withOpenTelemetry() : recordOurs;

function withOpenTelemetry() {
  const require = createRequire(new URL('../../../bindings/node/', import.meta.url));
  const { ROOT_CONTEXT, trace } = require('@opentelemetry/api');
  const { BasicTracerProvider } = require('@opentelemetry/sdk-trace-base');
  const provider = new BasicTracerProvider({ spanProcessors: [new MlflowSpanProcessor()] });
  const tracer = provider.getTracer('recorder');
  return (number) => {
    const root = tracer.startSpan(`trace ${number}`, { root: true });
    tracer.startSpan('step', { attributes: { number } }, trace.setSpan(ROOT_CONTEXT, root)).end();
    root.end();
    writeSync(1, `tr-${root.spanContext().traceId}\n`);
  };
}

function recordOurs(number) {
  const root = mlflow.startSpan({ name: `trace ${number}` });
  mlflow.startSpan({ name: 'step', parent: root, inputs: { number } }).end();
  root.end();
  writeSync(1, `${root.traceId}\n`);
}

/** The loop does not turn any more. */
function hang() {
  for (;;);
}

if (isMainThread && ending.startsWith('worker')) {
  const worker = new Worker(new URL(import.meta.url), { workerData: [ending, count] });
  if (ending === 'worker terminated') worker.once('message', () => void worker.terminate());
} else {
  for (let number = 0; number < count || ending === 'recording'; number++) record(number);
  switch (ending) {
    case 'worker terminated':
      parentPort.postMessage('recorded');
      hang();
      break;
    case 'process.exit':
      process.exit(0);
      break;
    case 'uncaught exception':
      throw new Error('the program failed');
    case 'SIGTERM':
    case 'SIGKILL':
    case 'OpenTelemetry, SIGKILL':
      process.kill(process.pid, ending.split(' ').at(-1));
      hang();
  }
}
