// The front end: checks a question, asks the agent, answers the caller.
//
// `POST /ask {"question": ...}` on a free loopback port; the address is the first line printed.
// SIGTERM finishes the requests in flight, flushes the spans and ends the process.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

import * as mlflow from 'mlflow-trace';

const MAX_BODY_BYTES = 64 * 1024;
const MAX_QUESTION_CHARACTERS = 500;

const { values: options } = parseArgs({ options: { agent: { type: 'string' } } });

class BadRequest extends Error {}

async function readQuestion(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new BadRequest('the body is too large');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString()).question;
  } catch {
    throw new BadRequest('the body must be JSON with a question');
  }
}

function validate(question) {
  if (typeof question !== 'string' || question.trim() === '') {
    throw new BadRequest('the question must be a text that is not empty');
  }
  if (question.length > MAX_QUESTION_CHARACTERS) {
    throw new BadRequest(`the question has more than ${MAX_QUESTION_CHARACTERS} characters`);
  }
  return question.trim().replace(/\s+/g, ' ');
}

async function callAgent(question) {
  const response = await fetch(`${options.agent}/answer`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...mlflow.getTracingContextHeaders() },
    body: JSON.stringify({ question }),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(`the agent answered ${response.status}: ${body.error}`);
  return body;
}

// The headers of the reply name the trace, so that a caller can look it up.
async function ask(question, session, user, replyHeaders) {
  return mlflow.withSpan(
    async (root) => {
      replyHeaders['x-trace-id'] = root.traceId;
      root.setAttributes({ 'service.name': 'frontend', 'service.language': 'JavaScript' });
      mlflow.updateCurrentTrace({
        tags: { application: 'polyglot-demo', languages: 'JavaScript, Python, C++' },
        sessionId: session,
        user,
        requestPreview: String(question),
      });
      const checked = mlflow.withSpan(() => validate(question), {
        name: 'validate',
        spanType: 'GUARDRAIL',
        inputs: { question },
      });
      const answer = await mlflow.withSpan(() => callAgent(checked), {
        name: 'call agent',
        spanType: 'TOOL',
        inputs: { question: checked },
      });
      mlflow.updateCurrentTrace({ responsePreview: answer.answer });
      return answer;
    },
    { name: 'POST /ask', spanType: 'CHAIN', inputs: { question } },
  );
}

async function handle(request, replyHeaders) {
  if (request.method !== 'POST' || request.url !== '/ask') return [404, { error: 'not found' }];
  try {
    const question = await readQuestion(request);
    const session = request.headers['x-session-id'] ?? 'none';
    const user = request.headers['x-user-id'] ?? 'anonymous';
    return [200, await ask(question, session, user, replyHeaders)];
  } catch (error) {
    return [error instanceof BadRequest ? 400 : 502, { error: error.message }];
  }
}

mlflow.init();

const server = createServer(async (request, response) => {
  const headers = { 'content-type': 'application/json', connection: 'close' };
  const [status, body] = await handle(request, headers);
  response.writeHead(status, headers);
  response.end(JSON.stringify(body));
});

async function stop() {
  await new Promise((resolve) => server.close(resolve));
  const pending = await mlflow.flushTraces();
  console.log(`pending spans: ${pending}`);
}

process.once('SIGTERM', stop);
process.once('SIGINT', stop);
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
