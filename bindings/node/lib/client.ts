import { type AuthProvider, createAuthProvider } from './auth.js';
import { call, invalid, MlflowError } from './call.js';
import {
  type Assessment,
  assessmentFromJson,
  Expectation,
  type ExpectationOptions,
  Feedback,
  type FeedbackOptions,
} from './entities/assessment.js';
import { type Experiment, experimentFromJson, type ExperimentJson } from './entities/experiment.js';
import { Trace, type TraceData, TraceInfo, type TraceInfoJson } from './entities/trace.js';
import { canRecord, report } from './lifecycle.js';
import { native } from './native.js';

/** Where a client asks. What is left out is as `init` or the environment has it. */
export interface MlflowClientOptions {
  /** `http(s)://…`, `databricks` or `databricks://PROFILE`. Without one, the client reads the files that are written. */
  trackingUri?: string;
  /** Gives host and headers of every request, instead of `trackingUri` and the configured credentials. */
  authProvider?: AuthProvider;
}

/** Which traces are searched for. */
export interface SearchTracesOptions {
  /** Ids of experiments; in files, all when left out. */
  experimentIds?: readonly string[];
  /** The same, by MLflow's newer name. */
  locations?: readonly string[];
  /** MLflow's filter: `status = 'ERROR' AND tags.env = 'prod'`. */
  filter?: string;
  /** At most so many on a page, and at most 500; 100 when left out. */
  maxResults?: number;
  /** Such as `['timestamp DESC']`, which is the default. */
  orderBy?: readonly string[];
  /** Of the page before. */
  pageToken?: string;
  /** Only traces of this run. */
  runId?: string;
  /** Only traces of this logged model; not together with a filter. */
  modelId?: string;
}

/** Whether deleted experiments are meant. */
export const ViewType = { ACTIVE_ONLY: 'ACTIVE_ONLY', DELETED_ONLY: 'DELETED_ONLY', ALL: 'ALL' } as const;
/** Whether deleted experiments are meant. */
export type ViewType = (typeof ViewType)[keyof typeof ViewType];

/** Which experiments are searched for. */
export interface SearchExperimentsOptions {
  /** Those that were not deleted when left out. */
  viewType?: ViewType;
  /** MLflow's filter: `name LIKE 'a%'`. */
  filter?: string;
  /** At most so many on a page; 1000 when left out. */
  maxResults?: number;
  /** Such as `['name ASC']`. */
  orderBy?: readonly string[];
  /** Of the page before. */
  pageToken?: string;
}

type TraceJson = Exclude<Parameters<typeof Trace.fromJson>[0], string>;
type AssessmentJson = Record<string, unknown>;

interface Page<T> {
  items: T[];
  next_page_token: string | null;
  unreadable: string[];
}

/**
 * Reads and annotates what was recorded: on a tracking server, or in the files that are written where none is configured.
 *
 * Calls never block: each waits on a thread of the engine, ten of them at a time, and keeps the process alive until it is
 * settled. They reject with `MlflowError`, and with `MlflowHttpError` where a reply of the server is why. What they say about
 * a trace that is still recorded here is kept with it; a trace that the server does not know yet is delivered first.
 */
export class MlflowClient {
  private readonly trackingUri: string | undefined;
  private readonly authProvider: AuthProvider | undefined;

  /** Nothing is asked until a method is called. */
  constructor({ trackingUri, authProvider }: MlflowClientOptions = {}) {
    this.trackingUri = trackingUri;
    this.authProvider = authProvider;
  }

  /**
   * Base URL of the server, without credentials; empty where files are read.
   * @throws Error when the tracking URI is malformed.
   */
  getHost(): string {
    if (this.authProvider !== undefined) return this.authProvider.getHost();
    let trackingUri = this.trackingUri;
    if (trackingUri === undefined) {
      canRecord();
      trackingUri = native().trackingServer();
    }
    return trackingUri === '' ? '' : createAuthProvider({ trackingUri }).getHost();
  }

  /** Makes a trace of which there is only information, and gives what the server made of it. */
  async createTrace(traceInfo: TraceInfo): Promise<TraceInfo> {
    const stored = await this.call<TraceInfoJson>('create_trace', { trace_info: traceInfo.toJson() });
    return TraceInfo.fromJson(stored);
  }

  /** Stores the spans of a trace of `createTrace` as a file beside it. */
  async uploadTraceData(traceInfo: TraceInfo, traceData: TraceData): Promise<void> {
    await this.call('upload_trace_data', { trace_info: traceInfo.toJson(), trace_data: traceData.toJson() });
  }

  /** Hands the server spans, an `ExportTraceServiceRequest` of OTLP in protobuf; asks nothing without bytes. */
  async exportOtlpSpans(experimentId: string, request: Uint8Array): Promise<void> {
    await this.call('export_spans', { experiment_id: experimentId, content: toBase64(request) });
  }

  /** Stores a finished trace under its own id in an experiment; doing it again changes nothing more. */
  async importTrace(trace: Trace, experimentId: string): Promise<TraceInfo> {
    const args = { trace: trace.toJson(), experiment_id: experimentId };
    return TraceInfo.fromJson(await this.call<TraceInfoJson>('import_trace', args));
  }

