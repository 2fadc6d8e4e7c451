import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { mlflow, takeTrace, takeTraces } from './support/engine.mjs';

const { withSpan } = mlflow;

before(() =>
  mlflow.init({
    exporter: 'memory',
    batchDelayMs: 0,
    limitsValueBytes: 64,
    limitsAttributes: 3,
    limitsEvents: 2,
    limitsLinks: 1,
  }),
);
beforeEach(takeTraces);

const cut = (length) => `${'x'.repeat(64)}... [truncated, ${length} bytes]`;

test('long texts are cut, with a note', async () => {
  withSpan(
    (span) => {
      span.setAttribute('a', 'x'.repeat(65));
      span.setAttribute('fits', 'x'.repeat(64));
      span.addEvent('e', { list: ['x'.repeat(90)] });
      span.setStatus('ERROR', 'x'.repeat(80));
      return 'x'.repeat(200);
    },
    { name: 'x'.repeat(70) },
  );
  const [span] = (await takeTrace()).spans;
  assert.equal(span.name, cut(70));
  assert.equal(span.outputs, cut(200));
  assert.equal(span.attributes.a, cut(65));
  assert.equal(span.attributes.fits, 'x'.repeat(64));
  assert.equal(span.status.message, cut(80));
  assert.deepEqual(span.events[0].attributes.list, [cut(90)]);
});

test('attributes, events and links beyond their number are left out; MLflow’s own attributes stay', async () => {
  withSpan((span) => {
    for (let i = 0; i < 5; i++) {
      span.setAttribute(`key ${i}`, i);
      span.addEvent(`event ${i}`);
      span.addLink({ traceId: '1'.repeat(32), spanId: '2'.repeat(16) });
    }
    span.setAttribute('mlflow.chat.tokenUsage', { input_tokens: 1 });
    span.setInputs('in');
  });
  const [span] = (await takeTrace()).spans;
  const own = Object.keys(span.attributes).filter((key) => key.startsWith('key'));
  assert.deepEqual(own, ['key 0', 'key 1']);
  assert.equal(span.inputs, 'in');
  assert.deepEqual(span.attributes['mlflow.chat.tokenUsage'], { input_tokens: 1 });
  assert.deepEqual(
    span.events.map((event) => event.name),
    ['event 0', 'event 1'],
  );
  assert.equal(span.links.length, 1);
});
