/** Traces Mastra, whose observability hands its spans to exporters. */
import { SpanAttributeKey, type SpanType } from './constants.js';
import { guarded } from './integrations/guard.js';
import { read } from './integrations/model.js';
import { recordFailure, Runs } from './integrations/runs.js';
import { flushTraces } from './lifecycle.js';
import type { LiveSpan } from './span.js';
import { updateCurrentTrace } from './trace.js';

const SHUTDOWN_TIMEOUT_MS = 5000;

/** Types of spans by Mastra's; what is not here is CHAIN. */
const TYPES: Record<string, SpanType> = {
  agent_run: 'AGENT',
  model_generation: 'LLM',
  model_inference: 'CHAT_MODEL',
  tool_call: 'TOOL',
  mcp_tool_call: 'TOOL',
  client_tool_call: 'TOOL',
  rag_embedding: 'EMBEDDING',
  rag_action: 'RETRIEVER',
  workflow_run: 'WORKFLOW',
  workflow_step: 'TASK',
};
/** Parts of a streamed answer, which the answer has as a whole. */
const NOISE = 'model_chunk';

/** A span as Mastra exports it. */
interface MastraSpan {
  readonly id: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly type: string;
  readonly startTime?: Date;
  readonly endTime?: Date;
  readonly isEvent?: boolean;
  readonly input?: unknown;
  readonly output?: unknown;
  readonly attributes?: Record<string, unknown>;
  readonly metadata?: Record<string, unknown>;
  readonly errorInfo?: unknown;
}

/**
 * An exporter for Mastra's observability:
 *
 *     new Observability({ configs: { default: { serviceName: 'app', exporters: [new MlflowMastraExporter()] } } })
 *
 * No method throws or rejects.
 */
export class MlflowMastraExporter {
  /** By which Mastra knows it. */
  readonly name = 'mlflow-trace';
  private readonly runs = new Runs();
  /** Open runs below which tokens are counted already: what is above tells them again. */
  private readonly counted = new Set<string>();

  /** Takes what Mastra says of a span: that it has started or ended. */
  async exportTracingEvent(event: { type: string; exportedSpan: unknown }): Promise<void> {
    guarded('an event of Mastra', () => {
      this.take(event.type, event.exportedSpan as MastraSpan);
    });
    return Promise.resolve();
  }

  /** Waits until all that has ended is delivered or given up. */
  async flush(): Promise<void> {
    await flushTraces();
  }

  /** Delivers what has ended; recording goes on. */
  async shutdown(): Promise<void> {
    await flushTraces(SHUTDOWN_TIMEOUT_MS);
  }

  private take(type: string, span: MastraSpan): void {
    if (span.type === NOISE) return;
    if (type === 'span_started') this.start(span);
    if (type !== 'span_ended') return;
    // Of some spans, and of every event, only the end is told.
    this.start(span);
    const endTimeNs = toNanoseconds(span.endTime ?? (span.isEvent === true ? span.startTime : undefined));
    this.runs.end(
      span.id,
      (recording) => {
        this.fill(recording, span);
      },
      endTimeNs,
    );
    this.counted.delete(span.id);
  }

  private start(span: MastraSpan): void {
    const parent = this.runs.span(span.parentSpanId);
    const options = {
      name: span.name,
      spanType: TYPES[span.type] ?? 'CHAIN',
      startTimeNs: toNanoseconds(span.startTime),
    };
    this.runs.start(span.id, parent, options, (recording) => {
      if (span.input !== undefined) recording.setInputs(span.input);
      const { threadId, sessionId, userId } = span.metadata ?? {};
      const session = threadId ?? sessionId;
      if (parent !== undefined || (session === undefined && userId === undefined)) return;
      updateCurrentTrace(
        { sessionId: session as string | undefined, user: userId as string | undefined },
        recording,
      );
    });
  }

  private fill(
    recording: LiveSpan,
    { id, parentSpanId, type, input, output, attributes = {}, metadata, errorInfo }: MastraSpan,
  ): void {
    if (input !== undefined) recording.setInputs(input);
    recording.setOutputs(output);
    recording.setAttribute('mastra.span.type', type);
    const { usage, ...rest } = attributes;
    for (const [name, value] of Object.entries(rest)) recording.setAttribute(`mastra.${name}`, value);
    const runId = metadata?.runId;
    if (runId !== undefined) recording.setAttribute('mastra.runId', runId);
    const model = attributes.responseModel ?? attributes.model;
    if (typeof model === 'string') recording.setAttribute(SpanAttributeKey.MODEL, model);
    if (typeof attributes.provider === 'string') {
      recording.setAttribute(SpanAttributeKey.MODEL_PROVIDER, attributes.provider);
    }
    if (type === 'model_inference') recording.setAttribute(SpanAttributeKey.MESSAGE_FORMAT, 'vercel_ai');
    const tokens = this.counted.has(id) ? undefined : usageOf(usage);
    if (tokens !== undefined) recording.setAttribute(SpanAttributeKey.TOKEN_USAGE, tokens);
    if (parentSpanId !== undefined && (tokens !== undefined || this.counted.has(id))) {
      this.counted.add(parentSpanId);
    }
    if (errorInfo !== undefined && errorInfo !== null) recordFailure(recording, errorInfo);
  }
}

function usageOf(usage: unknown): Record<string, number> | undefined {
  const [input, output] = [read(usage, 'inputTokens'), read(usage, 'outputTokens')];
  if (typeof input !== 'number' && typeof output !== 'number') return undefined;
  const [inputTokens, outputTokens] = [Number(input ?? 0), Number(output ?? 0)];
  const details = read(usage, 'inputDetails');
  const [cached, written] = [read(details, 'cacheRead'), read(details, 'cacheWrite')];
  return {
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    ...(typeof cached === 'number' && { cache_read_input_tokens: cached }),
    ...(typeof written === 'number' && { cache_creation_input_tokens: written }),
  };
}

function toNanoseconds(time: Date | undefined): bigint | undefined {
  const milliseconds = time === undefined ? NaN : new Date(time).getTime();
  return Number.isNaN(milliseconds) ? undefined : BigInt(milliseconds) * 1_000_000n;
}
