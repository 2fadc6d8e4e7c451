/** Traces LangChain.js and LangGraph.js by their callbacks. */
import { SpanAttributeKey, type SpanType } from './constants.js';
import { currentContext, joinRuns } from './context.js';
import { type AnyFunction, Hooks } from './integrations/hooks.js';
import { messagesOf, plain, toChatMessage, toChoices, usageOf } from './integrations/langchain-values.js';
import { read } from './integrations/model.js';
import { recordFailure, Runs } from './integrations/runs.js';
import { native } from './native.js';
import type { LiveSpan } from './span.js';
import { updateCurrentTrace } from './trace.js';
import { toJson, toText } from './values.js';

const NAME = 'mlflow_trace';
/** The tag with which the frameworks mark what is not to be seen, such as the entry of a graph. */
const HIDDEN = 'langsmith:hidden';

const runs = new Runs();

// LangChain keeps what runs now in a storage of its own, one for all copies of it.
const STORAGE = Symbol.for('ls:tracing_async_local_storage');
const CONFIG = Symbol.for('lc:child_config');

/** The id of the run whose code is executed here; undefined outside of any. */
function currentRun(): string | undefined {
  const storage = (globalThis as Record<symbol, unknown>)[STORAGE] as { getStore?(): unknown } | undefined;
  const extra = read(storage?.getStore?.(), 'extra') as Record<symbol, unknown> | undefined;
  const id = read(read(extra?.[CONFIG], 'callbacks'), '_parentRunId');
  return typeof id === 'string' ? id : undefined;
}

const source = { current: currentRun, span: (run: string) => runs.span(run) };

/** Where the spans of a run belong: below what was started inside its parent, else below the parent. */
function parentOf(parentRunId: string | undefined): LiveSpan | undefined {
  const parent = runs.span(parentRunId);
  const context = currentContext();
  return parent !== undefined && context?.run === parentRunId ? (context?.span ?? parent) : parent;
}

/** What LangChain hands to a callback of something that starts, besides what it is to work on. */
interface Started {
  readonly runId: string;
  readonly parentRunId: string | undefined;
  readonly tags?: readonly string[];
  readonly metadata?: Record<string, unknown>;
  readonly name: string;
}

function start(
  { runId, parentRunId, tags, metadata, name }: Started,
  spanType: SpanType,
  fill: (span: LiveSpan) => void,
): void {
  joinRuns(source);
  const parent = parentOf(parentRunId);
  if (tags?.includes(HIDDEN) === true) {
    runs.alias(runId, parent);
    return;
  }
  runs.start(runId, parent, { name, spanType }, (span) => {
    fill(span);
    if (metadata !== undefined && Object.keys(metadata).length > 0) span.setAttribute('metadata', metadata);
    const thread = metadata?.thread_id;
    if (parentRunId === undefined && thread !== undefined) {
      updateCurrentTrace({ sessionId: toText(thread) }, span);
    }
  });
}

function fail(runId: string, error: unknown): void {
  runs.end(runId, (span) => {
    // How a graph stops for its user, or goes elsewhere: no error, though it is thrown.
    if (read(error, 'is_bubble_up') === true)
      span.addEvent('interrupt', { value: read(error, 'interrupts') });
    else recordFailure(span, error);
  });
}

function nameOf(serialized: unknown, runName: string | undefined, fallback: string): string {
  const id = read(serialized, 'id');
  const last: unknown = Array.isArray(id) ? id.at(-1) : undefined;
  return runName ?? toText(read(serialized, 'name') ?? last ?? fallback);
}

type Members = Record<string, unknown> | undefined;

function startModel(started: Started, spanType: SpanType, inputs: unknown, extra: Members): void {
  start(started, spanType, (span) => {
    span.setInputs(inputs);
    span.setAttributes(extra ?? {});
    span.setAttribute(SpanAttributeKey.MESSAGE_FORMAT, 'langchain');
    const parameters = extra?.invocation_params;
    setModel(
      span,
      started.metadata?.ls_model_name ?? read(parameters, 'model') ?? read(parameters, 'model_name'),
    );
    setProvider(span, started.metadata?.ls_provider);
    const said = JSON.parse(native().dialectRequest('openai.chat', toJson(parameters))) as {
      tools?: unknown;
    };
    if (said.tools !== undefined) span.setAttribute(SpanAttributeKey.CHAT_TOOLS, said.tools);
  });
}

