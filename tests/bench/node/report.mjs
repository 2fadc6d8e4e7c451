// The figures as docs/bench/node.md, beside what they are to be.
import { execFileSync } from 'node:child_process';
import { version } from './libraries.mjs';

/** Nanoseconds at most, and how many times faster than OpenTelemetry's SDK at least. */
const TARGETS = {
  W1: { ns: 800, faster: 1.9 },
  W2: { ns: 2000, faster: 1.9 },
  W3: { ns: 2500, faster: 1.9 },
  W3d: { ns: 10_500, faster: 1 },
  'nested active spans': { ns: 1500 },
  'traced function': { ns: 2500 },
};
const EXPORT_RATE = 100_000;
const EXPORT_FASTER = 5;
/** Of the first tenth of the spans on, in MiB: what the heap's own ups and downs come to. */
const MEMORY_GROWTH = 16;
const DELAY_MS = 1;

const whole = (number) => Math.round(number).toLocaleString('en-US');
const row = (...cells) => `| ${cells.join(' | ')} |`;

function targets({ costs, export: exported, memory, delay }) {
  const rows = [];
  const add = (what, target, measured, isMet) => {
    rows.push(row(what, target, measured, isMet ? 'met' : '**not met**'));
  };
  for (const [work, { ns, faster }] of Object.entries(TARGETS)) {
    const { ours, opentelemetry } = costs[work];
    add(`${work}, ns a span`, `≤ ${whole(ns)}`, whole(ours), ours <= ns);
    if (faster === undefined) continue;
    const ratio = opentelemetry / ours;
    add(`${work}, faster than OpenTelemetry`, `≥ ${faster}x`, `${ratio.toFixed(2)}x`, ratio >= faster);
  }
  const { ours, opentelemetry } = exported;
  const ratio = ours.rate / opentelemetry.rate;
  add('W4 of W3, spans/s', `≥ ${whole(EXPORT_RATE)}`, whole(ours.rate), ours.rate >= EXPORT_RATE);
  add(
    'W4 of W3, faster than OpenTelemetry',
    `≥ ${EXPORT_FASTER}x`,
    `${ratio.toFixed(1)}x`,
    ratio >= EXPORT_FASTER,
  );
  const lost = ours.dropped + ours.pending + ours.missing;
  add('W4 of W3, spans dropped, pending or missing', '0', whole(lost), lost === 0);
  const isSteady = memory.growth <= MEMORY_GROWTH;
  add('growth of memory, MiB', `≤ ${MEMORY_GROWTH}`, memory.growth.toFixed(1), isSteady);
  const more = delay.ours.p99 - delay.none.p99;
  add('event loop delay p99, ms more', `≤ ${DELAY_MS}`, more.toFixed(2), more <= DELAY_MS);
  return rows;
}

export async function report(figures) {
  const { isQuick, machine, spans, costs, export: exported, memory, delay } = figures;
  const commit = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { encoding: 'utf8' }).trim();
  const [before, after] = machine.load.map((load) => load.map((each) => each.toFixed(2)).join(' '));
  const faster = ({ ours, opentelemetry }) => `${(opentelemetry / ours).toFixed(2)}x`;
  return `# What recording costs in Node

Written by \`make bench-node\`, which takes these figures anew; do not edit.
${isQuick ? '\n**This was a quick run, to see that it works: the figures say little.**\n' : ''}
Medians of rounds in which both libraries take their turns, a process each. Both drop what was recorded: our package with
\`exporter: 'none'\`, whose spans go through the engine as others do, OpenTelemetry's SDK with a batch processor and an
exporter that does nothing. What is measured is the time that the recording thread is on a processor, with all that becomes
of a span there: garbage, batches, handing over. It goes back to its event loop after every 500 spans.

- W1: a root span, started and ended. W2: 10 children of an active root, a name, 5 strings and 5 integers each. W3: W2 with
  1 KB of JSON text as input and 1 KB as output. W3d: the same from objects, which the library makes text of.
- *nested active spans*: a root and 10 children, by \`withSpan\` and \`startActiveSpan\`. *traced*: \`trace(fn)\`; for
  OpenTelemetry what a program writes by hand for the same span.
- W4: traces of 10 spans of W3, recorded as fast as one thread can and exported over loopback to a sink (\`tests/faults\`)
  that counts them, until it has the last one: ${whole(spans.traces)} traces, a fifth of them for OpenTelemetry. Ours go
  without a request for each trace.
- *memory*: resident size after ${whole(spans.memory)} spans of W2, less that after a tenth of them.
- *event loop delay*: 1 ms of recording every 10 ms, against 1 ms of doing nothing.

| | |
|---|---|
${[
  row('CPU', `${machine.cpu}, ${machine.cores} cores`),
  row('load average at the start', before),
  row('load average at the end', after),
  row('Node', process.versions.node),
  row('commit', commit),
  row('@opentelemetry/sdk-trace-node', version('@opentelemetry/sdk-trace-node')),
  row('@opentelemetry/exporter-trace-otlp-proto', version('@opentelemetry/exporter-trace-otlp-proto')),
].join('\n')}

## Targets

| | target | measured | |
|---|---|---|---|
${targets(figures).join('\n')}

## Nanoseconds a span

| | mlflow-trace | OpenTelemetry | faster by |
|---|---|---|---|
${Object.entries(costs)
  .map(([work, cost]) => row(work, whole(cost.ours), whole(cost.opentelemetry), faster(cost)))
  .join('\n')}

## W4

| | spans/s | recorded, spans/s | CPU of the process, ns a span |
|---|---|---|---|
${[
  ['mlflow-trace', exported.ours],
  ['OpenTelemetry', exported.opentelemetry],
]
  .map(([name, { rate, recorded, cpuNs }]) => row(name, whole(rate), whole(recorded), whole(cpuNs)))
  .join('\n')}

## Memory and event loop

| after | MiB |
|---|---|
${memory.sizes.map((size, tenth) => row(`${whole((spans.memory / 10) * (tenth + 1))} spans`, size.toFixed(1))).join('\n')}

| event loop delay, ms | p50 | p99 |
|---|---|---|
${Object.entries({
  'nothing recorded': delay.none,
  'mlflow-trace': delay.ours,
  OpenTelemetry: delay.opentelemetry,
})
  .map(([name, { p50, p99 }]) => row(name, p50.toFixed(2), p99.toFixed(2)))
  .join('\n')}
`;
}