  /** A whole trace, wherever its spans are stored. Rejects with kind `NotFound` while they are not all there. */
  async getTrace(traceId: string): Promise<Trace> {
    return Trace.fromJson(await this.call<TraceJson>('get_trace', { trace_id: traceId }));
  }

  /** The traces with these ids, in this order, without those that there are not. */
  async getTraces(traceIds: readonly string[]): Promise<Trace[]> {
    const found = await this.call<TraceJson[]>('get_traces', { trace_ids: traceIds });
    return found.map((json) => Trace.fromJson(json));
  }

  /** What is known of a trace besides its spans. */
  async getTraceInfo(traceId: string): Promise<TraceInfo> {
    return TraceInfo.fromJson(await this.call<TraceInfoJson>('get_trace_info', { trace_id: traceId }));
  }

  /**
   * A page of the traces that match, without their spans. Rejects with kind `InvalidFilter`, in the server's words.
   * `iterateTraces` gives whole traces.
   */
  async searchTraces(options: SearchTracesOptions): Promise<{ traces: TraceInfo[]; nextPageToken?: string }> {
    const { items, next_page_token: token } = await this.search(options, false);
    const traces = items.map((json) => TraceInfo.fromJson(json.info));
    return token === null ? { traces } : { traces, nextPageToken: token };
  }

  /** All traces that match with their spans, asked for page by page as they are needed. */
  async *iterateTraces(options: SearchTracesOptions): AsyncGenerator<Trace, void, undefined> {
    let pageToken = options.pageToken;
    do {
      const page = await this.search({ ...options, pageToken }, true);
      if (page.unreadable.length > 0) report(`left out, spans cannot be read: ${page.unreadable.join(', ')}`);
      for (const json of page.items) yield Trace.fromJson(json);
      pageToken = page.next_page_token ?? undefined;
    } while (pageToken !== undefined);
  }

  /** Deletes traces for good, those with these ids or the oldest up to a time, and gives how many. */
  async deleteTraces(
    experimentId: string,
    which: { traceIds: readonly string[] } | { maxTimestampMillis: number; maxTraces?: number },
  ): Promise<number> {
    const args =
      'traceIds' in which
        ? { trace_ids: which.traceIds }
        : { max_timestamp_millis: which.maxTimestampMillis, max_traces: which.maxTraces };
    return this.call<number>('delete_traces', { experiment_id: experimentId, ...args });
  }

  /** Sets a tag. Rejects with kind `InvalidArgument` for a tag that only the server sets. */
  async setTraceTag(traceId: string, key: string, value: string): Promise<void> {
    await this.call('set_trace_tag', { trace_id: traceId, key, value });
  }

  /** Deletes a tag. Rejects where the trace has no such tag. */
  async deleteTraceTag(traceId: string, key: string): Promise<void> {
    await this.call('delete_trace_tag', { trace_id: traceId, key });
  }

  /** Makes traces part of a run. */
  async linkTracesToRun(traceIds: readonly string[], runId: string): Promise<void> {
    await this.call('link_traces_to_run', { trace_ids: traceIds, run_id: runId });
  }

  /** Says how good a trace, or one of its spans, is, and gives the feedback with its id. */
  async logFeedback(feedback: FeedbackOptions & { traceId: string }): Promise<Feedback> {
    return this.log(feedback instanceof Feedback ? feedback : new Feedback(feedback));
  }

  /** Says what a trace, or one of its spans, should have come to, and gives the expectation with its id. */
  async logExpectation(expectation: ExpectationOptions & { traceId: string }): Promise<Expectation> {
    return this.log(expectation instanceof Expectation ? expectation : new Expectation(expectation));
  }

  /** An assessment of a trace. */
  async getAssessment(traceId: string, assessmentId: string): Promise<Assessment> {
    const args = { trace_id: traceId, assessment_id: assessmentId };
    return read(await this.call<AssessmentJson>('get_assessment', args));
  }

  /** Changes name, value, rationale and metadata of an assessment; its kind, source and span stay. */
  async updateAssessment<T extends Assessment>(
    traceId: string,
    assessmentId: string,
    assessment: T,
  ): Promise<T> {
    const args = { trace_id: traceId, assessment_id: assessmentId, assessment: assessment.toJson() };
    return read(await this.call<AssessmentJson>('update_assessment', args)) as T;
  }

  /** Adds feedback that stands in for another one, of the same name and span, which stays and is no longer valid. */
  async overrideFeedback(
    traceId: string,
    assessmentId: string,
    feedback: Omit<FeedbackOptions, 'name' | 'traceId' | 'spanId' | 'overrides'>,
  ): Promise<Feedback> {
    // The engine takes the name of the other one.
    const assessment = new Feedback({ ...feedback, name: assessmentId }).toJson();
    const args = { trace_id: traceId, assessment_id: assessmentId, assessment };
    return read(await this.call<AssessmentJson>('override_feedback', args)) as Feedback;
  }

