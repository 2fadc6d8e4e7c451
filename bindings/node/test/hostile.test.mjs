// What a real MLflow server gives back of hostile values is what docs/values.md says.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { before, test } from 'node:test';
import { run } from './support/child.mjs';
import { mlflow } from './support/engine.mjs';

const server = process.env.MLFLOW_TRACE_TEST_SERVER?.replace(/\/$/, '');
const skip = server === undefined && 'MLFLOW_TRACE_TEST_SERVER is not set';
// A server and MLflow's client read no deeper JSON back.
const DEEPEST_OBJECT = 31;
const DEEPEST_LIST = 47;

before(() => {
  if (server !== undefined) {
    mlflow.init({
      trackingUri: server,
      experimentName: `node-hostile-${process.pid}-${Date.now()}`,
      batchDelayMs: 0,
    });
  }
});

const nested = (depth, wrap, value = 0) => {
  for (let i = 0; i < depth; i++) value = wrap(value);
  return value;
};

const cycle = { a: 1, list: [] };
cycle.me = cycle;
cycle.list.push(cycle.list);

class Color {
  static RED = new Color('red');
  constructor(name) {
    this.name = name;
  }
}

class Throwing {
  fine = 1;
  get toJSON() {
    throw new Error('no JSON');
  }
}

const thrower = (message) => () => {
  throw new Error(message);
};

/** By name: the value, and what is read back; `undefined` for what is not recorded by itself. */
const VALUES = {
  nan: [NaN, 'NaN'],
  infinity: [Infinity, 'Infinity'],
  'minus infinity': [-Infinity, '-Infinity'],
  'minus zero': [-0, 0],
  'greatest number': [Number.MAX_VALUE, Number.MAX_VALUE],
  denormal: [5e-324, 5e-324],
  '2 ** 64': [2 ** 64, 2 ** 64],
  'small bigint': [5n, 5],
  'greatest integer': [2n ** 63n - 1n, Number(2n ** 63n)],
  '2^63': [2n ** 63n, '9223372036854775808'],
  '2^64': [2n ** 64n, '18446744073709551616'],
  'below -2^63': [-(2n ** 63n) - 1n, '-9223372036854775809'],
  '10^400': [10n ** 400n, `1${'0'.repeat(400)}`],
  'lone surrogate': ['a\ud800b', 'a\ufffdb'],
  nul: ['a\0b', 'a\0b'],
  controls: ['\x01\x1f\x7f\u2028', '\x01\x1f\x7f\u2028'],
  cycle: [cycle, { a: 1, list: ['<cycle>'], me: '<cycle>' }],
  getter: [
    Object.defineProperty({ y: 1 }, 'x', { get: thrower('no'), enumerable: true }),
    { y: 1, x: '<unreadable: Error: no>' },
  ],
  'toJSON throws': [{ toJSON: thrower('x') }, '<unreadable: Error: x>'],
  'toJSON cannot be got': [new Throwing(), '<unreadable: Error: no JSON>'],
  'toString throws': [
    { toString: thrower('x'), n: 1 },
    { toString: '<function anonymous>', n: 1 },
  ],
  'hostile proxy': [new Proxy({}, { ownKeys: thrower('trap') }), '<unreadable: Error: trap>'],
  date: [new Date(0), '1970-01-01T00:00:00.000Z'],
  'invalid date': [new Date(NaN), 'Invalid Date'],
  map: [
    new Map([
      ['a', 1],
      [2, new Set([3])],
      [null, true],
    ]),
    { a: 1, 2: [3], null: true },
  ],
  'map of objects': [new Map([[{ k: 1 }, 'v']]), [[{ k: 1 }, 'v']]],
  'map of symbols': [new Map([[Symbol('s'), 1]]), { 'Symbol(s)': 1 }],
  set: [new Set([1, [2]]), [1, [2]]],
  buffer: [Buffer.from([255, 0]), '/wA='],
  'array buffer': [new ArrayBuffer(2), 'AAA='],
  floats: [new Float64Array([1.5, NaN]), [1.5, 'NaN']],
  'wide integers': [new BigUint64Array([2n ** 64n - 1n]), ['18446744073709551615']],
  symbol: [Symbol('s'), 'Symbol(s)'],
  function: [function named() {}, '<function named>'],
  class: [Color, '<function Color>'],
  instance: [Color.RED, { name: 'red' }],
  'undefined inside': [{ a: undefined, b: [undefined] }, { b: [null] }],
  holes: [Object.assign(new Array(3), { 0: 1, 2: 3 }), [1, null, 3]],
  error: [new TypeError('t'), { name: 'TypeError', message: 't' }],
  regexp: [/a/g, '/a/g'],
  promise: [Promise.resolve(1), '<Promise>'],
  emitter: [new EventEmitter(), '<EventEmitter>'],
  generator: [(function* () {})(), '<Object>'],
  'boxed number': [Object(NaN), 'NaN'],
  'boxed bigint': [Object(2n ** 70n), '1180591620717411303424'],
  'symbol keys': [{ [Symbol('s')]: 1, b: 2 }, { b: 2 }],
  'odd keys': [
    { '\udc00': 1, '': 2, 3: 4 },
    { 3: 4, '\ufffd': 1, '': 2 },
  ],
  __proto__key: [JSON.parse('{"__proto__": {"x": 1}}'), JSON.parse('{"__proto__": {"x": 1}}')],
  'deepest objects': [nested(DEEPEST_OBJECT, (v) => ({ k: v })), nested(DEEPEST_OBJECT, (v) => ({ k: v }))],
  'deepest lists': [nested(DEEPEST_LIST, (v) => [v]), nested(DEEPEST_LIST, (v) => [v])],
};

