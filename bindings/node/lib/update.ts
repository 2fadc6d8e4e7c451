import { toText } from './values.js';

/** Changes to the trace as a whole. Values that are no strings are written as text. */
export interface TraceUpdate {
  /** Tags to add; those of one name are replaced. */
  tags?: Record<string, unknown>;
  /** Metadata to add; those of one name are replaced. */
  metadata?: Record<string, unknown>;
  /** The host's own id of the request; MLflow finds traces by it. */
  clientRequestId?: string;
  /** Text shown for the request in lists, instead of an excerpt of the root's inputs. */
  requestPreview?: string;
  /** Text shown for the response in lists, instead of an excerpt of the root's outputs. */
  responsePreview?: string;
  /** State of the trace, instead of the root's status. */
  state?: 'OK' | 'ERROR';
  /** The conversation that the trace is part of. */
  sessionId?: string;
  /** Who asked. */
  user?: string;
  /** The logged model that produced the trace. */
  modelId?: string;
}

/** The engine's form of an update; empty when there is nothing in it. Never throws. */
export function updateJson(update: TraceUpdate): string {
  const json: Record<string, unknown> = {};
  setTexts(json, 'tags', update.tags);
  setTexts(json, 'metadata', update.metadata);
  setText(json, 'client_request_id', update.clientRequestId);
  setText(json, 'request_preview', update.requestPreview);
  setText(json, 'response_preview', update.responsePreview);
  setText(json, 'session_id', update.sessionId);
  setText(json, 'user', update.user);
  setText(json, 'model_id', update.modelId);
  if (update.state === 'OK' || update.state === 'ERROR') json.state = update.state;
  const text = JSON.stringify(json);
  return text === '{}' ? '' : text;
}

function setText(into: Record<string, unknown>, key: string, value: unknown): void {
  if (value !== undefined && value !== null && value !== '') into[key] = toText(value).toWellFormed();
}

function setTexts(
  into: Record<string, unknown>,
  key: string,
  values: Record<string, unknown> | undefined,
): void {
  if (typeof values !== 'object' || values === null) return;
  // Pairs and `fromEntries`, so that `__proto__` is a key like any other.
  const texts = Object.entries(values).map(([name, value]) => [
    name.toWellFormed(),
    toText(value).toWellFormed(),
  ]);
  if (texts.length > 0) into[key] = Object.fromEntries(texts);
}