  /** Deletes an assessment; one that there is not is no error. */
  async deleteAssessment(traceId: string, assessmentId: string): Promise<void> {
    await this.call('delete_assessment', { trace_id: traceId, assessment_id: assessmentId });
  }

  /** The content of an attachment; its id is the last part of its reference. */
  async downloadAttachment(traceId: string, attachmentId: string): Promise<Buffer> {
    const args = { trace_id: traceId, attachment_id: attachmentId };
    return Buffer.from(await this.call<string>('download_attachment', args), 'base64');
  }

  /** Stores the content of an attachment of a finished trace. */
  async uploadAttachment(traceId: string, attachmentId: string, content: Uint8Array): Promise<void> {
    const args = { trace_id: traceId, attachment_id: attachmentId, content: toBase64(content) };
    await this.call('upload_attachment', args);
  }

  /** Makes an experiment and gives its id. Rejects with kind `Rejected` where there is one of this name. */
  async createExperiment(
    name: string,
    artifactLocation?: string,
    tags?: Record<string, string>,
  ): Promise<string> {
    return this.call<string>('create_experiment', { name, artifact_location: artifactLocation, tags });
  }

  /** The experiment of this id, deleted or not; null if there is none. */
  async getExperiment(experimentId: string): Promise<Experiment | null> {
    try {
      const found = await this.call<ExperimentJson>('find_experiment', { experiment_id: experimentId });
      return experimentFromJson(found);
    } catch (error) {
      if (error instanceof MlflowError && error.kind === 'NotFound') return null;
      throw error;
    }
  }

  /** The experiment of this name, deleted or not; null if there is none. */
  async getExperimentByName(name: string): Promise<Experiment | null> {
    const found = await this.call<ExperimentJson | null>('find_experiment_by_name', { name });
    return found === null ? null : experimentFromJson(found);
  }

  /** A page of the experiments that match. */
  async searchExperiments(
    options: SearchExperimentsOptions = {},
  ): Promise<{ experiments: Experiment[]; nextPageToken?: string }> {
    const { items, next_page_token: token } = await this.call<Page<ExperimentJson>>('search_experiments', {
      view_type: options.viewType,
      filter: options.filter,
      max_results: options.maxResults,
      order_by: options.orderBy,
      page_token: options.pageToken,
    });
    const experiments = items.map(experimentFromJson);
    return token === null ? { experiments } : { experiments, nextPageToken: token };
  }

  /** Marks an experiment, and its traces, as deleted. */
  async deleteExperiment(experimentId: string): Promise<void> {
    await this.call('delete_experiment', { experiment_id: experimentId });
  }

  private async log<T extends Assessment>(assessment: T): Promise<T> {
    const { traceId } = assessment;
    if (traceId === undefined) throw invalid('an assessment needs the traceId of what it is about');
    const args = { trace_id: traceId, assessment: assessment.toJson() };
    return read(await this.call<AssessmentJson>('log_assessment', args)) as T;
  }

  private search(options: SearchTracesOptions, includeSpans: boolean): Promise<Page<TraceJson>> {
    return this.call<Page<TraceJson>>('search_traces', {
      locations: options.locations ?? options.experimentIds,
      filter: options.filter,
      max_results: options.maxResults,
      order_by: options.orderBy,
      page_token: options.pageToken,
      run_id: options.runId,
      model_id: options.modelId,
      include_spans: includeSpans,
    });
  }

  private async call<T = null>(method: string, args: Record<string, unknown>): Promise<T> {
    return call<T>(method, args, await this.options());
  }

  /** What differs from the configuration, by the engine's names. */
  private async options(): Promise<Record<string, string>> {
    if (this.authProvider === undefined) {
      return this.trackingUri === undefined ? {} : { tracking_uri: this.trackingUri };
    }
    const options: Record<string, string> = {
      tracking_uri: this.authProvider.getHost(),
      tracking_username: '',
      tracking_password: '',
      tracking_token: '',
      tracking_token_file: '',
    };
    const others: string[] = [];
    for (const [name, value] of Object.entries(await this.authProvider.getHeadersProvider()())) {
      const [, scheme, credentials] = /^(Basic|Bearer)\s+(.+)$/i.exec(value) ?? [];
      if (name.toLowerCase() !== 'authorization' || credentials === undefined) {
        others.push(`${name}=${encodeURIComponent(value)}`);
      } else if (scheme.toLowerCase() === 'bearer') {
        options.tracking_token = credentials;
      } else {
        const pair = Buffer.from(credentials, 'base64').toString();
        options.tracking_username = pair.slice(0, pair.indexOf(':'));
        options.tracking_password = pair.slice(pair.indexOf(':') + 1);
      }
    }
    return others.length === 0 ? options : { ...options, 'http.headers': others.join(',') };
  }
}

function read(json: AssessmentJson): Assessment {
  const assessment = assessmentFromJson(json);
  if (assessment === undefined)
    throw invalid('the assessment is of a kind that is neither feedback nor expectation');
  return assessment;
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
