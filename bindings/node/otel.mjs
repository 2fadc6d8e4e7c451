export { MlflowSpanExporter, MlflowSpanProcessor } from './dist/otel.js';
