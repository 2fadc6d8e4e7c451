// One measurement in a process of its own; prints JSON.
// Usage: measure.mjs cost LIBRARY WORK MILLISECONDS | export LIBRARY URL TRACES | memory LIBRARY SPANS | delay LIBRARY SECONDS
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setImmediate as macrotask, setTimeout as sleep } from 'node:timers/promises';
import { opentelemetry, ours } from './libraries.mjs';
import { trace10, works } from './works.mjs';

const [what, name, ...rest] = process.argv.slice(2);

/** The library; without a URL it drops what it is given, and `none` records nothing. */
function library(url) {
  if (name === 'opentelemetry') return opentelemetry(url);
  if (url === undefined) return ours({ exporter: 'none' });
  return ours({ trackingUri: url, experimentId: '0', exportTraceInfo: 'spans_only', queueMaxBytes: 2 ** 30 });
}

/** Nanoseconds a span: the median of stretches of some milliseconds, too short for others to be let in between. */
async function cost(work, milliseconds) {
  const { run, spans } = works(library())[work];
  const isAsync = work.includes('async');
  const calls = Math.ceil(1000 / spans);
  const stretch = async () => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) {
      if (isAsync) await run();
      else run();
    }
    return (1e6 * (performance.now() - start)) / calls / spans;
  };
  const costs = [];
  const warm = performance.now() + milliseconds / 3;
  const end = warm + milliseconds;
  for (let i = 0; performance.now() < end; i++) {
    const took = await stretch();
    if (performance.now() > warm) costs.push(took);
    // A program goes back to its loop now and then; what happens there is not its own work.
    if (i % 10 === 9) await macrotask();
  }
  return { ns: costs.sort((a, b) => a - b)[costs.length >> 1] };
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
