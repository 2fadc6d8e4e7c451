// One measurement in a process of its own; prints JSON.
// Usage: measure.mjs cost LIBRARY WORK MILLISECONDS | export LIBRARY URL TRACES | memory LIBRARY SPANS | delay LIBRARY SECONDS
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setImmediate as macrotask, setTimeout as sleep } from 'node:timers/promises';
import { opentelemetry, ours } from './libraries.mjs';
import { trace10, works } from './works.mjs';

const [what, name, ...rest] = process.argv.slice(2);

/** Stretches until the code is compiled, also where others have most of the processor. */
const WARM_UP = 60;
const ROUNDS = 5;

/** The library; without a URL it drops what it is given, and `none` records nothing. */
function library(url) {
  if (name === 'opentelemetry') return opentelemetry(url);
  if (url === undefined) return ours({ exporter: 'none' });
  return ours({ trackingUri: url, experimentId: '0', exportTraceInfo: 'spans_only', queueMaxBytes: 2 ** 30 });
}

/** Nanoseconds that this thread, the main one, was on a processor: what others do beside it is not in it. */
function threadTime() {
  return Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ', 1)[0]);
}

/** Nanoseconds of the thread a span, with all that becomes of it there: garbage, batches, hand-over. */
async function cost(work, milliseconds) {
  const { run, spans } = works(library())[work];
  const isAsync = work.includes('async');
  const calls = Math.ceil(500 / spans);
  const stretch = async () => {
    for (let i = 0; i < calls; i++) {
      if (isAsync) await run();
      else run();
    }
    // A program goes back to its loop now and then.
    await macrotask();
  };
  for (let i = 0; i < WARM_UP; i++) await stretch();
  const costs = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = threadTime();
    let count = 0;
    while (threadTime() - start < (1e6 * milliseconds) / ROUNDS) {
      await stretch();
      count += calls * spans;
    }
    costs.push((threadTime() - start) / count);
  }
  return { ns: costs.sort((a, b) => a - b)[ROUNDS >> 1] };
}

/** Traces of 10 spans of W3 as fast as they can be recorded, until all is exported. */
async function exported(url, traces) {
  const peer = library(url);
  trace10(peer);
  await peer.flush();
  const start = performance.now();
  const cpu = process.cpuUsage();
  for (let i = 0; i < traces; i++) {
    trace10(peer);
    if (i % 50 === 49) await macrotask();
  }
  const recorded = performance.now() - start;
  await peer.flush();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    rate: (10 * traces) / seconds,
    recorded: (10 * traces) / (recorded / 1000),
    cpuNs: (1000 * (user + system)) / (10 * traces),
    dropped: peer.dropped(),
    pending: peer.pending(),
  };
}

/** How much larger the process is after so many spans than after a tenth of them, in MiB. */
async function memory(spans) {
  const { run } = works(library()).W2;
  const sizes = [];
  for (let tenth = 0; tenth < 10; tenth++) {
    for (let done = 0; done < spans / 10; done += 11) {
      run();
      if (done % 1100 === 0) await macrotask();
    }
    globalThis.gc?.();
    sizes.push(process.memoryUsage.rss() / 2 ** 20);
  }
  return { growth: sizes.at(-1) - sizes[0], sizes };
}

/** The event loop's delay in milliseconds while a tenth of the time is spent on recording, or on as much of nothing. */
async function delay(seconds) {
  const peer = name === 'none' ? undefined : library();
  const burst = () => {
    const end = performance.now() + 1;
    while (performance.now() < end) if (peer !== undefined) trace10(peer);
  };
  burst();
  await sleep(500);
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end) {
    burst();
    await sleep(9);
  }
  histogram.disable();
  return { p50: histogram.percentile(50) / 1e6, p99: histogram.percentile(99) / 1e6 };
}

const measurements = {
  cost: () => cost(rest[0], Number(rest[1])),
  export: () => exported(rest[0], Number(rest[1])),
  memory: () => memory(Number(rest[0])),
  delay: () => delay(Number(rest[0])),
};
process.stdout.write(JSON.stringify(await measurements[what]()), () => {
  // What is still to be exported is none of this.
  process.reallyExit(0);
});
