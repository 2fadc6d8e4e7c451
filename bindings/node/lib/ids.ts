import { randomFillSync } from 'node:crypto';

// One call for many ids: asking the system for 8 bytes costs as much as asking for 4 KiB.
const POOL_WORDS = 1024;
const pool = new Int32Array(POOL_WORDS);
let next = POOL_WORDS;

/** A random 32-bit word. Words are kept signed, which V8 stores without allocating. */
export function randomWord(): number {
  if (next === POOL_WORDS) {
    randomFillSync(pool);
    next = 0;
  }
  return pool[next++];
}

/** A word that is not zero, so that no id is all zeros, which OpenTelemetry calls invalid. */
export function randomNonZeroWord(): number {
  let word = randomWord();
  while (word === 0) word = randomWord();
  return word;
}

/** Eight lower-case hex digits of one word. */
export function wordToHex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}

/** The word that eight hex digits starting at `at` stand for. */
export function hexToWord(hex: string, at: number): number {
  return parseInt(hex.slice(at, at + 8), 16) | 0;
}

/** Sixteen lower-case hex digits of a span id. */
export function spanIdToHex(high: number, low: number): string {
  return wordToHex(high) + wordToHex(low);
}

/** The words of a span id; undefined when the text is no valid one. */
export function parseSpanId(text: string): { high: number; low: number } | undefined {
  return isId(text, 16) ? { high: hexToWord(text, 0), low: hexToWord(text, 8) } : undefined;
}

/** True for exactly so many lower-case hex digits that are not all zero. */
export function isId(text: string, digits: number): boolean {
  return text.length === digits && /^[0-9a-f]+$/.test(text) && /[1-9a-f]/.test(text);
}
