export { Attachment } from './attachment.js';
export { init, type InitOptions } from './config.js';
export {
  SpanAttributeKey,
  SpanLogLevel,
  type SpanStatus,
  SpanStatusCode,
  SpanType,
  TokenUsageKey,
  toSpanLogLevel,
} from './constants.js';
export { type DeliveryError, type Health, health } from './health.js';
export { diagnostics, flushTraces, type Stats, stats } from './lifecycle.js';
export type { NoOpSpan } from './noop.js';
export {
  registerOnSpanEndHook,
  registerOnSpanStartHook,
  type SpanHook,
  type SpanProcessor,
} from './processors.js';
export {
  getTracingContextHeaders,
  type HeadersLike,
  type TracingContextHeaders,
  withTracingContextFromHeaders,
} from './propagation.js';
export {
  type EndOptions,
  getLastActiveTraceId,
  type LiveSpan,
  type SpanEvent,
  type SpanLink,
  type SpanStatusLike,
} from './span.js';
export {
  getCurrentActiveSpan,
  type SpanOptions,
  startSpan,
  tracingContext,
  type TracingContextOptions,
  updateCurrentTrace,
  withSpan,
} from './trace.js';
export type { TraceUpdate } from './update.js';
export { trace, type TraceDecorator, type TraceOptions } from './wrap.js';
