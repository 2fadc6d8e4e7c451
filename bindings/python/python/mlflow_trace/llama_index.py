"""LlamaIndex: models, retrievers, engines, tools and workflows as spans.

Its dispatcher announces what is called, its events tell about models and the ends of streams.
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
import weakref
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.integrations.model_facts import TOOLS, USAGE, chat_tools
from mlflow_trace.integrations.models import FORMAT, MODEL, PROVIDER
from mlflow_trace.integrations.registry import Integration
from mlflow_trace.integrations.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

__all__ = ["autolog"]

integration = Integration("llama_index")
_KINDS = {
    "BaseLLM": "LLM",
    "MultiModalLLM": "LLM",
    "BaseRetriever": "RETRIEVER",
    "BaseWorkflowAgent": "AGENT",
    "BaseEmbedding": "EMBEDDING",
    "BaseTool": "TOOL",
}
_STREAMS = ("StreamingResponse", "AsyncStreamingResponse", "StreamingAgentChatResponse")


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace what runs with LlamaIndex, or stop doing so.

    Works before and after the import of LlamaIndex, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing.
        silent: Log nothing about parts of a run that could not be recorded.

    """
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)


def _running() -> Iterable[str | None]:
    spans = sys.modules.get("llama_index_instrumentation.span")
    return () if spans is None else (spans.active_span_id.get(),)


_runs = Runs(_running)
# What is open, by what it is below; and what of it has given back a stream that is to be read.
_parents: dict[str, str | None] = {}
_passing: set[str] = set()
# The innermost that has given back a stream.
_sources: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
# The latest that came of a stream: it has all that came before.
_latest: dict[str, Any] = {}


