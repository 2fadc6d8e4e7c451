// The vectors of tests/vectors/dialects, which every language's suite reads.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const { native } = createRequire(import.meta.url)('../dist/native.js');
const files = new URL('../../../tests/vectors/dialects/', import.meta.url);
const text = (event) => (typeof event === 'string' ? event : JSON.stringify(event));

function result(dialect, { request, reply, chunks }) {
  if (chunks !== undefined) return native().dialectFold(dialect, chunks.map(text));
  if (request !== undefined) return native().dialectRequest(dialect, text(request));
  return native().dialectReply(dialect, text(reply));
}

for (const file of readdirSync(files)) {
  const dialect = file.replace(/\.json$/, '');
  test(`what a provider sends is understood: ${dialect}`, () => {
    for (const vector of JSON.parse(readFileSync(new URL(file, files), 'utf8'))) {
      assert.deepEqual(JSON.parse(result(dialect, vector)), vector.expect, vector.name);
    }
  });
}

test('a body is folded as it came', () => {
  const body = 'event: x\ndata: {"choices": [{"delta": {"content": "Hi"}}]}\n\ndata: [DONE]\n\ndata: {"ch';
  assert.equal(JSON.parse(native().dialectFold('openai.chat', body)).choices[0].message.content, 'Hi');
});

test('what is no JSON says nothing', () => {
  for (const hostile of ['', '\ud800', '"\ud800"', 'NaN']) {
    assert.equal(native().dialectRequest('gemini', hostile), '{}');
    assert.equal(native().dialectReply('gemini', hostile), '{}');
    assert.equal(native().dialectFold('gemini', [hostile]), 'null');
  }
});

test('a dialect that does not exist is an error', () => {
  for (const call of ['dialectRequest', 'dialectReply', 'dialectFold']) {
    const code = 'ERR_MLFLOW_TRACE_INVALID_ARGUMENT';
    assert.throws(() => native()[call]('openai', '{}'), { code, message: /openai\.chat/ });
  }
});
