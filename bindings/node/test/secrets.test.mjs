// A secret never shows, wherever it was given and whatever a server makes of it.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { run } from './support/child.mjs';

const CANARY = 'canary/zq7w';
const IN_URL = 'canary%2Fzq7w';
const FORMS = [CANARY, IN_URL, Buffer.from(`me:${CANARY}`).toString('base64'), 'zq7w'];

const holds = (text) => FORMS.some((form) => text.includes(form));

/** Refuses every request and repeats all that it holds. */
async function echo(t) {
  const seen = [];
  const server = createServer((request, response) => {
    request.resume();
    const text = [request.url, ...Object.values(request.headers)].join(' ');
    seen.push(text);
    response.statusCode = 400;
    response.end(JSON.stringify({ error_code: CANARY, message: `${text} ${CANARY}` }));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, seen };
}

const ways = {
  userinfo: (url) => ({ trackingUri: url.replace('//', `//me:${IN_URL}@`) }),
  password: () => ({ username: 'me', password: CANARY }),
  token: () => ({ trackingToken: CANARY }),
  header: () => ({ httpHeaders: `x-api-key=${IN_URL}` }),
  proxy: (url) => ({
    trackingUri: 'http://mlflow.invalid',
    httpProxy: url.replace('//', `//me:${IN_URL}@`),
  }),
};

for (const [way, options] of Object.entries(ways)) {
  test(`nothing shows a secret that was given as ${way}`, async (t) => {
    const { url, seen } = await echo(t);
    // By the environment, so that the program itself does not hold it: a fault would print its source.
    const { stdout, stderr, status } = await run(
      `mlflow.init(JSON.parse(process.env.OPTIONS));
       const { inspect } = await import('node:util');
       const span = mlflow.startSpan({ name: 'root' });
       console.log(inspect(span, { depth: 9 }));
       span.end();
       await mlflow.flushTraces(1000);
       console.log(inspect(mlflow.health(), { depth: 9 }), mlflow.stats(), mlflow.diagnostics());`,
      { env: { OPTIONS: JSON.stringify({ trackingUri: url, batchDelayMs: 0, ...options(url) }) } },
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout, /class: 'rejected'/);
    assert.ok(seen.some(holds), 'it was never sent');
    assert.ok(!holds(stdout) && !holds(stderr), stdout + stderr);
  });
}

test('options that are refused are not repeated', async () => {
  const refused = [
    { trackingUri: `ftp://me:${IN_URL}@host` },
    { trackingToken: `${CANARY}\n` },
    { password: `${CANARY}\n`, username: 'me' },
    { httpHeaders: CANARY },
    { httpProxy: `ftp://me:${IN_URL}@host` },
  ];
  const { stdout, stderr } = await run(
    `const { inspect } = await import('node:util');
     for (const options of JSON.parse(process.env.OPTIONS)) {
       try { mlflow.init(options); console.log('taken'); } catch (error) { console.log('refused', inspect(error)); }
     }`,
    { env: { OPTIONS: JSON.stringify(refused) } },
  );
  assert.equal(stdout.match(/^refused/gm).length, refused.length, stdout);
  assert.ok(!holds(stdout) && !holds(stderr), stdout);
});
