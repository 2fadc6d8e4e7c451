import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { encodedSpan, framesOf, mlflow, takeTrace, takeTraces, useMemory } from './support/engine.mjs';
import { readSpan } from './support/protobuf.mjs';

before(useMemory);

test('a root is a START frame and a SPAN frame with the same identity', () => {
  let span;
  const [start, end, ...more] = framesOf(() => {
    span = mlflow.startSpan({ name: 'root' });
    span.end();
  });
  assert.equal(more.length, 0);
  assert.deepEqual([start.kind, start.flags, start.reserved], [1, 0, 0]);
  assert.deepEqual([end.kind, end.flags, end.reserved], [2, 0, 0]);
  const traceId = span.traceId.slice(3);
  assert.match(span.traceId, /^tr-[0-9a-f]{32}$/);
  assert.match(span.spanId, /^[0-9a-f]{16}$/);
  assert.equal(start.payload.length, 40);
  assert.equal(start.payload.toString('hex', 0, 32), traceId + span.spanId + '0'.repeat(16));
  assert.equal(start.payload.readBigUInt64LE(32), span.startTimeNs);
  const decoded = readSpan(end.payload);
  assert.equal(decoded.traceId, traceId);
  assert.equal(decoded.spanId, span.spanId);
  assert.equal(decoded.parentId, undefined);
  assert.equal(decoded.name, 'root');
  assert.equal(decoded.start, span.startTimeNs);
  assert.equal(decoded.end, span.endTimeNs);
  // What the engine adds is not written here.
  assert.deepEqual(decoded.attributes, {});
  assert.deepEqual(decoded.status, { code: 0, message: undefined });
});

test('a child names its parent', () => {
  const parent = mlflow.startSpan({ name: 'parent' });
  const [start, end] = framesOf(() => mlflow.startSpan({ name: 'child', parent }).end());
  assert.equal(start.payload.toString('hex', 24, 32), parent.spanId);
  assert.equal(readSpan(end.payload).parentId, parent.spanId);
  assert.equal(readSpan(end.payload).traceId, parent.traceId.slice(3));
  parent.end();
});

