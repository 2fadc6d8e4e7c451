// What a program in TypeScript may write; compiled strictly, then run.
import * as mlflow from 'mlflow-trace';
import { init, type LiveSpan, SpanType, startSpan, trace, withSpan } from 'mlflow-trace';
import { enableHttp } from 'mlflow-trace/http';
import { MlflowCallbackHandler } from 'mlflow-trace/langchain';
import { tracedOpenAI, type TracedOptions, untraced } from 'mlflow-trace/openai';
import { MlflowSpanExporter, MlflowSpanProcessor } from 'mlflow-trace/otel';
import { BasicTracerProvider, BatchSpanProcessor, type SpanProcessor } from '@opentelemetry/sdk-trace-base';

init({ exporter: 'none', samplingRatio: 1, redactKeys: ['password'] });

class Agent {
  @mlflow.trace({ spanType: SpanType.AGENT })
  answer(question: string): string {
    return `${question}?`;
  }
}

class Client {
  readonly chat = {
    completions: { create: (request: { model: string }): Promise<string> => Promise.resolve(request.model) },
  };
}
const options: TracedOptions = { chunkEvents: true };
const client: Client = tracedOpenAI(new Client(), options);
const answered: Promise<string> = client.chat.completions.create({ model: 'm' });
void answered.then(() => untraced(client));
const disableHttp: () => void = enableHttp();
disableHttp();
const handlerName: string = new MlflowCallbackHandler().name;
if (handlerName === '') throw new Error('a handler has a name');

const add = trace((a: number, b: number): number => a + b, { name: 'add', attributes: { unit: 'm' } });
const sum: number = add(1, 2);
const later: Promise<string> = withSpan(async (span: LiveSpan) => `${span.name}`, { inputs: { a: 1n } });

async function* letters(count: number): AsyncGenerator<string> {
  for (let i = 0; i < count; i++) yield String.fromCharCode(97 + i);
}
const traced: (count: number) => AsyncGenerator<string> = trace(letters);

{
  using span = startSpan({ name: 'used' });
  span.addEvent(new mlflow.SpanEvent({ name: 'e' }));
  span.setAttributes({ when: new Date(0), tags: new Set(['a']) });
}

const processors: SpanProcessor[] = [
  new MlflowSpanProcessor(),
  new BatchSpanProcessor(new MlflowSpanExporter({ rootWaitMs: 1000 })),
];
const provider = new BasicTracerProvider({ spanProcessors: processors });
provider.getTracer('x').startSpan('theirs').end();

const read: string[] = [];
for await (const letter of traced(2)) read.push(letter);
await provider.forceFlush();
const pending: number = await mlflow.flushTraces();
const created: number = mlflow.stats().created;
const circuit: 'closed' | 'open' | 'parked' = mlflow.health().circuit;
console.log(
  [sum, await later, new Agent().answer('why'), read.join(''), pending, created > 5, circuit].join(' '),
);
