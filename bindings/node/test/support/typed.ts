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
mlflow.init({
  samplingRatio: 0.5,
  samplingKeepErrors: true,
  redactKeys: ['password', '*token*'] as const,
  redactPatterns: 'sk-[a-z]+',
  spanProcessors: [
    (span) => span.setAttribute('a', 1),
    { onStart: (span) => span.setSpanType('TOOL') },
    new (class implements mlflow.SpanProcessor {
      onEnd(span: mlflow.LiveSpan): void {
        span.setOutputs(null);
      }
    })(),
  ],
});
export const unregister: () => void = mlflow.registerOnSpanEndHook((span) => span.setInputs(null));
mlflow
  .startSpan({ inputs: new mlflow.Attachment('image/png', new Uint8Array(1)), samplingRatioOverride: 1 })
  .end();
export const failed: number = mlflow.stats().abandoned + mlflow.stats().redactionFailed;
export type Kinds = [
  mlflow.LiveSpan,
  mlflow.NoOpSpan,
  mlflow.SpanStatusCode,
  mlflow.SpanLogLevel,
  mlflow.Stats,
];
