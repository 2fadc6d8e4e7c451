// A project that installs the packed tarball, beside the package of its platform as npm would put it there.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import ts from 'typescript';
import webpack from 'webpack';

const require = createRequire(import.meta.url);
const root = realpathSync(fileURLToPath(new URL('..', import.meta.url)));
const project = realpathSync(mkdtempSync(join(tmpdir(), 'mlflow-trace-consumer-')));
after(() => rmSync(project, { recursive: true, force: true }));

const USE = `
const [ids, headers] = mlflow.withSpan((span) => {
  const ids = [span.traceId, mlflow.getCurrentActiveSpan().traceId];
  return [ids, mlflow.getTracingContextHeaders()];
});
mlflow.flushTraces().then((pending) => {
  console.log(ids[0] === ids[1] && headers.traceparent.includes(ids[0].slice(3)), pending);
});`;

/** What a program that imports the package prints. */
function run(file, ...flags) {
  return execFileSync(process.execPath, [...flags, file], {
    cwd: project,
    env: { PATH: process.env.PATH, MLFLOW_TRACE_EXPORTER: 'none', MLFLOW_TRACE_QUIET: 'true' },
    encoding: 'utf8',
  });
}

before(() => {
  const npm = (...args) => execFileSync('npm', args, { cwd: project, encoding: 'utf8', stdio: 'pipe' });
  const packed = npm('pack', '--ignore-scripts', '--json', '--pack-destination', project, root);
  const [{ filename }] = Object.values(JSON.parse(packed));
  writeFileSync(join(project, 'package.json'), '{"private":true}');
  npm('install', '--offline', '--no-audit', '--no-fund', '--legacy-peer-deps', `./${filename}`);
  const cli = join(dirname(require.resolve('@napi-rs/cli/package.json')), 'cli.mjs');
  // It makes directories only below the project whose package it is.
  const release = join(project, 'release');
  mkdirSync(release);
  copyFileSync(join(root, 'package.json'), join(release, 'package.json'));
  execFileSync(process.execPath, [cli, 'create-npm-dirs'], { cwd: release, stdio: 'pipe' });
  const { platformPackage } = require('../dist/native.js');
  const name = platformPackage();
  const installed = join(project, 'node_modules', name);
  cpSync(join(release, 'npm', name.replace('mlflow-trace-', '')), installed, { recursive: true });
  const addon = require(join(installed, 'package.json')).main;
  copyFileSync(join(root, addon), join(installed, addon));
  for (const other of ['@opentelemetry', '@types', 'undici-types']) {
    symlinkSync(join(root, 'node_modules', other), join(project, 'node_modules', other), 'junction');
  }
  mkdirSync(join(project, 'out'));
});

test('CommonJS', () => {
  writeFileSync(join(project, 'use.cjs'), `const mlflow = require('mlflow-trace');${USE}`);
  assert.equal(run('use.cjs'), 'true 0\n');
});

test('ESM, and both at once are one', () => {
  const both = `import { createRequire } from 'node:module';
    import * as mlflow from 'mlflow-trace';
    if (createRequire(import.meta.url)('mlflow-trace').withSpan !== mlflow.withSpan) throw new Error('two of them');`;
  writeFileSync(join(project, 'use.mjs'), both + USE);
  assert.equal(run('use.mjs'), 'true 0\n');
});

test('each integration, without the library that it is for', () => {
  const program = `const client = { chat: { completions: { create: (request) => request.model } } };
    const { tracedOpenAI } = require('mlflow-trace/openai');
    for (const entry of ['anthropic', 'gemini', 'langchain', 'ai-sdk', 'mastra', 'http']) require('mlflow-trace/' + entry);
    console.log(tracedOpenAI(client) === client, client.chat.completions.create({ model: 'm' }));`;
  writeFileSync(join(project, 'integrations.cjs'), program);
  assert.equal(run('integrations.cjs'), 'true m\n');
});

for (const [kind, extension] of [
  ['ESM', 'mts'],
  ['CommonJS', 'cts'],
]) {
  test(`TypeScript, strict, as ${kind}`, () => {
    const file = join(project, `use.${extension}`);
    const lines = ts.sys.readFile(join(root, 'test/consumer/use.ts'));
    // CommonJS has no await outside of functions.
    const [declarations, rest] = lines.split('\nconst read');
    const source =
      extension === 'mts' ? lines : `${declarations}\nvoid (async () => {\nconst read${rest}})();`;
    writeFileSync(file, source);
    const program = ts.createProgram([file], {
      strict: true,
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts', 'lib.decorators.d.ts'],
      module: ts.ModuleKind.Node20,
      types: ['node'],
      typeRoots: [join(project, 'node_modules/@types')],
      outDir: join(project, 'out'),
    });
    const { diagnostics } = program.emit();
    const messages = [...ts.getPreEmitDiagnostics(program), ...diagnostics].map((diagnostic) =>
      [diagnostic.file?.fileName, ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')].join(': '),
    );
    assert.deepEqual(messages, []);
    const output = run(join('out', `use.${extension === 'mts' ? 'mjs' : 'cjs'}`));
    assert.equal(output, '3 span why? ab 0 true closed\n');
  });
}

test('esbuild, as an external', async () => {
  for (const [format, extension] of [
    ['esm', 'mjs'],
    ['cjs', 'cjs'],
  ]) {
    writeFileSync(join(project, 'entry.mjs'), `import * as mlflow from 'mlflow-trace';${USE}`);
    const outfile = join(project, 'out', `esbuild.${extension}`);
    await build({
      entryPoints: [join(project, 'entry.mjs')],
      outfile,
      bundle: true,
      platform: 'node',
      format,
      external: ['mlflow-trace'],
    });
    assert.equal(run(outfile), 'true 0\n');
  }
});

test('webpack, as an external', async () => {
  writeFileSync(join(project, 'entry.mjs'), `import * as mlflow from 'mlflow-trace';${USE}`);
  const stats = await new Promise((resolve, reject) => {
    webpack(
      {
        mode: 'production',
        target: 'node20',
        context: project,
        entry: './entry.mjs',
        externals: { 'mlflow-trace': 'commonjs mlflow-trace' },
        output: { path: join(project, 'out'), filename: 'webpack.cjs' },
      },
      (error, result) => (error ? reject(error) : resolve(result)),
    );
  });
  assert.deepEqual(stats.toJson({ errors: true }).errors, []);
  assert.equal(run(join('out', 'webpack.cjs')), 'true 0\n');
});

test('without the package of its platform it says what is missing, and the program goes on', () => {
  const program = `const mlflow = require('mlflow-trace');
    console.log(mlflow.withSpan(() => 1));
    try { mlflow.init(); } catch (error) { console.log(error.code); }`;
  const bare = mkdtempSync(join(tmpdir(), 'mlflow-trace-bare-'));
  const installed = join('node_modules', 'mlflow-trace');
  cpSync(join(project, installed), join(bare, installed), { recursive: true });
  writeFileSync(join(bare, 'use.cjs'), program);
  try {
    assert.equal(run(join(bare, 'use.cjs')), '1\nERR_MLFLOW_TRACE_UNSUPPORTED\n');
  } finally {
    rmSync(bare, { recursive: true });
  }
});