def _guarded(handle: Any) -> Any:
    @functools.wraps(handle)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            handle(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - LlamaIndex would be silent about it
            integration.report(handle.__name__, error)

    return guarded


class _Spans:
    """What LlamaIndex tells about calls."""

    @_guarded
    def span_enter(
        self, id_: str, bound_args: Any, instance: Any = None, parent_id: Any = None, **_: Any
    ) -> None:
        names = {base.__name__ for base in type(instance).__mro__}
        kind = next((_KINDS[name] for name in _KINDS if name in names), "CHAIN")
        given = dict(bound_args.arguments)
        start = given.get("start_event")
        if hasattr(start, "to_dict"):
            given = start.to_dict()  # type: ignore[union-attr]
        attributes = _described(kind, instance)
        if kind == "LLM" and (tools := chat_tools((given.get("kwargs") or {}).get("tools"))):
            attributes[TOOLS] = tools
        _runs.start(id_, parent_id, id_.partition("-")[0], kind, given, attributes)
        _parents[id_] = parent_id

    @_guarded
    def span_exit(self, id_: str, result: Any = None, **_: Any) -> None:
        stream = _stream_of(result)
        if stream is not None and id_ in _parents:
            _passing.add(id_)
            # Ends what is dropped before its end, or has no events.
            weakref.finalize(stream, _end, id_)
            first = _sources.setdefault(stream, id_)
            if hasattr(result, "response_gen") and result.response_gen is stream:
                result.response_gen = replacement = _within(stream, first)
                _sources[replacement] = first
            return
        _end(id_, _documents(result))

    @_guarded
    def span_drop(self, id_: str, err: BaseException | None = None, **_: Any) -> None:
        _end(id_, error=None if type(err).__name__ == "WorkflowDone" else err)


def _within(stream: Any, id_: str) -> Any:
    """Pass on a stream: what its source calls, for instance a model, is below what gave it."""
    active = sys.modules["llama_index_instrumentation.span"].active_span_id

    def pass_on() -> Any:
        while True:
            before = active.set(id_)
            try:
                item = next(stream)
            except StopIteration:
                return
            finally:
                active.reset(before)
            yield item

    async def pass_on_async() -> Any:
        while True:
            before = active.set(id_)
            try:
                item = await anext(stream)
            except StopAsyncIteration:
                return
            finally:
                active.reset(before)
            yield item

    return pass_on() if inspect.isgenerator(stream) else pass_on_async()


def _end(id_: str, outputs: Any = None, error: BaseException | None = None) -> None:
    latest = _latest.pop(id_, None)
    _parents.pop(id_, None)
    _passing.discard(id_)
    _runs.end(id_, latest if outputs is None else outputs, error=error)


class _Events:
    """What LlamaIndex tells about models in the middle of their calls."""

    @_guarded
    def handle(self, event: Any, **_: Any) -> None:
        id_, kind = event.span_id, type(event).__name__
        span = _runs.get(id_)
        if span is None or not hasattr(span, "set_span_type"):
            return
        if kind in ("LLMChatStartEvent", "LLMCompletionStartEvent", "EmbeddingStartEvent"):
            if kind == "LLMChatStartEvent":
                span.set_span_type("CHAT_MODEL")
            elif kind == "LLMCompletionStartEvent":
                span.set_attribute("prompt", event.prompt)
            span.set_attribute("model_dict", event.model_dict)
            if model := event.model_dict.get("model"):
                span.set_attribute(MODEL, model)
        elif kind in ("LLMChatInProgressEvent", "LLMCompletionInProgressEvent"):
            _latest[id_] = event.response
        elif kind in ("LLMChatEndEvent", "LLMCompletionEndEvent"):
            _count(span, event.response)
            if id_ in _latest:
                self._read(id_, event.response)
        elif kind == "LLMPredictStartEvent":
            given = {**event.template.kwargs, **(event.template_args or {})}
            # The first is spelled as MLflow does.
            template = {"prmopt_template": event.template.get_template()}
            span.set_attributes({**template, "template_arguments": given})
        elif kind == "ReRankStartEvent":
            span.set_span_type("RERANKER")
            span.set_attributes({"model_name": event.model_name, "top_n": event.top_n})
        elif kind == "ExceptionEvent" and id_ in _latest:
            error = event.exception
            _end(id_, error=None if isinstance(error, GeneratorExit) else error)

    def _read(self, id_: str, response: Any) -> None:
        """End the span of a stream, and those that have passed it on."""
        parent = _parents.get(id_)
        _end(id_, response)
        message = getattr(response, "message", None)
        text = getattr(response, "text", None) if message is None else message.content
        while parent is not None and parent in _passing:
            above = _parents.get(parent)
            _end(parent, text)
            parent = above


def _described(kind: str, instance: Any) -> dict[str, Any]:
    """Return the attributes that a model or a tool has by itself."""
    provider = type(instance).__name__.lower()
    if kind == "LLM":
        about = instance.metadata
        return {
            FORMAT: "llamaindex",
            "model_name": about.model_name,
            MODEL: about.model_name,
            "invocation_params": json.loads(about.model_dump_json(exclude_unset=True)),
            PROVIDER: provider,
        }
    if kind == "EMBEDDING":
        size = instance.embed_batch_size
        name = instance.model_name
        return {"model_name": name, MODEL: name, PROVIDER: provider, "embed_batch_size": size}
    if kind == "TOOL":
        about = instance.metadata
        found = {"name": about.name, "description": about.description}
        if about.fn_schema is not None:
            found["parameters"] = about.get_parameters_dict()
        return found
    return {}


def _stream_of(result: Any) -> Any:
    """Return the generator of a result that is still to be read."""
    if type(result).__name__ in _STREAMS:
        result = getattr(result, "response_gen", None) or getattr(result, "chat_stream", None)
    return result if inspect.isgenerator(result) or inspect.isasyncgen(result) else None


def _documents(result: Any) -> Any:
    """Write what a retriever found as MLflow's page shows it."""
    if not isinstance(result, list) or not result:
        return result
    if not all(type(found).__name__ == "NodeWithScore" for found in result):
        return result
    return [
        {
            "page_content": found.node.get_content(),
            "metadata": {"score": found.get_score(), **found.node.metadata},
            "id": found.node.node_id,
        }
        for found in result
    ]


def _count(span: Any, response: Any) -> None:
    """Count the tokens that the reply of a model tells, in the words of its provider."""
    raw = getattr(response, "raw", None) or {}
    usage = raw.get("usage") if isinstance(raw, dict) else getattr(raw, "usage", None)
    if not usage:
        told = getattr(response, "additional_kwargs", None) or {}
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        usage = {name: told[name] for name in names if told.get(name) is not None}
    span.set_attribute("usage", usage)
    text = _native.to_json({"usage": usage})
    dialect = "anthropic" if "cache_creation_input_tokens" in text else "openai.chat"
    if counted := json.loads(_native.dialect_reply(dialect, text)).get("usage"):
        span.set_attribute(USAGE, counted)


@functools.cache
def _handlers() -> tuple[Any, Any]:
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler
    from llama_index.core.instrumentation.span_handlers import BaseSpanHandler

    def no_span(_handler: Any, *_args: Any, **_kwargs: Any) -> None:
        return None

    kept = ("new_span", "prepare_to_exit_span", "prepare_to_drop_span")
    spans = type("MlflowTraceSpans", (_Spans, BaseSpanHandler), dict.fromkeys(kept, no_span))
    return spans(), type("MlflowTraceEvents", (_Events, BaseEventHandler), {})()


def _install(module: ModuleType) -> Callable[[], None]:
    dispatcher = module.get_dispatcher()
    spans, events = _handlers()
    dispatcher.add_span_handler(spans)
    dispatcher.add_event_handler(events)
    _runs.follow()

    def undo() -> None:
        _runs.unfollow()
        dispatcher.span_handlers = [each for each in dispatcher.span_handlers if each is not spans]
        dispatcher.event_handlers = [
            each for each in dispatcher.event_handlers if each is not events
        ]

    return undo


integration.install("llama_index.core.instrumentation", _install)
