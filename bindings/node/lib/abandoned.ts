import { writeLost } from './encode.js';
import type { TraceIdentity } from './record.js';

/** What outlives a span that nobody can end any more. */
export interface SpanIdentity {
  readonly trace: TraceIdentity;
  readonly idHigh: number;
  readonly idLow: number;
}

/** A span as it is watched for being forgotten. */
export interface WatchedSpan extends SpanIdentity {
  readonly isEnded: boolean;
  isWatched: boolean;
}

// Most spans end before the next drain; only the others are worth the price of a registration.
let young: WatchedSpan[] = [];

const registry = new FinalizationRegistry<SpanIdentity>((lost) => {
  announce(writeLost(lost));
});

let announce: (bytes: number) => void = () => undefined;

/** Sets who is told that frames were written. */
export function onLostSpan(listener: (bytes: number) => void): void {
  announce = listener;
}

/** To be called when a span starts. */
export function noteStart(span: WatchedSpan): void {
  young.push(span);
}

/** To be called when a span that is watched ends. */
export function noteEnd(span: WatchedSpan): void {
  registry.unregister(span);
}

/** Watches the spans that are still open, so that the engine learns of those that are garbage before they end. */
export function watchOpenSpans(): void {
  for (const span of young) {
    if (span.isEnded) continue;
    span.isWatched = true;
    const { trace, idHigh, idLow } = span;
    registry.register(span, { trace, idHigh, idLow }, span);
  }
  young = [];
}
