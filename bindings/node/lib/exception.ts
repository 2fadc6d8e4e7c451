import { className, toText } from './values.js';

/** How a thrown value is recorded: attributes of the event `exception`, and the status text. */
export interface ExceptionRecord {
  readonly type: string;
  readonly message: string;
  readonly stacktrace: string;
}

const MAX_CAUSES = 8;

/** Describes any thrown value. Never throws. */
export function describeException(error: unknown): ExceptionRecord {
  if (typeof error !== 'object' || error === null) {
    return { type: 'Error', message: error === undefined ? 'undefined' : toText(error), stacktrace: '' };
  }
  const message = textOf(error, 'message');
  return {
    type: typeOf(error),
    message: message ?? toText(error),
    stacktrace: stackOf(error),
  };
}

/** The class, unless the error was given a name of its own. */
function typeOf(error: object): string {
  const name = textOf(error, 'name');
  if (name !== undefined && name !== '' && name !== 'Error') return name;
  try {
    return error instanceof Error ? className(error) : (name ?? className(error));
  } catch {
    return name ?? 'Error';
  }
}

/** The stack, and those of the causes. */
function stackOf(error: object): string {
  const stacks: string[] = [];
  let current: unknown = error;
  while (typeof current === 'object' && current !== null && stacks.length < MAX_CAUSES) {
    const stack = textOf(current, 'stack');
    if (stack === undefined) break;
    stacks.push(stack);
    current = read(current, 'cause');
  }
  return stacks.join('\nCaused by: ');
}

function textOf(object: object, key: string): string | undefined {
  const value = read(object, key);
  return typeof value === 'string' ? value.toWellFormed() : undefined;
}

function read(object: object, key: string): unknown {
  try {
    return (object as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}
