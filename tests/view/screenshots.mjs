// Pictures of a LangGraph trace in our page and in MLflow's, for the docs:
//
//   node screenshots.mjs DIRECTORY
//
// records it with $INTEGRATIONS_PYTHON on the server at $MLFLOW_TRACE_TEST_SERVER.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { launch } from './chromium.mjs';

const TIMEOUT_MS = 60_000;
const SIZE = { width: 1200, height: 560 };
/** MLflow's page has more beside the trace, which is cut off. */
const MLFLOW_SIZE = { width: 1560, height: 560 };
const server = process.env.MLFLOW_TRACE_TEST_SERVER;
const target = resolve(process.argv[2]);

function run(command, ...args) {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr ?? String(done.error));
  return done.stdout;
}

/** Until the page shows each of these, wherever it is. */
const shows = (page, texts) =>
  page.waitForFunction(
    (texts) => texts.every((text) => document.body.innerText.includes(text)),
    { timeout: TIMEOUT_MS },
    texts,
  );

/** Clicks on the innermost element with this text. */
async function choose(page, text) {
  const found = await page.$$(`::-p-xpath(//*[normalize-space(text())="${text}"])`);
  await found[0].click();
}

const program = fileURLToPath(new URL('langgraph_trace.py', import.meta.url));
const { experiment, trace } = JSON.parse(
  run(process.env.INTEGRATIONS_PYTHON, program).trim().split('\n').at(-1),
);
const directory = mkdtempSync(join(tmpdir(), 'mlflow-trace-view-'));
const browser = await launch();
try {
  const html = join(directory, 'trace.html');
  run(process.env.MLFLOW_TRACE_COMMAND, '--tracking-uri', server, 'view', trace, '-o', html);
  const ours = await browser.newPage();
  await ours.setViewport(SIZE);
  await ours.goto(pathToFileURL(html).href);
  await shows(ours, ['weather_agent', 'ChatOpenAI', 'get_weather', 'CHAT_MODEL', '60']);
  await choose(ours, 'ChatOpenAI');
  await ours.screenshot({ path: join(target, 'langgraph-view.png') });

  const theirs = await browser.newPage();
  await theirs.setViewport(MLFLOW_SIZE);
  await theirs.goto(`${server}/#/experiments/${experiment}/traces?selectedEvaluationId=${trace}`);
  await shows(theirs, ['weather_agent', 'ChatOpenAI', 'get_weather']);
  await choose(theirs, 'ChatOpenAI');
  const drawer = await theirs.waitForSelector('::-p-xpath(//*[@role="dialog"][contains(., "ChatOpenAI")])');
  await drawer.screenshot({ path: join(target, 'langgraph-mlflow.png') });
} finally {
  await browser.close();
  rmSync(directory, { recursive: true, force: true });
}
