import { handOver, isReady, report } from './lifecycle.js';
import { native } from './native.js';

/** Why something was not delivered at once. */
export interface DeliveryError {
  /**
   * `unreachable` (no reply), `unavailable` (HTTP 408, 425, 429, 502, 503, 504), `server_error` (500), `unauthorized`
   * (401, 403), `rejected` (refused for good) or `file`.
   */
  class: string;
  /** For people; without credentials. */
  message: string;
  /** When it happened. */
  time: Date;
}

/** How delivery goes. */
export interface Health {
  /**
   * `closed` while all is well, `open` while the server is away and one request at a time asks whether it is back,
   * `parked` while it takes nothing because of the credentials.
   */
  circuit: 'closed' | 'open' | 'parked';
  /** When the server last took something. */
  lastSuccess?: Date;
  /** What last went wrong, even if all has been well since. */
  lastError?: DeliveryError;
  /** Spans open, waiting or on their way. */
  pending: number;
  /** Spans given up, by reason. */
  dropped: Record<string, number>;
}

/** The engine's spelling. */
interface EngineHealth extends Pick<Health, 'circuit' | 'pending' | 'dropped'> {
  last_success_ms: number | null;
  last_error: { class: string; message: string; time_ms: number } | null;
}

/** Whether traces arrive, and why they do not, since the last `init`; the counts are those of `stats()`. Never throws. */
export function health(): Health {
  if (isReady()) {
    handOver();
    try {
      const { circuit, pending, dropped, ...last } = JSON.parse(native().health()) as EngineHealth;
      const result: Health = { circuit, pending, dropped };
      if (last.last_success_ms !== null) result.lastSuccess = new Date(last.last_success_ms);
      if (last.last_error !== null) {
        const { time_ms: time, ...error } = last.last_error;
        result.lastError = { ...error, time: new Date(time) };
      }
      return result;
    } catch (error) {
      report(`health failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { circuit: 'closed', pending: 0, dropped: {} };
}
