import { performance } from 'node:perf_hooks';

const TWO_32 = 4294967296;
/** Wall clock and monotonic clock may part by this much before new traces follow the wall clock again. */
const DRIFT_MS = 5;

// Bound at load, so that a test's fake timers do not freeze the time of spans.
/** Milliseconds since some moment before this program began; never goes back. */
export const monotonicMs = performance.now.bind(performance);
const wallMs = Date.now.bind(Date);

/**
 * Nanoseconds since the Unix epoch at the monotonic clock's zero, as two words. A trace keeps the anchor it started with:
 * inside a trace time never goes back, whatever happens to the wall clock.
 */
export class Anchor {
  readonly high: number;
  readonly low: number;

  constructor(readonly originMs: number) {
    const ns = BigInt(Math.round(originMs * 1000)) * 1000n;
    this.high = Number(ns >> 32n);
    this.low = Number(ns & 0xffffffffn);
  }
}

/** A moment in nanoseconds since the Unix epoch, as two words (`low` signed); written and read at once. */
export interface Moment {
  high: number;
  low: number;
}

let anchor = new Anchor(performance.timeOrigin);
realign();

export function currentAnchor(): Anchor {
  return anchor;
}

/** Makes new traces follow the wall clock after it was set or the machine slept. */
export function realign(): void {
  const origin = wallMs() - monotonicMs();
  if (Math.abs(origin - anchor.originMs) > DRIFT_MS) anchor = new Anchor(origin);
}

/** Writes the present moment, as `from` sees it, into `into`. */
export function stamp(from: Anchor, into: Moment): void {
  const ns = Math.round(monotonicMs() * 1e6);
  const high = Math.floor(ns / TWO_32);
  const low = from.low + (ns - high * TWO_32);
  if (low >= TWO_32) {
    into.high = from.high + high + 1;
    into.low = (low - TWO_32) | 0;
  } else {
    into.high = from.high + high;
    into.low = low | 0;
  }
}

/** Takes a moment that the caller gave in nanoseconds. False, and nothing written, when it is no time after the epoch. */
export function takeMoment(ns: bigint | number | undefined, into: Moment): boolean {
  if (ns === undefined || ns === null) return false;
  let value: bigint;
  if (typeof ns === 'bigint') value = ns;
  else if (Number.isFinite(ns)) value = BigInt(Math.round(ns));
  else return false;
  if (value <= 0n || value > 0x7fffffffffffffffn) return false;
  into.high = Number(value >> 32n);
  into.low = Number(BigInt.asIntN(32, value));
  return true;
}

export function momentToBigInt(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

/** True when the first moment is before the second. */
export function isBefore(high: number, low: number, otherHigh: number, otherLow: number): boolean {
  return high < otherHigh || (high === otherHigh && low >>> 0 < otherLow >>> 0);
}
