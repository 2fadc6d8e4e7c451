"""LangChain and LangGraph: a span for every run that they announce to callbacks.

    chat model -> CHAT_MODEL    chain, prompt, parser, graph, node -> CHAIN
    other model -> LLM          tool -> TOOL    retriever -> RETRIEVER

Nothing of LangChain is replaced. Its own hook gives every callback manager the handler, in every
thread and task; as there is no way to take it back, it ignores everything while switched off.
"""

from __future__ import annotations

import ast
import functools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace._native import LiveSpan
from mlflow_trace.integrations import langchain_shapes as shapes
from mlflow_trace.integrations.model_facts import USAGE
from mlflow_trace.integrations.registry import Integration
from mlflow_trace.integrations.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from uuid import UUID

__all__ = ["autolog"]

integration = Integration("langchain")
_HOME = "langchain_core.tracers.context"
# How a run stops that has not failed: closed streams, and LangGraph's ways to leave a node.
_STOPPED = {"GeneratorExit", "GraphBubbleUp"}


def autolog(
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    log_traces: bool = True,
    run_tracer_inline: bool = True,
) -> None:
    """Trace what runs with LangChain and LangGraph, now or as soon as they are imported.

    Args:
        disable: Stop tracing them.
        exclusive: Accepted as MLflow does; without effect.
        disable_for_unsupported_versions: Accepted as MLflow does; without effect.
        silent: Log nothing about parts of a run that could not be recorded.
        log_traces: False has the same effect as `disable`.
        run_tracer_inline: Accepted as MLflow does; it always does, which keeps parents right.

    """
    del exclusive, disable_for_unsupported_versions, run_tracer_inline
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)


