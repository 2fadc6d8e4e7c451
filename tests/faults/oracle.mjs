// The oracle sink for tests in Node: start it, tell it what to do wrong, read its ledger.
//
//     const oracle = await Oracle.start();
//     mlflow.init({ trackingUri: oracle.url, experimentId: '0' });
//     await oracle.faults({ rules: [{ on: 'spans', do: { status: { code: 503 } }, times: 2 }] });
//
// `src/script.rs` says what a script may hold, `src/control.rs` what there is to ask for.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** The sink that the variable names, or the one that was built last. */
function program() {
  const named = process.env.MLFLOW_TRACE_ORACLE_SINK;
  if (named) return named;
  const target = new URL('../../target', import.meta.url).pathname;
  const folders = ['.', ...(existsSync(target) ? readdirSync(target) : [])];
  const built = folders
    .flatMap((folder) => ['debug', 'release'].map((profile) => join(target, folder, profile)))
    .map((folder) => join(folder, 'oracle-sink'))
    .filter((path) => existsSync(path));
  if (built.length === 0) throw new Error('cargo build -p mlflow-trace-faults --bin oracle-sink');
  const built_at = (path) => statSync(path).mtimeMs;
  return built.reduce((a, b) => (built_at(a) > built_at(b) ? a : b));
}

export class Oracle {
  #process;
  #control;

  static async start(...args) {
    const oracle = new Oracle();
    oracle.#process = spawn(program(), args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: oracle.#process.stdout })[Symbol.asyncIterator]();
    oracle.url = (await lines.next()).value;
    oracle.#control = (await lines.next()).value;
    return oracle;
  }

  /** Puts a script in the place of the one before. */
  faults(script) {
    return this.#ask('POST', '/__faults', script);
  }

  /** What the sink took on, by trace and span, and every request. */
  ledger() {
    return this.#ask('GET', '/__ledger');
  }

  /** Counters. */
  stats() {
    return this.#ask('GET', '/__stats');
  }

  /** Forgets ledger and counters. */
  reset() {
    return this.#ask('POST', '/__reset');
  }

  async stop() {
    const ended = once(this.#process, 'exit');
    this.#process.stdin.end();
    await ended;
  }

  async #ask(method, path, body) {
    const options = { method, body: body && JSON.stringify(body), headers: { connection: 'close' } };
    const reply = await fetch(this.#control + path, options);
    const text = await reply.text();
    if (!reply.ok) throw new Error(text);
    return JSON.parse(text);
  }
}