test('scalars keep their kind, at the edges of every encoding', () => {
  const integers = [0, 1, 127, 128, 16383, 16384, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
  const values = {
    ...Object.fromEntries(integers.map((value) => [`int ${value}`, value])),
    ...Object.fromEntries(integers.slice(1).map((value) => [`int -${value}`, -value])),
    minusZero: -0,
    bigMax: 2n ** 63n - 1n,
    bigMin: -(2n ** 63n),
    bigTooLarge: 2n ** 63n,
    bigSmall: 5n,
    double: 0.1,
    huge: 1e300,
    beyondSafe: 2 ** 53,
    nan: NaN,
    infinity: Infinity,
    minusInfinity: -Infinity,
    yes: true,
    no: false,
    nothing: null,
    missing: undefined,
  };
  const { attributes } = encodedSpan((span) => span.setAttributes(values));
  for (const value of [...integers, ...integers.slice(1).map((value) => -value)]) {
    assert.equal(attributes[`int ${value}`], BigInt(value), `int ${value}`);
  }
  assert.equal(attributes.minusZero, 0n);
  assert.equal(attributes.bigMax, 2n ** 63n - 1n);
  assert.equal(attributes.bigMin, -(2n ** 63n));
  assert.equal(attributes.bigTooLarge, '9223372036854775808');
  assert.equal(attributes.bigSmall, 5n);
  assert.equal(attributes.double, 0.1);
  assert.equal(attributes.huge, 1e300);
  assert.equal(attributes.beyondSafe, 2 ** 53);
  assert.equal(attributes.nan, 'NaN');
  assert.equal(attributes.infinity, 'Infinity');
  assert.equal(attributes.minusInfinity, '-Infinity');
  assert.equal(attributes.yes, true);
  assert.equal(attributes.no, false);
  assert.equal(attributes.nothing, null);
  assert.equal(attributes.missing, null);
});

test('text of every length and script arrives as it was', () => {
  const texts = {};
  const scripts = { ascii: 'a', latin: 'é', greek: 'λ', han: '漢', emoji: '😀' };
  for (const [script, character] of Object.entries(scripts)) {
    for (const length of [
      0, 1, 23, 24, 25, 41, 42, 43, 63, 64, 100, 120, 127, 128, 129, 5000, 16384, 70000,
    ]) {
      texts[`${script} ${length}`] = character.repeat(length);
      texts[`${script} ${length} mixed`] = `${'a'.repeat(length)}${character}`;
    }
  }
  for (const [key, value] of Object.entries(texts)) {
    assert.equal(encodedSpan((span) => span.setAttribute(key, value)).attributes[key], value, key);
    assert.equal(encodedSpan(() => {}, { name: value }).name, value, key);
  }
});

test('keys of every length and script arrive as they were', () => {
  for (const character of ['k', 'é', '漢', '😀']) {
    for (const length of [1, 8, 31, 32, 33, 64, 100, 200]) {
      const key = character.repeat(length);
      assert.deepEqual(encodedSpan((span) => span.setAttribute(key, 7)).attributes, { [key]: 7n }, key);
      assert.deepEqual(encodedSpan((span) => span.setAttribute(key, 'v')).attributes, { [key]: 'v' }, key);
    }
  }
});

test('lone surrogates become replacement characters', () => {
  const { attributes, name } = encodedSpan((span) => span.setAttribute('key\ud800', 'a\udc00b'), {
    name: '\ud83d',
  });
  assert.deepEqual(attributes, { 'key\ufffd': 'a\ufffdb' });
  assert.equal(name, '\ufffd');
});

test('a later value of a key replaces the earlier one, with few and with many keys', () => {
  for (const count of [3, 31, 32, 33, 500]) {
    const { attributes } = encodedSpan((span) => {
      for (let i = 0; i < count; i++) span.setAttribute(`key ${i}`, 'old');
      for (let i = 0; i < count; i++) span.setAttribute(`key ${i}`, i);
      span.setAttribute('last', true);
    });
    assert.equal(Object.keys(attributes).length, count + 1);
    for (let i = 0; i < count; i++) assert.equal(attributes[`key ${i}`], BigInt(i));
  }
});

test('events and links carry native values', () => {
  const { events, links } = encodedSpan((span) => {
    span.addEvent({
      name: 'happened',
      timestamp: 1_700_000_000_000_000_001n,
      attributes: {
        text: 'x'.repeat(300),
        list: [1, 'two', null, [3.5]],
        map: { deep: { yes: true } },
        n: 2 ** 40,
      },
    });
    span.addEvent('short', { a: 1 });
    span.addLink({
      traceId: 'tr-0123456789abcdef0123456789abcdef',
      spanId: 'fedcba9876543210',
      attributes: { why: 'retry' },
    });
  });
  assert.equal(events[0].time, 1_700_000_000_000_000_001n);
  assert.equal(events[0].name, 'happened');
  assert.deepEqual(events[0].attributes, {
    text: 'x'.repeat(300),
    list: [1n, 'two', null, [3.5]],
    map: { deep: { yes: true } },
    n: 2n ** 40n,
  });
  assert.equal(events[1].name, 'short');
  assert.deepEqual(links, [
    { traceId: '0123456789abcdef0123456789abcdef', spanId: 'fedcba9876543210', attributes: { why: 'retry' } },
  ]);
});

test('events beyond the limit are counted, not kept; what went wrong takes the place of others', (t) => {
  t.after(useMemory);
  mlflow.init({ exporter: 'memory', batchDelayMs: 0, limitsEvents: 4 });
  let encoded = encodedSpan((span) => {
    for (let i = 0; i < 7; i++) span.addEvent(`event ${i}`);
  });
  const names = ({ events }) => events.map((event) => event.name);
  assert.deepEqual(names(encoded), ['event 0', 'event 1', 'event 2', 'event 3']);
  assert.equal(encoded.droppedEvents, 3n);
  encoded = encodedSpan((span) => {
    for (let i = 0; i < 4; i++) span.addEvent(`event ${i}`);
    span.recordException(new Error('first'));
    span.recordException(new Error('second'));
  });
  assert.deepEqual(names(encoded), ['event 0', 'event 1', 'exception', 'exception']);
  assert.equal(encoded.droppedEvents, 2n);
  encoded = encodedSpan((span) => {
    for (let i = 0; i < 6; i++) span.recordException(new Error(`${i}`));
  });
  assert.equal(encoded.events.length, 4);
  assert.equal(encoded.events[0].attributes['exception.message'], '0');
});

test('an explicit time is kept to the nanosecond; the end is never before the start', () => {
  const startTimeNs = 1_600_000_000_123_456_789n;
  let decoded = encodedSpan((span) => span.end({ endTimeNs: startTimeNs + 1n }), { startTimeNs });
  assert.equal(decoded.start, startTimeNs);
  assert.equal(decoded.end, startTimeNs + 1n);
  decoded = encodedSpan((span) => span.end({ endTimeNs: 5n }), { startTimeNs });
  assert.equal(decoded.end, startTimeNs);
  for (const bad of [0n, -1n, 2n ** 63n, NaN, Infinity, '5', {}]) {
    decoded = encodedSpan(() => {}, { startTimeNs: bad });
    const now = BigInt(Date.now()) * 1_000_000n;
    assert.ok(decoded.start > now - 60_000_000_000n && decoded.start <= now + 60_000_000_000n, String(bad));
  }
});

test('time follows the wall clock and resolves less than a microsecond', () => {
  const before = BigInt(Date.now()) * 1_000_000n;
  const starts = Array.from({ length: 200 }, () => encodedSpan(() => {}).start);
  const after = BigInt(Date.now() + 1) * 1_000_000n;
  assert.ok(starts[0] >= before - 10_000_000n && starts.at(-1) <= after + 10_000_000n);
  for (let i = 1; i < starts.length; i++) assert.ok(starts[i] >= starts[i - 1]);
  assert.ok(starts.some((start) => start % 1000n !== 0n));
});

test('the buffer is handed over when it is full, and a huge span fits', async () => {
  await takeTraces();
  mlflow.withSpan((root) => {
    root.setAttribute('huge', 'é'.repeat(1_000_000));
    for (let i = 0; i < 3000; i++) mlflow.withSpan(() => i, { name: `child ${i}` });
  });
  const { spans } = await takeTrace();
  assert.equal(spans.length, 3001);
  const root = spans.find((span) => span.parent_span_id === null || span.parent_span_id === '');
  assert.equal(root.attributes.huge, 'é'.repeat(1_000_000));
});