function setModel(span: LiveSpan, model: unknown): void {
  if (typeof model === 'string') span.setAttribute(SpanAttributeKey.MODEL, model);
}

function setProvider(span: LiveSpan, provider: unknown): void {
  if (typeof provider === 'string') span.setAttribute(SpanAttributeKey.MODEL_PROVIDER, provider);
}

/**
 * A callback handler of LangChain.js, for calls that are given one: `{callbacks: [new MlflowCallbackHandler()]}`. It need not
 * be given where `enableLangchain` is in force. No method throws, and none changes anything.
 */
export class MlflowCallbackHandler {
  /** By which LangChain tells handlers apart. */
  readonly name = NAME;
  /** A handler of LangChain's newest kind. */
  readonly lc_serializable = false;
  /** Has LangChain call it at once, in the context of the call. */
  readonly awaitHandlers = true;
  /** What goes wrong here is not to be seen by the program. */
  readonly raiseError = false;
  /** It takes all that there is. */
  readonly ignoreLLM = false;
  /** It takes all that there is. */
  readonly ignoreChain = false;
  /** An agent's own events say nothing that its runs do not. */
  readonly ignoreAgent = false;
  /** It takes all that there is. */
  readonly ignoreRetriever = false;
  /** Events of the program's own are its own. */
  readonly ignoreCustomEvent = true;

  /** The handler itself, which has no state. */
  copy(): this {
    return this;
  }

  /** A chat model is given messages. */
  handleChatModelStart(
    llm: unknown,
    messages: unknown[][],
    runId: string,
    parentRunId?: string,
    extra?: Record<string, unknown>,
    tags?: string[],
    metadata?: Record<string, unknown>,
    runName?: string,
  ): void {
    const name = nameOf(llm, runName, 'ChatModel');
    const inputs = { messages: (messages[0] ?? []).map(toChatMessage) };
    startModel({ runId, parentRunId, tags, metadata, name }, 'CHAT_MODEL', inputs, extra);
  }

  /** A language model is given prompts. */
  handleLLMStart(
    llm: unknown,
    prompts: string[],
    runId: string,
    parentRunId?: string,
    extra?: Record<string, unknown>,
    tags?: string[],
    metadata?: Record<string, unknown>,
    runName?: string,
  ): void {
    const name = nameOf(llm, runName, 'LLM');
    startModel({ runId, parentRunId, tags, metadata, name }, 'LLM', prompts, extra);
  }

  /** A model has answered a part. */
  handleLLMNewToken(token: string, _index: unknown, runId: string): void {
    runs.span(runId)?.addEvent('new_token', { token });
  }

  /** A model has answered. */
  handleLLMEnd(output: unknown, runId: string): void {
    runs.end(runId, (span) => {
      span.setOutputs(toChoices(output));
      const usage = usageOf(output);
      if (usage !== undefined) span.setAttribute(SpanAttributeKey.TOKEN_USAGE, usage);
      const metadata = read(messagesOf(output)[0], 'response_metadata');
      if (span.getAttribute(SpanAttributeKey.MODEL) === undefined)
        setModel(span, read(metadata, 'model_name'));
      if (span.getAttribute(SpanAttributeKey.MODEL_PROVIDER) === undefined) {
        setProvider(span, read(metadata, 'model_provider'));
      }
    });
  }

  /** A model has failed. */
  handleLLMError(error: unknown, runId: string): void {
    fail(runId, error);
  }

  /** Something that is composed of others starts: a chain, a prompt, a parser, a function, a graph or a node of one. */
  handleChainStart(
    chain: unknown,
    inputs: unknown,
    runId: string,
    parentRunId?: string,
    tags?: string[],
    metadata?: Record<string, unknown>,
    _runType?: string,
    runName?: string,
  ): void {
    const name = nameOf(chain, runName, 'Chain');
    start({ runId, parentRunId, tags, metadata, name }, 'CHAIN', (span) => {
      span.setInputs(plain(inputs));
    });
  }

