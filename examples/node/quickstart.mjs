// Records one trace. Without MLFLOW_TRACKING_URI it is written to ./mlflow-traces.
//
//     npm install mlflow-trace && MLFLOW_TRACKING_URI=http://127.0.0.1:5000 node quickstart.mjs
import * as mlflow from 'mlflow-trace';

const search = mlflow.trace(
  function search(query, limit = 3) {
    return ['spans', 'traces', 'context'].slice(0, limit);
  },
  { spanType: mlflow.SpanType.RETRIEVER },
);

await mlflow.withSpan(
  async (span) => {
    mlflow.updateCurrentTrace({ tags: { example: 'quickstart' } });
    const found = search('tracing');
    span.setAttribute('found', found.length);
    return `Tracing is made of ${found.join(', ')}.`;
  },
  { name: 'answer', spanType: mlflow.SpanType.AGENT, inputs: { question: 'What is tracing?' } },
);

const pending = await mlflow.flushTraces();
console.log(`trace ${mlflow.getLastActiveTraceId()}, ${pending} spans pending`);