const toObject = (attributes = []) =>
  Object.fromEntries(attributes.map(({ key = '', value }) => [key, toValue(value)]));

function toValue(value = {}) {
  if ('array_value' in value) return (value.array_value.values ?? []).map(toValue);
  if ('kvlist_value' in value) return toObject(value.kvlist_value.values);
  return Object.values(value)[0] ?? null;
}

/** The only span of a trace; fails unless the server answers with status 200. */
async function get(traceId) {
  const url = `${server}/api/3.0/mlflow/traces/get?trace_id=${traceId}&allow_partial=false`;
  const reply = await fetch(url);
  const text = await reply.text();
  assert.equal(reply.status, 200, text);
  const [span] = JSON.parse(text).trace.spans;
  return { ...span, attributes: toObject(span.attributes) };
}

test('values are read back as documented', { skip }, async (t) => {
  const ids = {};
  for (const [name, [value]] of Object.entries(VALUES)) {
    mlflow.withSpan(
      (span) => {
        ids[name] = span.traceId;
        span.setInputs(value);
        span.setAttribute('value', value);
        if (name.startsWith('deepest')) return;
        span.setOutputs({ k: value, l: [value] });
        span.addEvent('event', { value, list: [value] });
        span.addLink({ traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8), attributes: { value } });
      },
      { name },
    );
  }
  assert.equal(await mlflow.flushTraces(60_000), 0);
  for (const [name, [, expected]] of Object.entries(VALUES)) {
    await t.test(name, async () => {
      const span = await get(ids[name]);
      assert.deepEqual(span.attributes['mlflow.spanInputs'], expected);
      assert.deepEqual(span.attributes.value, expected);
      if (name.startsWith('deepest')) return;
      assert.deepEqual(span.attributes['mlflow.spanOutputs'], { k: expected, l: [expected] });
      assert.deepEqual(toObject(span.events[0].attributes), { value: expected, list: [expected] });
      assert.deepEqual(toObject(span.links[0].attributes), { value: expected });
    });
  }
});

test('undefined is nothing as inputs, and null as an attribute', { skip }, async () => {
  let traceId;
  mlflow.withSpan(
    (span) => {
      traceId = span.traceId;
      span.setInputs(undefined);
      span.setAttribute('value', undefined);
    },
    { name: 'undefined' },
  );
  assert.equal(await mlflow.flushTraces(60_000), 0);
  const { attributes } = await get(traceId);
  assert.equal(attributes['mlflow.spanInputs'] ?? null, null);
  assert.equal(attributes.value, null);
});

