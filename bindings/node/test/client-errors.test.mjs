// Servers that are no help, files instead of a server, and what a call does to the process around it.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { deadUrl, run, silentServer, temporaryDirectory } from './support/child.mjs';
import { mlflow } from './support/engine.mjs';

/** A server that answers all requests so. Gives its URL and the requests that it had. */
async function answering(t, answer) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request);
    const [status, type, body] = answer(request);
    response.writeHead(status, { 'content-type': type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, requests };
}

const json = (status, body) => [status, 'application/json', JSON.stringify(body)];
const failure = async (promise) => {
  const error = await promise.then(
    () => assert.fail('it was fulfilled'),
    (reason) => reason,
  );
  assert.ok(error instanceof mlflow.MlflowError, String(error));
  return error;
};

test('errors of a server have a kind, its status, its code and its words', async (t) => {
  const replies = [
    [json(401, { message: 'who are you' }), 'Unauthorized', 'Unauthorized'],
    [json(403, { error_code: 'PERMISSION_DENIED', message: 'not you' }), 'Unauthorized', 'Forbidden'],
    [json(404, { error_code: 'RESOURCE_DOES_NOT_EXIST', message: 'gone away' }), 'NotFound', 'Not Found'],
    [json(400, { error_code: 'BAD_REQUEST', message: 'odd' }), 'Rejected', 'Bad Request'],
    [[500, 'text/html', '<html>'], 'BadReply', 'Internal Server Error'],
    [[501, 'application/json', '{}'], 'Unsupported', 'Not Implemented'],
  ];
  for (const [reply, kind, statusText] of replies) {
    const { url } = await answering(t, () => reply);
    const error = await failure(new mlflow.MlflowClient({ trackingUri: url }).getTraceInfo('tr-1'));
    assert.ok(error instanceof mlflow.MlflowHttpError, String(error));
    assert.deepEqual([error.kind, error.status, error.statusText], [kind, reply[0], statusText]);
    assert.equal(error.name, 'MlflowHttpError');
    assert.ok(error.body.length > 0);
    const { error_code: code, message } = JSON.parse(reply[2].replace('<html>', '{}'));
    if (message !== undefined && kind !== 'Unauthorized') assert.match(error.message, new RegExp(message));
    if (code !== undefined && kind !== 'Unauthorized') assert.equal(error.errorCode, code);
  }
});

test('where there is no reply, or one without sense, there is no HTTP error', async (t) => {
  const dead = await failure(new mlflow.MlflowClient({ trackingUri: await deadUrl() }).getTrace('tr-1'));
  assert.deepEqual(
    [dead.name, dead.kind, dead.code, dead.retryable],
    ['MlflowError', 'Transport', 'ERR_MLFLOW_TRACE_TRANSPORT', true],
  );
  const page = await answering(t, () => [200, 'text/html', '<html>please log in</html>']);
  const odd = await failure(new mlflow.MlflowClient({ trackingUri: page.url }).getTrace('tr-1'));
  assert.deepEqual([odd.name, odd.kind], ['MlflowError', 'BadReply']);
  const malformed = await failure(new mlflow.MlflowClient({ trackingUri: 'ftp://x' }).getTrace('tr-1'));
  assert.deepEqual([malformed.kind, /tracking_uri/.test(malformed.message)], ['InvalidConfig', true]);
});

test('bad arguments are named', async () => {
  const client = new mlflow.MlflowClient();
  assert.match((await failure(client.getTrace(5))).message, /'trace_id' of get_trace/);
  assert.match((await failure(client.getTrace())).message, /trace_id/);
  assert.match((await failure(client.setTraceTag('tr-1', 'k', 5n))).message, /JSON/);
  assert.match((await failure(client.logFeedback({ name: 'x', value: 1 }))).message, /traceId/);
  await assert.rejects(client.logFeedback({ traceId: 'tr-1', name: 'x' }), TypeError);
  const search = client.searchTraces({ locations: ['0'], maxResults: -1 });
  assert.match((await failure(search)).message, /max_results/);
});

