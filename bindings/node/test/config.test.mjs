import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { mlflow } from './support/engine.mjs';

const { KEYS } = createRequire(import.meta.url)('../dist/config.js');

/** The engine's table of options: key, default and what it accepts. */
const OPTIONS = readFileSync(new URL('../../../docs/options.md', import.meta.url), 'utf8')
  .split('\n')
  .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')))
  .filter(([, key, variable]) => /^[a-z][a-z0-9_.]*$/.test(key) && /^[A-Z][A-Z0-9_]*$/.test(variable))
  .map(([, key, , fallback, accepts]) => ({ key, fallback, accepts }));

const invalid = (pattern) => (error) => {
  assert.equal(error.code, 'ERR_MLFLOW_TRACE_INVALID_CONFIG');
  assert.match(error.message, pattern);
  return true;
};

test('malformed values are refused and the option is named as the caller wrote it', () => {
  const cases = [
    [{ trackingUri: 'localhost:5000' }, /'trackingUri'/],
    [{ trackingUri: 'ftp://127.0.0.1' }, /'trackingUri'.*ftp/],
    [{ trackingUri: 5 }, /'trackingUri'/],
    [{ trackingUri: { url: 1 } }, /'trackingUri': expected text/],
    [{ experimentId: 'abc' }, /'experimentId'/],
    [{ experimentId: 1.5 }, /'experimentId'/],
    [{ exporter: 'pigeon' }, /'exporter'.*pigeon/],
    [{ workspace: 'a\r\nX-Evil: 1' }, /'workspace'/],
    [{ batchMaxSpans: 0 }, /'batchMaxSpans'/],
    [{ httpTimeoutMs: 'soon' }, /'httpTimeoutMs'/],
    [{ trackingServerToken: 'a\nb' }, /'trackingServerToken'/],
    [{ trackingUrl: 'http://127.0.0.1' }, /unknown option 'trackingUrl'/],
    [{ samplingRatio: 1.5 }, /'samplingRatio'/],
    [{ samplingRatio: NaN }, /'samplingRatio'/],
    [{ samplingKeepErrors: 'sometimes' }, /'samplingKeepErrors'/],
    [{ limitsValueBytes: 1 }, /'limitsValueBytes'/],
    [{ traceTtlS: -1 }, /'traceTtlS'/],
    [{ workspace: ['a'] }, /'workspace': expected text/],
    [{ trackingUri: () => 1 }, /'trackingUri': expected text/],
  ];
  for (const [options, pattern] of cases) assert.throws(() => mlflow.init(options), invalid(pattern));
  assert.throws(() => mlflow.init('http://127.0.0.1'), invalid(/object/));
});

test('every option of the engine has a name', () => {
  assert.ok(OPTIONS.some(({ key }) => key === 'attachments.max_bytes'));
  const named = new Set(Object.values(KEYS));
  assert.deepEqual(
    OPTIONS.map(({ key }) => key).filter((key) => !named.has(key)),
    [],
  );
  assert.deepEqual(
    [...named].filter((key) => !OPTIONS.some((option) => option.key === key)),
    [],
  );
});

test('names are the keys in camel case, apart from those of MLflow', () => {
  const camel = (key) => key.replace(/[._](.)/g, (_, letter) => letter.toUpperCase());
  const others = Object.entries(KEYS).filter(([name, key]) => name !== camel(key));
  assert.deepEqual(
    others.map(([name]) => name),
    [
      'username',
      'password',
      'trackingServerToken',
      'trackingServerUsername',
      'trackingServerPassword',
      'databricksConfigPath',
      'host',
    ],
  );
});

test('numbers and booleans are taken as such', () => {
  for (const { key, fallback, accepts } of OPTIONS) {
    const name = Object.keys(KEYS).find((candidate) => KEYS[candidate] === key);
    const isFlag = accepts === 'true or false';
    if (!isFlag && !/^[0-9]+$/.test(fallback)) continue;
    mlflow.init({ exporter: 'none', [name]: isFlag ? fallback === 'true' : Number(fallback) });
    mlflow.init({ exporter: 'none', [name]: fallback });
    assert.throws(() => mlflow.init({ [name]: 'neither' }), invalid(new RegExp(`'${name}'`)));
  }
  mlflow.init({ exporter: 'none' });
});

test('a secret is not repeated in an error', () => {
  assert.throws(
    () => mlflow.init({ trackingUri: 'http://me:hunter2@ho st' }),
    (error) => !error.message.includes('hunter2'),
  );
});

test('a failed init leaves the configuration as it was', async () => {
  mlflow.init({ exporter: 'memory' });
  assert.throws(() => mlflow.init({ exporter: 'pigeon' }));
  mlflow.withSpan(() => 1);
  assert.equal(await mlflow.flushTraces(), 0);
  assert.equal(mlflow.stats().delivered, 1);
});

test('unset options are left to the environment', () => {
  process.env.MLFLOW_TRACE_EXPORTER = 'pigeon';
  try {
    assert.throws(() => mlflow.init({ exporter: undefined }), invalid(/MLFLOW_TRACE_EXPORTER/));
  } finally {
    delete process.env.MLFLOW_TRACE_EXPORTER;
  }
});

test('server, experiment, credentials and workspace travel with the traces', async () => {
  const requests = [];
  const server = createServer((request, response) => {
    request.resume();
    requests.push({ url: request.url, headers: request.headers });
    response.setHeader('content-type', 'application/json');
    response.end('{}');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  mlflow.init({
    trackingUri: `http://127.0.0.1:${server.address().port}/base`,
    experimentId: 7,
    username: 'me',
    password: 'secret',
    workspace: 'team',
    batchDelayMs: 0,
  });
  mlflow.withSpan(() => 1);
  await mlflow.flushTraces(3000);
  mlflow.init({ exporter: 'none' });
  server.close();
  server.closeAllConnections();
  const spans = requests.find(({ url }) => url.endsWith('/v1/traces'));
  assert.equal(spans.url, '/base/v1/traces');
  assert.equal(spans.headers['x-mlflow-experiment-id'], '7');
  assert.equal(spans.headers['x-mlflow-workspace'], 'team');
  assert.equal(spans.headers.authorization, `Basic ${Buffer.from('me:secret').toString('base64')}`);
});
