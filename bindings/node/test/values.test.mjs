import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { Readable } from 'node:stream';
import { before, test } from 'node:test';
import vm from 'node:vm';
import { encodedSpan, mlflow, takeTrace, takeTraces, useMemory } from './support/engine.mjs';

before(useMemory);

const recorded = (value) => encodedSpan((span) => span.setInputs(value)).attributes['mlflow.spanInputs'];
/** What a reader of the JSON gets. */
const parsed = (value) => JSON.parse(recorded(value));

test('plain values are JSON as the runtime writes it', () => {
  const value = { text: 'a"b\\c\n', list: [1, 2.5, true, null, { deep: [] }], empty: {}, no: undefined };
  assert.equal(recorded(value), JSON.stringify(value));
  assert.equal(recorded([undefined, 1]), '[null,1]');
});

test('falsy inputs and outputs are recorded', () => {
  for (const [value, expected] of [
    [0, 0n],
    ['', ''],
    [false, false],
    [null, null],
  ]) {
    const { attributes } = encodedSpan((span) => {
      span.setInputs(value);
      span.setOutputs(value);
    });
    assert.deepEqual(attributes, { 'mlflow.spanInputs': expected, 'mlflow.spanOutputs': expected });
  }
});

test('values that JSON does not know have a form of their own', () => {
  const date = new Date(1_700_000_000_123);
  assert.equal(recorded(date), '2023-11-14T22:13:20.123Z');
  assert.equal(recorded(Buffer.from('hello')), 'aGVsbG8=');
  assert.equal(recorded(new Uint8Array([1, 2, 3]).buffer), 'AQID');
  assert.equal(recorded(/a+/g), '/a+/g');
  assert.equal(recorded(Symbol('s')), 'Symbol(s)');
  assert.equal(
    recorded(function named() {}),
    '<function named>',
  );
  assert.equal(recorded(new String('boxed')), 'boxed');
  assert.deepEqual(
    parsed({
      date,
      invalid: new Date(NaN),
      bytes: Buffer.from([255]),
      view: new DataView(new Uint8Array([1, 2]).buffer),
      floats: new Float32Array([1, 0.5]),
      map: new Map([
        ['a', 1],
        [2, new Set([3])],
      ]),
      pairs: new Map([[{ k: 1 }, 'v']]),
      set: new Set(['x', 'y']),
      nan: NaN,
      infinity: -Infinity,
      call: () => 1,
      symbol: Symbol.iterator,
      url: new URL('http://127.0.0.1/x'),
      promise: Promise.resolve(1),
      emitter: new EventEmitter(),
      stream: Readable.from(['a']),
      foreign: vm.runInNewContext('({ d: new Date(0), m: new Map([["k", 1]]), e: new TypeError("t") })'),
    }),
    {
      date: '2023-11-14T22:13:20.123Z',
      invalid: 'Invalid Date',
      bytes: '/w==',
      view: 'AQI=',
      floats: [1, 0.5],
      map: { a: 1, 2: [3] },
      pairs: [[{ k: 1 }, 'v']],
      set: ['x', 'y'],
      nan: 'NaN',
      infinity: '-Infinity',
      call: '<function call>',
      symbol: 'Symbol(Symbol.iterator)',
      url: 'http://127.0.0.1/x',
      promise: '<Promise>',
      emitter: '<EventEmitter>',
      stream: '<Readable>',
      foreign: {
        d: '1970-01-01T00:00:00.000Z',
        m: { k: 1 },
        e: { name: 'TypeError', message: 't' },
      },
    },
  );
});

test('integers stay integers, and text where 64 bits are too few', () => {
  assert.equal(recorded({ n: 10n }), '{"n":10}');
  assert.equal(recorded({ n: 2n ** 63n - 1n }), '{"n":9223372036854775807}');
  assert.equal(recorded({ n: 2n ** 64n }), '{"n":"18446744073709551616"}');
  assert.equal(recorded({ n: 10n ** 400n }), `{"n":"1${'0'.repeat(400)}"}`);
  // Digits alone would be an integer of more than 64 bits for a reader.
  assert.equal(recorded({ n: 2 ** 64 }), '{"n":1.8446744073709552e+19}');
  assert.equal(recorded({ n: -(2 ** 63) }), '{"n":-9.223372036854776e+18}');
});

