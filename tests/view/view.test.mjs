// The page that `mlflow-trace view` writes, in headless Chromium. Takes screenshots into $SCREENSHOTS.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { launch } from './chromium.mjs';
import { answer, large } from './traces.mjs';

const COMMAND = process.env.MLFLOW_TRACE_COMMAND ?? 'mlflow-trace';
const SCREENSHOTS = resolve(process.env.SCREENSHOTS ?? '.build/view');
const SPANS = 10_000;
/** Rows of 28 px on a screen of 700, with some to spare. */
const MOST_ROWS = 60;

const directory = mkdtempSync(join(tmpdir(), 'mlflow-trace-view-'));
let browser;

before(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Writes the page of these traces and opens it; what goes wrong in it is in `errors`. */
async function open(traces, scheme = 'light') {
  const source = join(directory, 'traces.json');
  const target = join(directory, 'trace.html');
  writeFileSync(source, traces.map((trace) => JSON.stringify(trace)).join('\n'));
  const made = spawnSync(COMMAND, ['view', source, '-o', target], { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr ?? String(made.error));
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warn') errors.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith('file:')) errors.push(`asks for ${request.url()}`);
  });
  await page.setViewport({ width: 1200, height: 700 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.goto(pathToFileURL(target).href);
  await page.waitForSelector('.row');
  return { page, errors };
}

const text = (page, selector) => page.$eval(selector, (found) => found.textContent);
const rows = (page) => page.$$eval('.row', (found) => found.length);
const chosen = (page) => page.$eval('.row.chosen .title', (found) => found.textContent);
/** Until the page has drawn what it was told. */
const drawn = (page) =>
  page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

test('ten thousand spans are scrolled, searched, filtered and walked by keys', async () => {
  const { page, errors } = await open([large(SPANS)]);
  assert.equal(await text(page, '#found'), '10,000 spans');
  assert.equal(await chosen(page), 'step 0');
  assert.ok((await rows(page)) <= MOST_ROWS);

  for (const share of [0.1, 0.5, 0.9, 1]) {
    await page.$eval('#rows', (found, share) => (found.scrollTop = found.scrollHeight * share), share);
    await drawn(page);
    const count = await rows(page);
    assert.ok(count > 10 && count <= MOST_ROWS, `${count} rows at ${share}`);
  }
  const last = await page.$$eval('.row', (found) => found.at(-1)?.getAttribute('aria-rowindex'));
  assert.equal(last, String(SPANS));

  await page.keyboard.press('/');
  await page.keyboard.type('needle');
  assert.equal(await text(page, '#found'), '1 of 10,000');
  await page.keyboard.press('Enter');
  assert.equal(await chosen(page), 'needle');
  assert.equal(await text(page, '#detail h2'), 'needle');
  assert.match(await text(page, '#detail'), /7777/);
  await page.keyboard.press('Escape');
  assert.equal(await text(page, '#found'), '10,000 spans');

  await page.select('#type', 'TOOL');
  assert.equal(await text(page, '#found'), '2,500 of 10,000');
  await page.select('#type', '');
  await page.click('#errors');
  assert.equal(await text(page, '#found'), '100 of 10,000');
  await page.click('#errors');

  await page.focus('#rows');
  await page.keyboard.press('Home');
  assert.equal(await chosen(page), 'step 0');
  await page.keyboard.press('ArrowDown');
  assert.equal(await chosen(page), 'step 1');
  await page.keyboard.press('e');
  assert.notEqual(await page.$('.row.chosen.failed'), null);
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowLeft');
  assert.equal(await rows(page), 1, 'the root is folded');
  await page.keyboard.press('ArrowRight');
  assert.ok((await rows(page)) > 10);
  await page.keyboard.press('End');
  await drawn(page);
  assert.ok((await rows(page)) <= MOST_ROWS);
  await page.keyboard.press('?');
  assert.notEqual(await page.$('dialog[open]'), null);
  await page.keyboard.press('Escape');
  assert.deepEqual(errors, []);
  await page.close();
});

test('light and dark', async () => {
  const grounds = new Set();
  for (const scheme of ['light', 'dark']) {
    const { page, errors } = await open([answer()], scheme);
    const ground = () => page.$eval('body', (found) => getComputedStyle(found).backgroundColor);
    grounds.add(await ground());
    await page.focus('#rows');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await drawn(page);
    assert.match(await text(page, '#detail .facts'), /Model\s*small-1\s*Tokens\s*402 in, 71 out, 473 total/);
    assert.deepEqual(
      await page.$$eval('#detail .message', (found) => found.map((message) => message.textContent)),
      ['userWhere is order 1187?', 'assistantlook_up({"order":1187})'],
    );
    await page.screenshot({ path: join(SCREENSHOTS, `view-${scheme}.png`) });
    const before = await ground();
    await page.keyboard.press('t');
    assert.notEqual(await ground(), before, 'the key turns it');
    assert.deepEqual(errors, []);
    await page.close();
  }
  assert.equal(grounds.size, 2, 'the page follows the system');
});

test('what traces hold is text, whatever it looks like', async () => {
  const trace = answer();
  const hostile = '</script><img src=x onerror="document.title=1"><b>';
  trace.info.tags['mlflow.traceName'] = hostile;
  trace.data.spans[0].name = hostile;
  trace.data.spans[0].attributes['mlflow.spanInputs'] = JSON.stringify(hostile);
  const { page, errors } = await open([trace, large(20)]);
  assert.equal(await text(page, '#name'), hostile);
  assert.equal(await page.$('img'), null);
  await page.keyboard.press(']');
  assert.equal(await text(page, '#name'), 'large');
  assert.deepEqual(errors, []);
  await page.close();
});