test('an auth provider gives host and headers of each request', async (t) => {
  const { url, requests } = await answering(t, () =>
    json(200, { experiment: { experiment_id: '1', name: 'n' } }),
  );
  const headers = [
    { authorization: 'Bearer abc' },
    { Authorization: `Basic ${Buffer.from('ann:se:cret').toString('base64')}`, 'x-team': 'a, b=c' },
    {},
  ];
  const authProvider = {
    getHost: () => url,
    getHeadersProvider: () => () => Promise.resolve(headers[requests.length]),
    getDatabricksToken: () => Promise.resolve(undefined),
  };
  const client = new mlflow.MlflowClient({ authProvider });
  assert.equal(client.getHost(), url);
  for (let each = 0; each < 3; each++) assert.equal((await client.getExperiment('1')).name, 'n');
  assert.deepEqual(
    requests.map((request) => [request.headers.authorization, request.headers['x-team']]),
    [
      ['Bearer abc', undefined],
      [headers[1].Authorization, 'a, b=c'],
      [undefined, undefined],
    ],
  );
  assert.equal(new mlflow.MlflowClient({ trackingUri: `${url}/` }).getHost(), url);
  assert.equal(
    new mlflow.MlflowClient({ trackingUri: 'http://a:b@127.0.0.1:1' }).getHost(),
    'http://127.0.0.1:1',
  );
});

test('without a server the files are read', async (t) => {
  const program = `
    const span = mlflow.withSpan((root) => root, { name: 'in a file' });
    const client = new mlflow.MlflowClient();
    const trace = await client.getTrace(span.traceId);
    const { traces } = await client.searchTraces({ filter: "name = 'in a file'" });
    const error = await client.deleteExperiment('0').catch((reason) => reason);
    console.log(JSON.stringify([client.getHost(), trace.data.spans[0].name, traces.length, error.kind]));`;
  const { status, stdout, stderr } = await run(program, { cwd: temporaryDirectory(t) });
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), ['', 'in a file', 1, 'Unsupported']);
});

test('a call that hangs blocks nothing and keeps no files waiting', async (t) => {
  const url = await silentServer(t);
  const program = `
    import { readFile } from 'node:fs/promises';
    const client = new mlflow.MlflowClient({ trackingUri: '${url}' });
    const calls = Array.from({ length: 12 }, () => client.getTrace('tr-1').catch((error) => error.kind));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    for (let each = 0; each < 20; each++) await readFile('/dev/null');
    const settled = await Promise.race([Promise.all(calls), new Promise((resolve) => setTimeout(resolve, 200, 'none'))]);
    clearInterval(timer);
    console.log(settled, ticks > 0);
    console.log(new Set(await Promise.all(calls)));`;
  const env = { MLFLOW_TRACE_HTTP_TIMEOUT_MS: '1000' };
  const { status, stdout, stderr } = await run(program, { env });
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "none true\nSet(1) { 'Transport' }\n");
});

test('a process ends while calls wait, and after they are settled', async (t) => {
  const url = await silentServer(t);
  const client = `const client = new mlflow.MlflowClient({ trackingUri: '${url}' });`;
  const exits = await run(`${client} client.getTrace('tr-1'); setTimeout(() => process.exit(3), 50);`);
  assert.deepEqual([exits.status, exits.signal], [3, null], exits.stderr);
  const settled = await run(`${client} await client.getTrace('tr-1').catch(() => console.log('settled'));`, {
    env: { MLFLOW_TRACE_HTTP_TIMEOUT_MS: '200' },
  });
  assert.deepEqual([settled.status, settled.stdout], [0, 'settled\n'], settled.stderr);
});

test('a worker is terminated while its calls wait', async (t) => {
  const url = await silentServer(t);
  const entry = JSON.stringify(new URL('../dist/index.js', import.meta.url).pathname);
  const worker = `
    const mlflow = require(${entry});
    for (let each = 0; each < 5; each++) new mlflow.MlflowClient({ trackingUri: '${url}' }).getTrace('tr-1').catch(() => {});
    require('node:worker_threads').parentPort.postMessage('called');`;
  const program = `
    import { Worker } from 'node:worker_threads';
    import { once } from 'node:events';
    for (let each = 0; each < 3; each++) {
      const worker = new Worker(${JSON.stringify(worker)}, { eval: true, execArgv: [] });
      await once(worker, 'message');
      await worker.terminate();
    }
    await new Promise((resolve) => setTimeout(resolve, 600));
    console.log('alive');`;
  const { status, stdout, stderr } = await run(program, { env: { MLFLOW_TRACE_HTTP_TIMEOUT_MS: '300' } });
  assert.deepEqual([status, stdout], [0, 'alive\n'], stderr);
});
