/** Traces calls of models by what goes over the wire, whatever library makes them. */
import { SpanAttributeKey, SpanStatusCode, type SpanType } from './constants.js';
import { contextOf, currentContext, runIn } from './context.js';
import { isSending } from './integrations/call.js';
import { guarded, reportOnce } from './integrations/guard.js';
import { Hooks } from './integrations/hooks.js';
import { type Dialect, recordItems, recordReply, recordRequest } from './integrations/model.js';
import { type Ending, unwatch, watch } from './integrations/watch.js';
import { getTracingContextHeaders } from './propagation.js';
import { RecordingSpan } from './span.js';
import { announce, openSpan } from './trace.js';

/** Bytes of a reply that are kept for the trace; its reader gets all of them. */
const MAX_BYTES = 8 * 2 ** 20;
/** Types of bodies that consist of events. */
const STREAMS = /^(text\/event-stream|application\/x-ndjson)/;

type Fetch = typeof fetch;
/** What a path stands for: itself, a name, a type, the wire format, and how MLflow's page draws the messages. */
type Route = readonly [path: RegExp, name: string, spanType: SpanType, dialect: Dialect, format?: string];

const ROUTES: readonly Route[] = [
  [/\/chat\/completions$/, 'Completions', 'CHAT_MODEL', 'openai.chat', 'openai'],
  [/\/completions$/, 'Completions', 'LLM', 'openai.completions', 'openai'],
  [/\/responses$/, 'Responses', 'CHAT_MODEL', 'openai.responses', 'openai'],
  [/\/embeddings$/, 'Embeddings', 'EMBEDDING', 'openai.embeddings'],
  [/\/v1\/messages$/, 'Messages.create', 'CHAT_MODEL', 'anthropic', 'anthropic'],
  [/\/api\/(?:chat|generate)$/, 'Ollama', 'CHAT_MODEL', 'ollama', 'ollama'],
  [/\/api\/embed$/, 'Ollama', 'EMBEDDING', 'ollama'],
  [/\/models\/(?<model>[^/:]+):generateContent$/, 'Models.generateContent', 'LLM', 'gemini', 'gemini'],
  [
    /\/models\/(?<model>[^/:]+):streamGenerateContent$/,
    'Models.generateContentStream',
    'LLM',
    'gemini',
    'gemini',
  ],
  [
    /\/models\/(?<model>[^/:]+):(?:batchEmbedContents|embedContent)$/,
    'Models.embedContent',
    'EMBEDDING',
    'gemini',
    'gemini',
  ],
];

/**
 * Traces requests to models that go through the global `fetch`, in the wire formats of OpenAI, Anthropic, Gemini and Ollama.
 * Many clients keep the `fetch` that they find: enable this before they are made. Calls that another integration traces
 * are not traced twice; a call that its library repeats is a span for each attempt. Never throws.
 * @returns what stops it, and puts back the `fetch` that was there.
 */
export function enableHttp(): () => void {
  enabled ??= new Hooks();
  const hooks = enabled;
  if (hooks.isEmpty) {
    hooks.replace(
      globalThis,
      'fetch',
      (original) =>
        function (this: unknown, ...args: never[]): unknown {
          const send = (...given: unknown[]): Promise<Response> =>
            Reflect.apply(original, this, given) as Promise<Response>;
          return tracedFetch(send, args as unknown as Parameters<Fetch>);
        },
    );
  }
  return () => {
    hooks.remove();
    if (enabled === hooks) enabled = undefined;
  };
}

let enabled: Hooks | undefined;

function tracedFetch(
  send: (...args: unknown[]) => Promise<Response>,
  args: Parameters<Fetch>,
): Promise<Response> {
  const [input, init] = args;
  const route = guarded('a request', () => {
    const isRequest = input instanceof Request;
    const method = init?.method ?? (isRequest ? input.method : 'GET');
    if (method.toUpperCase() !== 'POST' || isSending(currentContext()?.span)) return undefined;
    const { pathname } = new URL(isRequest ? input.url : input);
    return ROUTES.find(([path]) => path.test(pathname));
  });
  if (route === undefined) return send(...args);
  const body = guarded('a request', () => textOf(input, init));
  if (body === undefined) return send(...args);
  if (typeof body === 'string') return exchange(route, args, body, send);
  return body.then(
    (text) => exchange(route, args, text, send),
    () => send(...args),
  );
}

/** The body of a request as far as it can be read without taking it away; one that is a `Request` takes its time. */
function textOf(
  input: Parameters<Fetch>[0],
  init: RequestInit | undefined,
): string | Promise<string> | undefined {
  const body = init?.body;
  if (typeof body === 'string') return body;
  if (ArrayBuffer.isView(body)) return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
  if (body instanceof ArrayBuffer) return Buffer.from(body).toString();
  if (body !== undefined && body !== null) return undefined;
  return input instanceof Request && input.body !== null ? input.clone().text() : undefined;
}

