// Loads the package in workers that record until they are terminated at a random moment, again and again.
// Usage: node terminate-workers.mjs [WORKERS] [ROUNDS]; the last line of its output says what became of the spans.
import { once } from 'node:events';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import * as mlflow from '../../index.mjs';

const [workers = 20, rounds = 50] = process.argv.slice(2).map(Number);

function record() {
  mlflow.withSpan((span) => {
    span.setAttributes({ text: 'x'.repeat(100), number: 5 });
    mlflow.startSpan({ name: 'inner', inputs: { list: [1, 2, 3] } }).end();
  });
}

if (isMainThread) {
  mlflow.init({ exporter: 'none' });
  let handedOver = 0;
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      Array.from({ length: workers }, async (_, index) => {
        const worker = new Worker(new URL(import.meta.url));
        const counted = { spans: 0 };
        worker.on('message', (spans) => (counted.spans = spans));
        // One half while they load, the other while they record.
        await once(worker, index % 2 === 0 ? 'online' : 'message');
        setTimeout(() => void worker.terminate(), 200 * Math.random());
        await once(worker, 'exit');
        handedOver += counted.spans;
      }),
    );
    record();
  }
  await mlflow.flushTraces();
  const { created, delivered, pending, dropped } = mlflow.stats();
  const given = Object.values(dropped).reduce((sum, count) => sum + count, 0);
  console.log(JSON.stringify({ created, delivered, pending, dropped: given, handedOver }));
} else {
  for (let spans = 2; ; spans += 2) {
    record();
    // What this worker records is the engine's a macrotask later.
    if (spans % 20 === 0) {
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      parentPort.postMessage(spans);
    }
  }
}
