// The service that the public test suite of W3C Trace Context talks to, on the Node package.
//
// Every request brings a list of `{url, arguments}`. The service continues the caller's trace with a span and posts
// `arguments` to each `url`, every time from a child span of its own. The address is the first line printed; at the end
// of its standard input the service stops.
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

import * as mlflow from '../../bindings/node/index.mjs';

const TIMEOUT_MS = 5000;

async function post(call) {
  const response = await fetch(call.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...mlflow.getTracingContextHeaders() },
    body: JSON.stringify(call.arguments),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`${call.url} answered ${response.status}`);
}

async function answer(request) {
  const calls = await json(request);
  await mlflow.withTracingContextFromHeaders(request.headers, () =>
    mlflow.withSpan(
      async () => {
        for (const call of calls) await mlflow.withSpan(() => post(call), { name: 'call' });
      },
      { name: 'test' },
    ),
  );
}

const server = createServer(async (request, response) => {
  try {
    await answer(request);
  } catch (error) {
    console.error(error);
    response.statusCode = 500;
  }
  response.end();
});

server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});

process.stdin.resume().once('end', async () => {
  server.close();
  server.closeAllConnections();
  process.exitCode = await mlflow.flushTraces(TIMEOUT_MS);
});