test('errors show name, message, cause and own members', () => {
  class QuotaError extends Error {
    name = 'QuotaError';
    retryAfter = 3;
  }
  assert.deepEqual(parsed(new QuotaError('too much', { cause: new Error('inner') })), {
    name: 'QuotaError',
    message: 'too much',
    cause: { name: 'Error', message: 'inner' },
    retryAfter: 3,
  });
});

test('class instances show their members; toJSON is asked', () => {
  class Point {
    #secret = 1;
    constructor() {
      this.x = 1;
    }
    get y() {
      return this.#secret;
    }
  }
  assert.equal(recorded(new Point()), '{"x":1}');
  assert.equal(recorded({ toJSON: () => ({ shown: NaN }) }), '{"shown":"NaN"}');
  const self = { a: 1, toJSON: () => self };
  assert.equal(recorded({ self }), '{"self":{"a":1,"toJSON":"<function toJSON>"}}');
});

test('cycles end, repeated values do not count as cycles', () => {
  const shared = { s: 1 };
  const value = { a: shared, b: [shared] };
  value.self = value;
  value.list = [value.b];
  assert.deepEqual(parsed(value), { a: { s: 1 }, b: [{ s: 1 }], self: '<cycle>', list: [[{ s: 1 }]] });
  const map = new Map();
  map.set('me', map);
  assert.deepEqual(parsed(map), { me: '<cycle>' });
});

test('what lies too deep for a reader becomes text', () => {
  const deep = (levels) => (levels === 0 ? 'bottom' : { in: deep(levels - 1) });
  const depthOf = (value) => (typeof value === 'object' ? 1 + depthOf(Object.values(value)[0]) : 0);
  assert.equal(recorded(deep(31)), JSON.stringify(deep(31)));
  const value = parsed(deep(40));
  assert.equal(depthOf(value), 31);
  let inner = value;
  while (typeof inner === 'object') inner = inner.in;
  assert.deepEqual(JSON.parse(inner), deep(9));
  let list = [];
  for (let i = 0; i < 100_000; i++) list = [list];
  assert.ok(recorded(list).length < 1000);
});

test('hostile values are told apart and never throw', () => {
  const thrower = {
    get boom() {
      throw new Error('no');
    },
    fine: 1,
  };
  assert.deepEqual(parsed(thrower), { boom: '<unreadable: Error: no>', fine: 1 });
  const unprintable = {
    get boom() {
      throw {
        toString() {
          throw new Error('again');
        },
      };
    },
  };
  assert.deepEqual(parsed(unprintable), { boom: '<unreadable>' });
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  assert.match(recorded(revoked.proxy), /^<unreadable: TypeError/);
  const refusing = {
    toJSON() {
      throw new Error('x');
    },
  };
  assert.equal(recorded(refusing), '<unreadable: Error: x>');
});

test('lone surrogates and __proto__ inside values are harmless', () => {
  assert.equal(recorded({ 'k\ud800': 'v\udc00' }), '{"k\ufffd":"v\ufffd"}');
  assert.equal(recorded({ text: 'literal \\ud800' }), JSON.stringify({ text: 'literal \\ud800' }));
  const value = JSON.parse('{"__proto__": {"polluted": true}, "n": null}');
  value.n = NaN;
  assert.equal(recorded(value), '{"__proto__":{"polluted":true},"n":"NaN"}');
  assert.equal({}.polluted, undefined);
});

test('values that grow without end are cut', () => {
  let bomb = { leaf: NaN };
  for (let i = 0; i < 28; i++) bomb = { a: bomb, b: bomb };
  const started = Date.now();
  assert.ok(recorded(bomb).includes('<truncated>'));
  assert.ok(Date.now() - started < 5000);
  const list = parsed(new Set(Array.from({ length: 200_000 }, (_, i) => i)));
  assert.equal(list.length, 100_001);
  assert.equal(list.at(-1), '<truncated>');
});

test('a value is recorded as it was when it was set', async () => {
  await takeTraces();
  const inputs = { n: 1 };
  mlflow.withSpan(
    (span) => {
      inputs.n = 2;
      span.addEvent('e', { inputs });
      inputs.n = 3;
    },
    { inputs },
  );
  const { spans } = await takeTrace();
  assert.deepEqual(spans[0].inputs, { n: 1 });
  assert.deepEqual(spans[0].events[0].attributes.inputs, { n: 2 });
});
