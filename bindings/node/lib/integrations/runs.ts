import { SpanStatusCode } from '../constants.js';
import type { LiveSpan } from '../span.js';
import { RecordingSpan } from '../span.js';
import { announce, openSpan, type SpanOptions } from '../trace.js';
import { toText } from '../values.js';
import { guarded } from './guard.js';
import { endWithProcess } from './watch.js';

/** Runs that are open at most: of those that never end, the oldest are ended. */
const MAX_RUNS = 10_000;

/** Spans of a framework that announces by id when its work starts and ends. No method throws. */
export class Runs {
  private readonly open = new Map<string, LiveSpan>();
  private readonly aliases = new Map<string, LiveSpan>();
  /** What is never said to have ended, such as a stream that was left. */
  private readonly rest = {
    end: (): void => {
      for (const id of this.open.keys()) this.end(id);
    },
  };

  /** The span of an open run. */
  span(id: string | undefined): LiveSpan | undefined {
    return id === undefined ? undefined : (this.open.get(id) ?? this.aliases.get(id));
  }

  /** Starts a run unless it has started. `parent` undefined: it is below the active span. */
  start(
    id: string,
    parent: LiveSpan | undefined,
    options: Pick<SpanOptions, 'name' | 'spanType' | 'startTimeNs'>,
    fill: (span: LiveSpan) => void,
  ): void {
    if (this.open.has(id)) return;
    guarded('the start of a run', () => {
      const span = openSpan(options.name ?? 'run', { ...options, parent });
      this.open.set(id, span);
      endWithProcess(this.rest);
      if (span instanceof RecordingSpan) {
        guarded('the inputs of a run', () => {
          fill(span);
        });
        announce(span);
      }
      if (this.open.size > MAX_RUNS) this.end(this.open.keys().next().value!);
    });
  }

  /** Has what is below `id`, which has no span of its own, be below what `parent` stands for. */
  alias(id: string, parent: LiveSpan | undefined): void {
    if (parent !== undefined) this.aliases.set(id, parent);
    if (this.aliases.size > MAX_RUNS) this.aliases.delete(this.aliases.keys().next().value!);
  }

  /** Ends a run; only the first end counts. */
  end(id: string, fill?: (span: LiveSpan) => void, endTimeNs?: bigint): void {
    this.aliases.delete(id);
    const span = this.open.get(id);
    if (span === undefined) return;
    this.open.delete(id);
    if (fill !== undefined) {
      guarded('the outputs of a run', () => {
        fill(span);
      });
    }
    span.end({ endTimeNs });
  }
}

/** Records what a framework says went wrong: an error, or an object that tells of one. */
export function recordFailure(span: LiveSpan, error: unknown): void {
  if (error instanceof Error || typeof error !== 'object' || error === null) {
    span.recordException(error);
    return;
  }
  const { message, name = 'Error' } = error as { message?: unknown; name?: unknown };
  const [type, text] = [toText(name), toText(message ?? error)];
  span.addEvent('exception', { 'exception.type': type, 'exception.message': text });
  span.setStatus(SpanStatusCode.ERROR, `${type}: ${text}`);
}
