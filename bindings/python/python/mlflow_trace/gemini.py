"""Traces Google's client library for Gemini, `google-genai`: generating, chats, embeddings.

`mlflow_trace.gemini.autolog()` does it, for the synchronous and the asynchronous client alike.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.integrations.calls import traced
from mlflow_trace.integrations.models import FORMAT, MODEL, PROVIDER, ModelCall
from mlflow_trace.integrations.registry import Integration

if TYPE_CHECKING:
    from mlflow_trace._native import LiveSpan
    from mlflow_trace.integrations.calls import Call

__all__ = ["autolog"]

_FORMAT = {FORMAT: "gemini", PROVIDER: "gemini"}


class _GeminiCall(ModelCall):
    """Calls whose options, also those of the request, are in `config`."""

    active_while_reading = True

    def __init__(self, span_type: str, *, usage: bool = True) -> None:
        super().__init__(span_type, "gemini", attributes=_FORMAT, usage=usage)

    def begin(self, call: Call, span: LiveSpan) -> None:
        arguments = call.arguments()
        config = arguments.get("config")
        if config is not None:
            arguments["config"] = _without_headers(config)
        _native.record_request(span, self.dialect, arguments, _declared(arguments, config))
        span.set_attributes(self.attributes(call, arguments))

    def attributes(self, call: Call, arguments: dict[str, Any]) -> dict[str, Any]:
        attributes = super().attributes(call, arguments)
        # A chat knows its model; the others are given one.
        model = getattr(call.instance, "_model", None)
        return {**attributes, MODEL: model} if isinstance(model, str) else attributes

    def dump(self, content: Any, **options: Any) -> bytes:
        return super().dump(content, exclude={"sdk_http_response"}, **options)


class _Rounds(_GeminiCall):
    """What calls the model in rounds, each a span below it that counts its own tokens."""

    def __init__(self, each: str) -> None:
        super().__init__("LLM")
        self._each = each

    def counts(self, call: Call) -> bool:
        return not hasattr(call.instance, self._each)


def _without_headers(config: Any) -> Any:
    options = _member(config, "http_options")
    if not _member(options, "headers"):
        return config
    if not isinstance(options, dict):
        options = options.model_dump(exclude_none=True)
    options = {name: value for name, value in options.items() if name != "headers"}
    given = config if isinstance(config, dict) else config.model_dump(exclude={"http_options"})
    return {**given, "http_options": options or None}


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _declared(arguments: dict[str, Any], config: Any) -> dict[str, Any] | None:
    """Return the request with Python functions as the library itself declares them to the model."""
    tools = _member(config, "tools") or ()
    if not any(callable(tool) for tool in tools):
        return None
    declare = sys.modules["google.genai.types"].FunctionDeclaration.from_callable_with_api_option
    declared = [
        {"function_declarations": [declare(callable=tool)]} if callable(tool) else tool
        for tool in tools
    ]
    return {"model": arguments.get("model"), "config": {"tools": declared}}


_CHAT = _GeminiCall("CHAT_MODEL", usage=False)
_CALLS: dict[str, _GeminiCall] = {
    "models:{}Models.generate_content": _Rounds("_generate_content"),
    "models:{}Models.generate_content_stream": _Rounds("_generate_content_stream"),
    "models:{}Models._generate_content": _GeminiCall("LLM"),
    "models:{}Models._generate_content_stream": _GeminiCall("LLM"),
    "models:{}Models.count_tokens": _GeminiCall("LLM"),
    "models:{}Models.embed_content": _GeminiCall("EMBEDDING"),
    "chats:{}Chat.send_message": _CHAT,
    "chats:{}Chat.send_message_stream": _CHAT,
}

integration = Integration("gemini")
for _target, _spec in _CALLS.items():
    integration.replace(
        (f"google.genai.{_target.format(prefix)}" for prefix in ("", "Async")),
        traced(integration, _spec),
    )


def _with_trace_headers(build: Any) -> Any:
    @functools.wraps(build)
    def traced_build(*args: Any, **kwargs: Any) -> Any:
        request = build(*args, **kwargs)
        try:
            if integration.on and _native.is_covered():
                for name, value in _native.headers():
                    request.headers.setdefault(name, value)
        except Exception as error:  # noqa: BLE001 - the request is to be sent
            integration.report("headers", error)
        return request

    return traced_build


# Headers in `config` are validated again with all of it, which costs more than the rest of tracing.
integration.replace(["google.genai._api_client:BaseApiClient._build_request"], _with_trace_headers)


def autolog(
    log_traces: bool = True,
    disable: bool = False,
    silent: bool = False,
    *,
    chunk_events: bool = False,
) -> None:
    """Trace calls of `google-genai`, or stop doing so.

    Works before and after the import of `google.genai`, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own functions.
        silent: Log nothing about parts of a call that could not be recorded.
        chunk_events: Record every chunk of a stream as an event of the span as well.

    """
    integration.autolog(
        disable=disable, log_traces=log_traces, silent=silent, chunk_events=chunk_events
    )
