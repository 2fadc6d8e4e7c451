// Runs programs that use the package in processes of their own.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PACKAGE = JSON.stringify(new URL('../../index.mjs', import.meta.url).href);

/** A directory that is gone after the test. */
export function temporaryDirectory(t) {
  const directory = mkdtempSync(join(tmpdir(), 'mlflow-trace-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Runs a program as a module with `mlflow` imported. `milliseconds` is from its first line to the end of the process. */
export async function run(program, { cwd = tmpdir(), env = {} } = {}) {
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', `import * as mlflow from ${PACKAGE};\nconsole.log('begun');\n${program}`],
    { cwd, env: { PATH: process.env.PATH, ...env } },
  );
  const output = { stdout: '', stderr: '' };
  let begun;
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      begun ??= performance.now();
      output[name] += text;
    });
  }
  const [status, signal] = await new Promise((resolve) => child.on('close', (...args) => resolve(args)));
  return {
    status,
    signal,
    milliseconds: performance.now() - begun,
    stdout: output.stdout.replace('begun\n', ''),
    stderr: output.stderr,
  };
}

/** The spans in a directory of the file exporter. */
export function spansIn(directory) {
  const lines = readdirSync(directory).flatMap((name) =>
    readFileSync(join(directory, name), 'utf8').split('\n'),
  );
  return lines
    .filter((line) => line !== '')
    .flatMap((line) => JSON.parse(line).resourceSpans)
    .flatMap((resource) => resource.scopeSpans)
    .flatMap((scope) => scope.spans);
}

/** A server on this machine that takes connections and says nothing. Gives its URL. */
export async function silentServer(t) {
  const sockets = new Set();
  const server = createServer((socket) => sockets.add(socket.on('error', () => {})));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    sockets.forEach((socket) => socket.destroy());
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** A URL where nobody listens. */
export async function deadUrl() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}
