import type { AttributeValue, Plain } from './values.js';

/** What of a trace goes into its spans' frames. Words are 32 bits, signed. */
export interface TraceIdentity {
  readonly id0: number;
  readonly id1: number;
  readonly id2: number;
  readonly id3: number;
  readonly traceState: string;
  /** The engine keeps the trace only if a span of it fails. */
  readonly isForErrors: boolean;
}

export interface SpanEventRecord {
  readonly name: string;
  readonly timeHigh: number;
  readonly timeLow: number;
  readonly attributes: Record<string, Plain>;
}

export interface SpanLinkRecord {
  readonly trace: TraceIdentity;
  readonly spanHigh: number;
  readonly spanLow: number;
  readonly attributes: Record<string, Plain>;
}

/** What is known of a span when it starts. */
export interface StartRecord {
  readonly trace: TraceIdentity;
  readonly idHigh: number;
  readonly idLow: number;
  readonly parentHigh: number;
  readonly parentLow: number;
  readonly hasRemoteParent: boolean;
  readonly startHigh: number;
  readonly startLow: number;
}

/** What a span's frames are written from. */
export interface SpanRecord extends StartRecord {
  /** The host told when it started, which MLflow keeps as an attribute. */
  readonly hasGivenStart: boolean;
  readonly endHigh: number;
  readonly endLow: number;
  readonly spanName: string;
  readonly type: string;
  readonly level: number;
  readonly input: AttributeValue | undefined;
  readonly output: AttributeValue | undefined;
  readonly keys: readonly string[];
  readonly values: readonly AttributeValue[];
  readonly eventRecords: readonly SpanEventRecord[];
  readonly droppedEvents: number;
  readonly linkRecords: readonly SpanLinkRecord[];
  /** Any other status is OK in the end, which the engine writes. */
  readonly isError: boolean;
  readonly errorText: string;
}
