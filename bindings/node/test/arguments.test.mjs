import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { before, test } from 'node:test';
import { framesOf, mlflow, useMemory } from './support/engine.mjs';
import { readSpan } from './support/protobuf.mjs';

const require = createRequire(import.meta.url);
const { readParameters } = require('../dist/arguments.js');

before(useMemory);

/** The inputs that a call of the traced function records. */
function inputsOf(fn, ...args) {
  const frames = framesOf(() => mlflow.trace(fn)(...args));
  const text = readSpan(frames.find((frame) => frame.kind === 2).payload).attributes['mlflow.spanInputs'];
  return JSON.parse(text);
}

const names = (fn) => readParameters(fn);
const plain = (...list) => ({ names: list, rest: undefined });

test('every kind of function has its parameters read', () => {
  assert.deepEqual(
    names(function (a, b) {}),
    plain('a', 'b'),
  );
  assert.deepEqual(
    names(function named(a, b) {}),
    plain('a', 'b'),
  );
  assert.deepEqual(
    names(async function (a) {}),
    plain('a'),
  );
  assert.deepEqual(
    names(function* (a) {}),
    plain('a'),
  );
  assert.deepEqual(
    names(async function* named(a) {}),
    plain('a'),
  );
  assert.deepEqual(
    names((a, b) => {}),
    plain('a', 'b'),
  );
  assert.deepEqual(
    names((a) => a),
    plain('a'),
  );
  assert.deepEqual(
    names(async (a) => a),
    plain('a'),
  );
  assert.deepEqual(
    names(() => {}),
    plain(),
  );
  assert.deepEqual(names(eval('a => a')), plain('a'));
  assert.deepEqual(names(eval('async a => a')), plain('a'));
  assert.deepEqual(names(eval('async => async')), plain('async'));
  assert.deepEqual(names(eval('(/* ( */ a /* ) */, // b,\n c) => a')), plain('a', 'c'));
  const object = {
    method(a, b) {},
    async asyncMethod(a) {},
    *generator(a) {},
    async(a) {},
    get(a) {},
    'quoted (name)'(a) {},
    ['computed' + '('.length + ')'](a) {},
    [Symbol.iterator](a) {},
    $dollar_ünïcode(_a, $b, ü) {},
  };
  assert.deepEqual(names(object.method), plain('a', 'b'));
  for (const key of [
    'asyncMethod',
    'generator',
    'async',
    'get',
    'quoted (name)',
    'computed1)',
    Symbol.iterator,
  ]) {
    assert.deepEqual(names(object[key]), plain('a'), String(key));
  }
  assert.deepEqual(names(object.$dollar_ünïcode), plain('_a', '$b', 'ü'));
  class Klass {
    constructor(a) {}
    method(a) {}
    static fixed(a) {}
    #hidden(a) {}
    hidden() {
      return this.#hidden;
    }
  }
  assert.deepEqual(names(Klass.prototype.method), plain('a'));
  assert.deepEqual(names(Klass.fixed), plain('a'));
  assert.deepEqual(names(new Klass().hidden()), plain('a'));
});

test('defaults of every kind do not confuse the names', () => {
  assert.deepEqual(
    names((a = 1, b = 'x,y)', c = 'a"b\'') => {}),
    plain('a', 'b', 'c'),
  );
  assert.deepEqual(
    names((a = (1, 2), b = [1, 2], c = { d: 1, e: ')' }) => {}),
    plain('a', 'b', 'c'),
  );
  assert.deepEqual(
    names((a = /[)/,]\/\(/g, b = 4 / 2 / 1, c = a / 2) => {}),
    plain('a', 'b', 'c'),
  );
  assert.deepEqual(
    names((a = `,) ${`${')'}`} \``, b) => {}),
    plain('a', 'b'),
  );
  assert.deepEqual(
    names((a = (x, y) => x, b = function (c, d) {}) => {}),
    plain('a', 'b'),
  );
  assert.deepEqual(
    names((a = /* ), */ 1, b) => {}),
    plain('a', 'b'),
  );
});

test('patterns have no name, rest parameters have one', () => {
  assert.deepEqual(
    names(({ x }, b) => {}),
    plain(undefined, 'b'),
  );
  assert.deepEqual(
    names(([x, y] = [1, 2], { z = ')' } = {}, b) => {}),
    plain(undefined, undefined, 'b'),
  );
  assert.deepEqual(
    names((a, ...rest) => {}),
    { names: ['a'], rest: 'rest' },
  );
  assert.deepEqual(
    names((...[a, b]) => {}),
    plain(),
  );
});

test('functions without readable source have none', () => {
  assert.equal(names(Math.max), null);
  assert.equal(names(((a) => a).bind(null)), null);
  assert.equal(
    names(
      class {
        constructor(a) {}
      },
    ),
    null,
  );
});

test('arguments go under their own names', () => {
  assert.deepEqual(
    inputsOf((a, b) => {}, 1, 2),
    { a: 1, b: 2 },
  );
  assert.deepEqual(
    inputsOf(({ x }, b) => {}, { x: 1, y: 2 }, 3),
    { arg0: { x: 1, y: 2 }, b: 3 },
  );
  assert.deepEqual(
    inputsOf((a, [b], c) => {}, 1, [2], 3),
    { a: 1, arg1: [2], c: 3 },
  );
  assert.deepEqual(
    inputsOf((a = 5, b) => {}, undefined, 2),
    { b: 2 },
  );
  assert.deepEqual(
    inputsOf((a) => {}),
    {},
  );
  assert.deepEqual(
    inputsOf((a, ...rest) => {}, 1, 2, 3),
    { a: 1, rest: [2, 3] },
  );
  assert.deepEqual(
    inputsOf((a, ...rest) => {}, 1),
    { a: 1, rest: [] },
  );
  assert.deepEqual(
    inputsOf((a) => {}, 1, 2, 3),
    { a: 1, arg1: 2, arg2: 3 },
  );
  assert.deepEqual(
    inputsOf(
      function () {
        return arguments.length;
      },
      'x',
      'y',
    ),
    { arg0: 'x', arg1: 'y' },
  );
  assert.deepEqual(
    inputsOf(eval('({ f(__proto__, b) {} })').f, 1, 2),
    JSON.parse('{"__proto__": 1, "b": 2}'),
  );
  assert.deepEqual(inputsOf(Math.max, 1, 2), [1, 2]);
});

test('the source is read once for a function, not on every call', () => {
  let reads = 0;
  const fn = (a) => a;
  const { toString } = Function.prototype;
  Function.prototype.toString = function () {
    if (this === fn) reads++;
    return toString.call(this);
  };
  try {
    const traced = mlflow.trace(fn);
    const again = mlflow.trace(fn);
    for (let i = 0; i < 5; i++) {
      traced(i);
      again(i);
    }
  } finally {
    Function.prototype.toString = toString;
  }
  assert.equal(reads, 1);
});
