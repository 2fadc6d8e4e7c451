import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The engine, one per process. Frames: see `encode.ts`. */
export interface Native {
  configure(options: Record<string, string>): void;
  drain(buffer: Uint8Array, length: number): void;
  flush(timeoutMs: number): Promise<number>;
  flushSync(timeoutMs: number): number;
  shutdownSync(timeoutMs: number): number;
  stats(): string;
  diagnostics(): string[];
  version(): string;
}

let loaded: Native | undefined;
let failure: Error | undefined;

/**
 * The native addon: the one built in this checkout, else the package of this platform.
 * @throws Error with code `ERR_MLFLOW_TRACE_UNSUPPORTED` where there is none.
 */
export function native(): Native {
  if (loaded !== undefined) return loaded;
  if (failure !== undefined) throw failure;
  const platform = platformName();
  const reasons: string[] = [];
  for (const place of [join(__dirname, '..', `mlflow-trace.${platform}.node`), `mlflow-trace-${platform}`]) {
    try {
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      loaded = require(place) as Native;
      return loaded;
    } catch (error) {
      reasons.push(error instanceof Error ? error.message.split('\n', 1)[0] : String(error));
    }
  }
  failure = Object.assign(new Error(`mlflow-trace has no addon for ${platform}: ${reasons.join('; ')}`), {
    code: 'ERR_MLFLOW_TRACE_UNSUPPORTED',
  });
  throw failure;
}

/** Platform, architecture and C library, as napi names its files: `linux-x64-gnu`, `darwin-arm64`, `win32-x64-msvc`. */
function platformName(): string {
  const base = `${process.platform}-${process.arch}`;
  switch (process.platform) {
    case 'linux':
      return `${base}-${usesMusl() ? 'musl' : 'gnu'}`;
    case 'win32':
      return `${base}-msvc`;
    default:
      return base;
  }
}

function usesMusl(): boolean {
  try {
    // A script that names its own library; quicker than a subprocess or a process report.
    return readFileSync('/usr/bin/ldd', 'utf8').includes('musl');
  } catch {
    const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
    return report?.header?.glibcVersionRuntime === undefined;
  }
}