function exchange(
  route: Route,
  args: Parameters<Fetch>,
  body: string,
  send: (...args: unknown[]) => Promise<Response>,
): Promise<Response> {
  const span = guarded('a request', () => begin(route, args[0], body));
  if (span === undefined) return send(...args);
  const context = contextOf(span);
  const given = guarded('the headers of a trace', () => runIn(context, () => withTraceHeaders(args))) ?? args;
  const follower = new Exchange(span, route[3]);
  guarded('a request', () => {
    follower.endWith(args[1]?.signal ?? (args[0] instanceof Request ? args[0].signal : undefined));
  });
  return runIn(context, () => send(...given)).then(
    (response) => guarded('a response', () => follower.follow(response)) ?? response,
    (error: unknown) => {
      follower.end({ error });
      throw error;
    },
  );
}

function begin(
  [path, name, spanType, dialect, format]: Route,
  input: Parameters<Fetch>[0],
  body: string,
): RecordingSpan | undefined {
  const request: unknown = JSON.parse(body);
  const { pathname } = new URL(input instanceof Request ? input.url : input);
  const model = path.exec(pathname)?.groups?.model;
  if (typeof request !== 'object' || request === null || (model === undefined && !('model' in request))) {
    return undefined;
  }
  const span = openSpan(name, { spanType });
  if (!(span instanceof RecordingSpan)) return undefined;
  span.setInputs(request);
  if (format !== undefined) span.setAttribute(SpanAttributeKey.MESSAGE_FORMAT, format);
  if (model !== undefined) span.setAttribute(SpanAttributeKey.MODEL, decodeURIComponent(model));
  recordRequest(span, dialect);
  announce(span);
  return span;
}

function withTraceHeaders([input, init]: Parameters<Fetch>): Parameters<Fetch> {
  const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
  for (const [name, value] of Object.entries(getTracingContextHeaders())) {
    if (!headers.has(name)) headers.set(name, value);
  }
  return [input, { ...init, headers }];
}

/** A request that was sent, and its reply as far as it was read. */
class Exchange implements Ending {
  private readonly parts: Uint8Array[] = [];
  private size = 0;
  private status = 0;
  private type = '';
  private isEnded = false;
  private forgetSignal: (() => void) | undefined;

  constructor(
    private readonly span: RecordingSpan,
    private readonly dialect: Dialect,
  ) {}

  /** Ends when the caller gives up, which nobody may read to its end then. */
  endWith(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    // With a reader, its next step tells more.
    const end = (): void => {
      setImmediate(() => {
        this.end();
      }).unref();
    };
    signal.addEventListener('abort', end, { once: true });
    this.forgetSignal = () => {
      signal.removeEventListener('abort', end);
    };
  }

  /** A response like `response` whose body is noted as it is read. */
  follow(response: Response): Response {
    this.status = response.status;
    this.type = response.headers.get('content-type') ?? '';
    if (response.body === null) {
      this.end();
      return response;
    }
    const { status, statusText, headers } = response;
    const body = this.followBody(response.body.getReader());
    watch(this, body);
    return withIdentity(new Response(body, { status, statusText, headers }), response);
  }

  /** Pulled only as the caller reads, so that what the caller does not want is not fetched. */
  private followBody(reader: ReadableStreamDefaultReader<Uint8Array>): ReadableStream {
    return new ReadableStream({
      type: 'bytes',
      pull: async (controller) => {
        let part: Awaited<ReturnType<typeof reader.read>>;
        try {
          part = await reader.read();
        } catch (error) {
          this.end({ error });
          throw error;
        }
        if (part.done) {
          this.end();
          controller.close();
          controller.byobRequest?.respond(0);
        } else {
          this.keep(part.value);
          controller.enqueue(part.value);
        }
      },
      cancel: (reason) => {
        this.end();
        return reader.cancel(reason);
      },
    });
  }

  private keep(part: Uint8Array): void {
    this.size += part.byteLength;
    // A copy: handing the part on takes its memory along.
    if (this.size <= MAX_BYTES) this.parts.push(Uint8Array.from(part));
    else reportOnce('the end of a body is not recorded', `it has more than ${MAX_BYTES} bytes`);
  }

  end(failure?: { readonly error: unknown }): void {
    if (this.isEnded) return;
    this.isEnded = true;
    unwatch(this);
    this.forgetSignal?.();
    guarded('a reply', () => {
      if (this.size > 0) this.record(Buffer.concat(this.parts).toString());
    });
    if (failure !== undefined) this.span.recordException(failure.error);
    this.span.end();
  }

  private record(body: string): void {
    const { span, dialect } = this;
    // Folding also makes numbers of base64, in which OpenAI's library asks for embeddings.
    if (this.status < 400 && (STREAMS.test(this.type) || dialect === 'openai.embeddings')) {
      recordItems(span, dialect, body, true);
      return;
    }
    span.setOutputs(JSON.parse(body));
    recordReply(span, dialect, true);
    if (this.status >= 400) {
      const { description } = span.status;
      const text = description === '' ? `HTTP ${this.status}` : `HTTP ${this.status}: ${description}`;
      span.setStatus(SpanStatusCode.ERROR, text);
    }
  }
}

/** Gives a response what only the one from the network knows of itself. */
function withIdentity(response: Response, original: Response): Response {
  const { url, redirected, type } = original;
  const clone = (): Response => withIdentity(Response.prototype.clone.call(response), original);
  const identity = { url, redirected, type, clone };
  for (const [name, value] of Object.entries(identity)) {
    Object.defineProperty(response, name, { value, configurable: true });
  }
  return response;
}