  /** It has come to its end. */
  handleChainEnd(outputs: unknown, runId: string): void {
    runs.end(runId, (span) => {
      span.setOutputs(plain(outputs));
    });
  }

  /** It has failed, or a graph waits for its user. */
  handleChainError(error: unknown, runId: string): void {
    fail(runId, error);
  }

  /** A tool starts. */
  handleToolStart(
    tool: unknown,
    input: string,
    runId: string,
    parentRunId?: string,
    tags?: string[],
    metadata?: Record<string, unknown>,
    runName?: string,
  ): void {
    const name = nameOf(tool, runName, 'Tool');
    start({ runId, parentRunId, tags, metadata, name }, 'TOOL', (span) => {
      span.setInputs(fromJson(input));
    });
  }

  /** A tool has come to its end. */
  handleToolEnd(output: unknown, runId: string): void {
    runs.end(runId, (span) => {
      span.setOutputs(plain(output));
    });
  }

  /** A tool has failed. */
  handleToolError(error: unknown, runId: string): void {
    fail(runId, error);
  }

  /** A retriever starts. */
  handleRetrieverStart(
    retriever: unknown,
    query: string,
    runId: string,
    parentRunId?: string,
    tags?: string[],
    metadata?: Record<string, unknown>,
    runName?: string,
  ): void {
    const name = nameOf(retriever, runName, 'Retriever');
    start({ runId, parentRunId, tags, metadata, name }, 'RETRIEVER', (span) => {
      span.setInputs(query);
    });
  }

  /** A retriever has found documents. */
  handleRetrieverEnd(documents: unknown, runId: string): void {
    runs.end(runId, (span) => {
      if (!Array.isArray(documents)) return;
      span.setOutputs(
        documents.map((document: unknown) => ({
          page_content: read(document, 'pageContent'),
          metadata: read(document, 'metadata'),
          id: read(document, 'id'),
        })),
      );
    });
  }

  /** A retriever has failed. */
  handleRetrieverError(error: unknown, runId: string): void {
    fail(runId, error);
  }
}

/** The arguments of a tool, which LangChain hands over as text. */
function fromJson(text: unknown): unknown {
  if (typeof text !== 'string') return plain(text);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

const handler = new MlflowCallbackHandler();
const enabled = new WeakMap<object, Hooks>();

/**
 * Traces every call of LangChain.js and of LangGraph.js, whose class `CallbackManager` it is given:
 *
 *     import { CallbackManager } from '@langchain/core/callbacks/manager';
 *     enableLangchain(CallbackManager);
 *
 * The class that is imported and the one that is required are two; a program that uses both gives both. Never throws.
 * @returns what stops it.
 */
export function enableLangchain(...managers: unknown[]): () => void {
  const hooked = managers.filter(
    (manager): manager is AnyFunction => typeof manager === 'function' && !enabled.has(manager),
  );
  for (const manager of hooked) {
    const hooks = new Hooks();
    hooks.replace(manager, '_configureSync', configured);
    enabled.set(manager, hooks);
  }
  return () => {
    for (const manager of managers as object[]) {
      enabled.get(manager)?.remove();
      enabled.delete(manager);
    }
  };
}

interface Manager {
  readonly handlers: readonly unknown[];
  addHandler(handler: unknown, inherit: boolean): void;
}

/** Adds the handler to those that a call starts with, unless it is among them. */
function configured(configure: AnyFunction): AnyFunction {
  return function (this: unknown, ...args: never[]): unknown {
    const [inheritable, ...rest] = args as unknown[];
    // A list is merged with the tags and metadata of the call; a manager is copied.
    const given = Array.isArray(inheritable) || inheritable === undefined || inheritable === null;
    const list = (inheritable ?? []) as unknown[];
    const first = given && !list.some(isOurs) ? [...list, handler] : inheritable;
    const manager = Reflect.apply(configure, this, [first, ...rest] as never[]) as Manager | undefined;
    if (manager?.handlers.some(isOurs) === false) manager.addHandler(handler, true);
    return manager;
  };
}

function isOurs(candidate: unknown): boolean {
  return read(candidate, 'name') === NAME;
}
