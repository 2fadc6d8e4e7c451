import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { before, beforeEach, test } from 'node:test';
import ts from 'typescript';
import { mlflow, takeTraces, useMemory } from './support/engine.mjs';

before(useMemory);
beforeEach(takeTraces);

const require = createRequire(import.meta.url);
const [fixture, typed] = ['decorated.ts', 'typed.ts'].map(
  (name) => new URL(`./support/${name}`, import.meta.url).pathname,
);

for (const [kind, experimentalDecorators] of [
  ['standard', false],
  ["TypeScript's older", true],
]) {
  const options = {
    experimentalDecorators,
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2024.d.ts', 'lib.esnext.disposable.d.ts', 'lib.decorators.d.ts'],
    module: ts.ModuleKind.Node20,
    types: ['node'],
    skipLibCheck: true,
  };

  test(`${kind} decorators and the public types type-check`, () => {
    const program = ts.createProgram([fixture, typed], options);
    const messages = ts
      .getPreEmitDiagnostics(program)
      .map((diagnostic) => ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n'));
    assert.deepEqual(messages, []);
  });

  test(`${kind} decorators trace instance, static and async methods`, async () => {
    const { outputText } = ts.transpileModule(readFileSync(fixture, 'utf8'), {
      compilerOptions: { ...options, module: ts.ModuleKind.CommonJS },
    });
    const module = { exports: {} };
    new Function('module', 'exports', 'require', outputText)(module, module.exports, (name) =>
      name === '../../index.mjs' ? mlflow : require(name),
    );
    const { Agent } = module.exports;
    const agent = new Agent('hi');
    assert.equal(agent.greet('Ann'), 'hi Ann');
    assert.equal(await agent.search('q', 3), 'q:3');
    assert.equal(Agent.create('x').greeting, 'x');
    assert.equal(agent.greet.name, 'greet');
    const spans = (await takeTraces()).flatMap(({ spans }) => spans);
    assert.deepEqual(
      spans.map(({ name, inputs, outputs, attributes }) => [
        name,
        inputs,
        outputs,
        attributes['mlflow.spanType'],
      ]),
      [
        ['greet', { name: 'Ann' }, 'hi Ann', 'UNKNOWN'],
        ['find', { query: 'q', limit: 3 }, 'q:3', 'RETRIEVER'],
        ['create', { greeting: 'x' }, { greeting: 'x' }, 'UNKNOWN'],
      ],
    );
  });
}

test('what is no method is refused', () => {
  assert.throws(() => mlflow.trace({})(undefined, { kind: 'getter', name: 'x' }), TypeError);
  assert.throws(() => mlflow.trace({})(class {}, { kind: 'class', name: 'X' }), TypeError);
  assert.throws(() => mlflow.trace({})({}, 'x', { get: () => 1 }), TypeError);
});

test('standard decorators trace fields that hold functions', () => {
  const initialize = mlflow.trace({ spanType: 'TOOL' })(undefined, { kind: 'field', name: 'arrow' });
  const traced = initialize((x) => x + 1);
  assert.equal(traced(1), 2);
  assert.equal(initialize('no function'), 'no function');
});
