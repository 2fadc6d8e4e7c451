// Uses of the public types; compiled, never run.
import * as mlflow from '../../index.mjs';

const traced: (a: number, b?: string) => Promise<number> = mlflow.trace(
  async (a: number, b?: string): Promise<number> => {
    await null;
    return a + (b?.length ?? 0);
  },
);
export const result: Promise<number> = traced(1, 'x');
export const value: number = mlflow.withSpan((span) => (span.setInputs(1), 2), { name: 'n' });
export const headers: Record<string, string> = mlflow.getTracingContextHeaders();
export type Kinds = [
  mlflow.LiveSpan,
  mlflow.NoOpSpan,
  mlflow.SpanStatusCode,
  mlflow.SpanLogLevel,
  mlflow.Stats,
];