test('extreme depth becomes text', { skip }, async () => {
  for (const [wrap, levels] of [
    [(v) => [v], DEEPEST_LIST],
    [(v) => ({ k: v }), DEEPEST_OBJECT],
    [(v) => new Map([['k', v]]), DEEPEST_OBJECT],
    [(v) => new Set([v]), DEEPEST_LIST],
  ]) {
    const value = nested(100_000, wrap);
    let traceId;
    mlflow.withSpan(
      (span) => {
        traceId = span.traceId;
        span.setInputs(value);
        span.addEvent('event', { value, list: [value] });
      },
      { name: 'deep' },
    );
    assert.equal(await mlflow.flushTraces(60_000), 0);
    const { attributes, events } = await get(traceId);
    const down = (found) => {
      let depth = 0;
      while (typeof found === 'object') {
        found = Object.values(found)[0];
        depth++;
      }
      return [depth, found];
    };
    const [depth, text] = down(attributes['mlflow.spanInputs']);
    assert.equal(depth, levels);
    const [, bottom] = down(JSON.parse(text));
    assert.equal(bottom, '<too deep>');
    assert.equal(typeof down(toObject(events[0].attributes))[1], 'string');
  }
});

test('of a million keys the first hundred thousand arrive', { skip }, async () => {
  const value = {};
  for (let i = 0; i < 1_000_000; i++) value[`key ${i}`] = i;
  let traceId;
  mlflow.withSpan(
    (span) => {
      traceId = span.traceId;
      span.setInputs(value);
    },
    { name: 'million' },
  );
  assert.equal(await mlflow.flushTraces(60_000), 0);
  const { attributes } = await get(traceId);
  const found = attributes['mlflow.spanInputs'];
  assert.equal(Object.keys(found).length, 100_001);
  assert.equal(found['key 99999'], 99999);
  assert.equal(found['<truncated>'], true);
});

const texts = [
  ['wide integers', '{"a": 18446744073709551616}'],
  ['depth', '['.repeat(60) + ']'.repeat(60)],
  ['depth of no JSON', '['.repeat(2000)],
  ['escaped surrogates', '{"a": "\\ud800"}'],
  ['NaN', '{"a": NaN}'],
];
for (const [name, text] of texts) {
  test(`text that holds hostile JSON can be read: ${name}`, { skip }, async () => {
    let traceId;
    mlflow.withSpan(
      (span) => {
        traceId = span.traceId;
        span.setInputs(text);
      },
      { name: 'text' },
    );
    assert.equal(await mlflow.flushTraces(60_000), 0);
    await get(traceId);
  });
}

const BIG = {
  text: [`'x'.repeat(size)`, /^x{100}/],
  'wide text': [`'é'.repeat(size / 2)`, /^é{100}/],
  bytes: ['Buffer.alloc(size, 255)', /^\/{100}/],
  'text in an object': [`({ k: '\\n'.repeat(size) })`, /^\{"k":"\\n\\n/],
  'bytes in a list': ['[Buffer.alloc(size)]', /^\["AAAA/],
};
for (const [name, [expression, beginning]] of Object.entries(BIG)) {
  test(`a hundred megabytes of ${name}`, { skip }, async () => {
    const program = `
      import { readFileSync, writeFileSync } from 'node:fs';
      const status = () => readFileSync('/proc/self/status', 'utf8');
      const memory = (name) => Number(status().match(new RegExp(name + ':\\\\s+(\\\\d+)'))[1]) / 1024;
      const size = 100 * 2 ** 20;
      mlflow.init({ trackingUri: ${JSON.stringify(server)}, experimentName: 'hostile', batchDelayMs: 0 });
      mlflow.withSpan(() => 0, { name: 'warm up' });
      await mlflow.flushTraces(60_000);
      const value = ${expression};
      // Text that was put together is written out when it is first looked into.
      (typeof value === 'string' ? value : (value.k ?? '')).charCodeAt(9);
      writeFileSync('/proc/self/clear_refs', '5');
      const before = memory('VmRSS');
      let id;
      mlflow.withSpan((span) => ((id = span.traceId), span.setInputs(value)), { name: 'big' });
      const left = await mlflow.flushTraces(60_000);
      const { created, delivered } = mlflow.stats();
      console.log(JSON.stringify({ id, megabytes: memory('VmHWM') - before, left, created, delivered }));
    `;
    const done = await run(program);
    assert.equal(done.status, 0, done.stderr);
    const { id, megabytes, ...counts } = JSON.parse(done.stdout);
    assert.deepEqual(counts, { left: 0, created: 2, delivered: 2 });
    assert.ok(megabytes < 300, `${megabytes} MiB`);
    const { attributes } = await get(id);
    const inputs = attributes['mlflow.spanInputs'];
    const text = typeof inputs === 'string' ? inputs : JSON.stringify(inputs);
    assert.match(text, beginning);
    assert.match(text.slice(-60), /\.\.\. \[truncated, \d+ (bytes|characters)\]/);
  });
}
