import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { framesOf, mlflow, takeTrace, takeTraces } from './support/engine.mjs';

const { Attachment, startSpan, withSpan } = mlflow;

const configure = (options) => mlflow.init({ exporter: 'memory', batchDelayMs: 0, ...options });
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';
const pixels = Uint8Array.from({ length: 300 }, (_, i) => i);
const dataUri = (type, content) => `data:${type};base64,${Buffer.from(content).toString('base64')}`;

beforeEach(async () => {
  configure({});
  await takeTraces();
});

test('an attachment is a frame of its own and a reference in the span', () => {
  let span;
  const [start, attach, end] = framesOf(() => {
    span = startSpan({ name: 'span' });
    span.setInputs({ image: new Attachment('image/png', pixels) });
    span.end();
  });
  assert.deepEqual([start.kind, attach.kind, end.kind], [1, 5, 2]);
  const { payload } = attach;
  assert.equal(payload.toString('hex', 0, 16), span.traceId.slice(3));
  const id = payload.toString('latin1', 16, 52);
  assert.match(id, new RegExp(`^${UUID}$`));
  assert.equal(payload.readUInt16LE(52), 9);
  assert.equal(payload.toString('utf8', 54, 63), 'image/png');
  assert.deepEqual(new Uint8Array(payload.subarray(63)), pixels);
  assert.deepEqual(span.inputs, {
    image: `mlflow-attachment://${id}?content_type=image%2Fpng&trace_id=${span.traceId}&size=300`,
  });
});

test('content arrives, wherever in inputs and outputs it is', async () => {
  const image = new Attachment('image/png', pixels);
  const sound = new Attachment('audio/wav', pixels.buffer.slice(0, 7));
  withSpan(() => ({ deep: [{ image }, new Map([['sound', sound]])] }), { name: 'nested', inputs: image });
  const { spans } = await takeTrace();
  const content = dataUri('image/png', pixels);
  assert.equal(spans[0].inputs, content);
  assert.deepEqual(spans[0].outputs, {
    deep: [{ image: content }, { sound: dataUri('audio/wav', pixels.subarray(0, 7)) }],
  });
});

test('content is kept as it was when it was set, once for each span', async () => {
  const bytes = new Uint8Array([1, 2, 3]);
  const attachment = new Attachment('application/x', bytes);
  const frames = framesOf(() => {
    withSpan(
      (root) => {
        root.setInputs([attachment, attachment]);
        root.setInputs({ again: attachment });
        bytes.fill(9);
        withSpan((child) => child.setInputs(attachment), { name: 'child' });
      },
      { name: 'root' },
    );
  });
  assert.equal(frames.filter(({ kind }) => kind === 5).length, 2);
  const { byName } = await takeTrace();
  assert.deepEqual(byName.root.inputs, { again: dataUri('application/x', [1, 2, 3]) });
  assert.equal(byName.child.inputs, dataUri('application/x', [9, 9, 9]));
});

test('references are written as the engine looks for them, whatever the type', async () => {
  const types = ['text/plain; charset=utf-8', "a!'()*~-._b", 'ü/漢', 'a+b%20"\\', '\ud800x', ' '];
  for (const type of types) {
    withSpan((span) => span.setInputs(new Attachment(type, pixels)));
    const { spans } = await takeTrace();
    assert.equal(spans[0].inputs, dataUri(type.toWellFormed(), pixels), JSON.stringify(type));
  }
});

test('elsewhere in a span an attachment is only named', async () => {
  const attachment = new Attachment('image/png', pixels);
  withSpan((span) => {
    span.setAttribute('a', { attachment });
    span.addEvent('e', { attachment });
  });
  const [span] = (await takeTrace()).spans;
  assert.deepEqual(span.attributes.a, { attachment: '<Attachment image/png, 300 bytes>' });
  assert.equal(span.events[0].attributes.attachment, '<Attachment image/png, 300 bytes>');
});

test('what is too large is discarded, and its span fails', async () => {
  configure({ attachmentsMaxBytes: 299 });
  withSpan((span) => span.setInputs({ image: new Attachment('image/png', pixels) }));
  const [span] = (await takeTrace()).spans;
  assert.equal(span.inputs.image, '[Attachment too large: 300 bytes exceeds 299 bytes limit]');
  assert.equal(span.status.code, 'STATUS_CODE_ERROR');
});

test('what is withheld or not recorded keeps no attachment', async () => {
  configure({ redactKeys: 'image' });
  withSpan((span) => span.setInputs({ image: new Attachment('image/png', pixels) }));
  const [span] = (await takeTrace()).spans;
  assert.deepEqual(span.inputs, { image: '[redacted]' });
  const frames = framesOf(() => {
    withSpan((off) => off.setInputs(new Attachment('image/png', pixels)), { samplingRatioOverride: 0 });
  });
  assert.deepEqual(frames, []);
});

test('what is no content is refused where it is made', () => {
  for (const [type, content] of [
    ['', pixels],
    [undefined, pixels],
    ['image/png', 'text'],
    ['image/png', undefined],
    ['image/png', [1, 2]],
  ]) {
    assert.throws(() => new Attachment(type, content), TypeError);
  }
});

test('a large attachment passes through', async () => {
  const large = Buffer.alloc(3_000_000, 'abc');
  withSpan((span) => span.setOutputs(new Attachment('video/mp4', large)));
  assert.equal((await takeTrace()).spans[0].outputs, dataUri('video/mp4', large));
});
