"""Traces LiteLLM: completions, embeddings, responses, whichever provider answers.

`mlflow_trace.litellm.autolog()` does it, also for what a `Router` calls.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.integrations.calls import traced
from mlflow_trace.integrations.model_facts import USAGE, token_usage
from mlflow_trace.integrations.models import MODEL, ModelCall
from mlflow_trace.integrations.registry import Integration

if TYPE_CHECKING:
    from mlflow_trace._native import LiveSpan
    from mlflow_trace.integrations.calls import Call

__all__ = ["autolog"]

# The others are options, among them keys.
_INPUTS = (
    "messages",
    "input",
    "prompt",
    "instructions",
    "functions",
    "tools",
    "tool_choice",
    "response_format",
    "stream",
    "user",
    "prediction",
)
# What LiteLLM notes of a call in what it returns.
_NOTED = ("litellm_call_id", "api_base", "cache_hit", "response_cost")
_CALL = "_mlflow_trace_call"
_signature = functools.lru_cache(maxsize=None)(inspect.signature)


class _LiteLlmCall(ModelCall):
    def name(self, call: Call) -> str:
        return f"litellm-{call.function.__name__}"

    def begin(self, call: Call, span: LiveSpan) -> None:
        given = call.kwargs
        if call.args:
            given = _signature(call.function).bind_partial(*call.args, **given).arguments
            given = {**given, **given.pop("kwargs", {})}
        inputs = {name: given[name] for name in _INPUTS if given.get(name) is not None}
        _native.record_request(span, self.dialect, inputs)
        provider, slash, model = str(given.get("model")).partition("/")
        if not slash or provider not in sys.modules["litellm"].provider_list:
            model = str(given.get("model"))
        span.set_attributes({"call_type": call.function.__name__, "model": model, MODEL: model})

    def follows(self, call: Call, content: Any) -> bool:
        if not hasattr(content, "completion_stream"):
            return False
        setattr(content, _CALL, call)
        log = getattr(content, "logging_obj", None)
        if call.span is not None and (called := getattr(log, "litellm_call_id", None)):
            call.span.set_attribute("litellm_call_id", called)
        return True

    def result(self, call: Call, span: LiveSpan, content: Any) -> str | None:  # noqa: ARG002
        self._note(span, content)
        _usage(span, getattr(content, "usage", None))
        # What the dialect would count leaves out the lifetime of a cache.
        return _native.record_reply(span, self.dialect, self.dump(content), usage=False)

    def item(self, item: Any) -> Any:
        return item, self.dump(item, exclude_none=True)

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> str | None:  # noqa: ARG002
        self._note(span, items[-1][0])
        counted = (getattr(item, "usage", None) for item, _ in reversed(items))
        _usage(span, next(filter(None, counted), None))
        chunks = [chunk for _, chunk in items]
        return _native.record_stream(span, self.dialect or "openai.chat", chunks, usage=False)

    def _note(self, span: LiveSpan, reply: Any) -> None:
        noted = getattr(reply, "_hidden_params", None) or {}
        found = {name: noted.get(name) for name in _NOTED}
        span.set_attributes({name: value for name, value in found.items() if value is not None})


def _usage(span: LiveSpan, told: Any) -> None:
    """Count the tokens as LiteLLM has them of every provider, those of a cache included."""

    def member(value: Any, *names: str) -> Any:
        found = (getattr(value, name, None) for name in names)
        return next((each for each in found if each is not None), None)

    details = member(told, "prompt_tokens_details", "input_tokens_details")
    written = member(details, "cache_creation_token_details")
    usage = token_usage(
        member(told, "prompt_tokens", "input_tokens"),
        member(told, "completion_tokens", "output_tokens"),
        member(told, "total_tokens"),
        cache_read=member(details, "cached_tokens"),
        cache_creation=member(details, "cache_creation_tokens"),
        cache_creation_above_1hr=member(written, "ephemeral_1h_input_tokens"),
    )
    if usage:
        span.set_attribute(USAGE, usage)


def _told(read: Any) -> Any:
    """Wrap the method that gives the next chunk: it tells the call that the stream belongs to."""

    def end(call: Call, error: BaseException) -> None:
        if isinstance(error, (StopIteration, StopAsyncIteration)):
            call.done()
        else:
            call.fail(error)

    def read_told(stream: Any) -> Any:
        call = vars(stream).get(_CALL)
        if call is None:
            return read(stream)
        try:
            chunk = read(stream)
        except BaseException as error:
            end(call, error)
            raise
        call.item(chunk)
        return chunk

    async def read_told_async(stream: Any) -> Any:
        call = vars(stream).get(_CALL)
        if call is None:
            return await read(stream)
        try:
            chunk = await read(stream)
        except BaseException as error:
            end(call, error)
            raise
        call.item(chunk)
        return chunk

    told = read_told_async if inspect.iscoroutinefunction(read) else read_told
    return functools.wraps(read)(told)


_FUNCTIONS = {
    "completion": "openai.chat",
    "text_completion": "openai.completions",
    "responses": "openai.responses",
    "embedding": "openai.embeddings",
}
integration = Integration("litellm")
for _function, _dialect in _FUNCTIONS.items():
    integration.replace(
        (f"litellm:{prefix}{_function}" for prefix in ("", "a")),
        traced(integration, _LiteLlmCall("LLM", _dialect)),
    )
integration.replace(
    (
        f"litellm.litellm_core_utils.streaming_handler:CustomStreamWrapper.{name}"
        for name in ("__next__", "__anext__")
    ),
    _told,
)


def autolog(
    log_traces: bool = True,
    disable: bool = False,
    silent: bool = False,
    *,
    chunk_events: bool = False,
) -> None:
    """Trace calls of LiteLLM, or stop doing so.

    Works before and after the import of `litellm`, and does not import it. Functions that were
    imported from it before by their names are not traced.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own functions.
        silent: Log nothing about parts of a call that could not be recorded.
        chunk_events: Record every chunk of a stream as an event of the span as well.

    """
    integration.autolog(
        disable=disable, log_traces=log_traces, silent=silent, chunk_events=chunk_events
    )
