export { Attachment } from './attachment.js';
export { MlflowError, MlflowHttpError } from './call.js';
export {
  MlflowClient,
  type MlflowClientOptions,
  type SearchExperimentsOptions,
  type SearchTracesOptions,
  ViewType,
} from './client.js';
export { type AuthProvider, type AuthProviderOptions, createAuthProvider } from './auth.js';
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
export {
  type Assessment,
  type AssessmentError,
  type AssessmentOptions,
  type AssessmentSource,
  AssessmentSourceType,
  Expectation,
  type ExpectationOptions,
  Feedback,
  type FeedbackOptions,
  isExpectation,
  isFeedback,
} from './entities/assessment.js';
export type { Experiment } from './entities/experiment.js';
export {
  constructTraceIdV4,
  createTraceLocationFromExperimentId,
  createTraceLocationFromUcTablePrefix,
  getUcLocationString,
  parseUnityCatalogTraceLocation,
  type TraceLocation,
  TraceLocationType,
  type UcTablePrefix,
} from './entities/location.js';
export { Span, SpanEvent, type SpanJson, SpanLink } from './entities/span.js';
export {
  type TokenUsage,
  Trace,
  TraceData,
  TraceInfo,
  type TraceInfoJson,
  TraceMetadataKey,
  TraceState,
  TraceTagKey,
} from './entities/trace.js';
export { type DeliveryError, type Health, health } from './health.js';
export { diagnostics, flushTraces, type Stats, stats } from './lifecycle.js';
export { NoOpSpan } from './noop.js';
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
  type SpanEventLike,
  type SpanLinkLike,
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