def _guarded(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the program is not to notice
            integration.report(method.__name__, error)

    return guarded


def _or_raw(shape: Callable[..., Any], raw: Any, *more: Any) -> Any:
    """Give what `shape` makes of a value, or the value as it is."""
    try:
        return shape(raw, *more)
    except Exception as error:  # noqa: BLE001 - an unknown shape
        integration.report(shape.__name__, error)
        return raw


class _Events:
    """What is done at each of LangChain's events; `_handler` makes a callback handler of it."""

    # In the context of what runs, not in that of a thread or task of the callback's own.
    run_inline = True

    def __init__(self) -> None:
        super().__init__()
        self.runs = Runs(self._running)
        self._config: ContextVar[Any] | None = None

    def _is_ignored(self) -> bool:
        return not integration.on and not self.runs

    ignore_llm = ignore_chat_model = ignore_chain = ignore_agent = ignore_retriever = property(
        _is_ignored
    )

    def _running(self) -> Iterator[UUID | None]:
        if self._config is None:
            from langchain_core.runnables.config import var_child_runnable_config

            self._config = var_child_runnable_config
        config = self._config.get() or {}
        yield getattr(config.get("callbacks"), "parent_run_id", None)

    def _start(
        self,
        span_type: str,
        inputs: Any,
        serialized: dict[str, Any] | None,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,  # noqa: ARG002 - not an attribute
        run_type: str | None = None,  # noqa: ARG002 - not an attribute
        **attributes: Any,
    ) -> None:
        if not integration.on:
            return
        known = serialized or {}
        name = name or known.get("name") or (known.get("id") or [span_type.lower()])[-1]
        attributes = {key: value for key, value in attributes.items() if value is not None}
        if metadata:
            attributes["metadata"] = metadata
        thread = (metadata or {}).get("thread_id")
        session = {"mlflow.trace.session": str(thread)} if thread and span_type == "CHAIN" else None
        self.runs.start(run_id, parent_run_id, str(name), span_type, inputs, attributes, session)

    def _start_model(
        self, span_type: str, inputs: Any, serialized: Any, given: dict[str, Any]
    ) -> None:
        attributes = dict(given)
        for key in ("invocation_params", "options"):
            if isinstance(given.get(key), dict):
                attributes[key] = _or_raw(shapes.parameters, given[key])
        about = given.get("invocation_params"), given.get("metadata")
        try:
            attributes |= shapes.model_attributes(*about)
        except Exception as error:  # noqa: BLE001 - an unknown shape
            integration.report("model_attributes", error)
        self._start(span_type, None, serialized, **attributes)
        if isinstance(span := self.runs.get(given["run_id"]), LiveSpan):
            _native.record_request(span, None, inputs)
        # LangChain's context has no models and retrievers. Of several prompts at once, nobody can
        # tell which one is being worked at.
        if given.get("batch_size", 1) == 1:
            self.runs.enter(given["run_id"])

    @_guarded
    def on_chat_model_start(self, serialized: Any, messages: list[list[Any]], **given: Any) -> None:
        self._start_model("CHAT_MODEL", _or_raw(shapes.chat_request, messages), serialized, given)

    @_guarded
    def on_llm_start(self, serialized: Any, prompts: list[str], **given: Any) -> None:
        self._start_model("LLM", prompts, serialized, given)

    @_guarded
    def on_llm_new_token(self, token: Any, *, run_id: UUID, **_: Any) -> None:
        self.runs.leave(run_id)
        self.runs.event(run_id, "new_token", {"token": str(token)})

    @_guarded
    def on_stream_event(self, event: Any, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002
        self.runs.leave(run_id)

    def _end_model(
        self, run_id: UUID, reply: Any, generations: Any, error: BaseException | None = None
    ) -> None:
        outputs = reply if generations else None
        if len(generations) == 1:
            outputs = _or_raw(shapes.model_reply, generations)
        usage = _or_raw(shapes.reply_usage, generations, getattr(reply, "llm_output", None))
        attributes = {USAGE: usage} if isinstance(usage, dict) else None
        self.runs.end(run_id, outputs, attributes, error)

    @_guarded
    def on_llm_end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        self._end_model(run_id, response, response.generations)

    @_guarded
    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, response: Any = None, **_: Any
    ) -> None:
        # What came before it; LangChain adds an answer without content that has the HTTP reply.
        generations = getattr(response, "generations", ())
        partial = [answers for answers in generations if shapes.has_content(answers)]
        failure = None if isinstance(error, GeneratorExit) else error
        self._end_model(run_id, response, partial, failure)

    @_guarded
    def on_chain_start(self, serialized: Any, inputs: Any, **given: Any) -> None:
        self._start("CHAIN", inputs, serialized, **given)

    @_guarded
    def on_chain_end(self, outputs: Any, *, run_id: UUID, inputs: Any = None, **_: Any) -> None:
        self._set_inputs(run_id, inputs)
        self.runs.end(run_id, outputs)

    @_guarded
    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        inputs: Any = None,  # noqa: ARG002 - without what the tool is given besides
        **given: Any,
    ) -> None:
        self._start("TOOL", _arguments(input_str), serialized, **given)

    @_guarded
    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        self.runs.end(run_id, output)

    @_guarded
    def on_retriever_start(self, serialized: Any, query: str, **given: Any) -> None:
        self._start("RETRIEVER", query, serialized, **given)
        self.runs.enter(given["run_id"])

    @_guarded
    def on_retriever_end(self, documents: Any, *, run_id: UUID, **_: Any) -> None:
        self.runs.end(run_id, _or_raw(shapes.documents, documents))

    @_guarded
    def on_chain_error(
        self, error: BaseException, *, run_id: UUID, inputs: Any = None, **_: Any
    ) -> None:
        self._set_inputs(run_id, inputs)
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if "GraphInterrupt" in kinds:
            interrupt = {"type": type(error).__name__, "value": str(error)}
            self.runs.event(run_id, "interrupt", interrupt)
        self.runs.end(run_id, error=None if kinds & _STOPPED else error)

    on_tool_error = on_retriever_error = on_chain_error

    def _set_inputs(self, run_id: UUID, inputs: Any) -> None:
        # A stream's are complete at its end.
        if inputs and (span := self.runs.get(run_id)) is not None:
            span.set_inputs(inputs)

    @_guarded
    def on_retry(self, retry_state: Any, *, run_id: UUID, **_: Any) -> None:
        slept, attempt = retry_state.idle_for, retry_state.attempt_number
        self.runs.event(run_id, "retry", {"slept": slept, "attempt": attempt})

    @_guarded
    def on_text(self, text: str, *, run_id: UUID, **_: Any) -> None:
        self.runs.event(run_id, "text", {"text": text})


def _arguments(text: str) -> Any:
    """Read what LangChain wrote as `str(arguments)`."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


@functools.cache
def _handler() -> Any:
    from langchain_core.callbacks.base import BaseCallbackHandler

    return type("MlflowTraceHandler", (_Events, BaseCallbackHandler), {})()


def _install(module: ModuleType) -> Callable[[], None]:
    handler = _handler()
    if module not in _hooked:
        variable = ContextVar("mlflow_trace_langchain", default=handler)
        module.register_configure_hook(variable, inheritable=True)
        _hooked.append(module)
    handler.runs.follow()
    return handler.runs.unfollow  # type: ignore[no-any-return]


_hooked: list[ModuleType] = []
integration.install(_HOME, _install)
