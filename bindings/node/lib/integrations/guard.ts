import { describeException } from '../exception.js';
import { report } from '../lifecycle.js';

const reported = new Set<string>();

/** Says once in this process that a part of a call cannot be recorded: the other calls are like it. */
export function reportOnce(what: string, why: string): void {
  if (reported.has(what)) return;
  reported.add(what);
  report(`${what}: ${why}`);
}

/** Runs `run`. What it throws is reported once for each `what`, and never reaches the program that is traced. */
export function guarded<T>(what: string, run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    reportOnce(`${what} could not be recorded`, describeException(error).message);
    return undefined;
  }
}
