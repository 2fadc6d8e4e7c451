"""Traces OpenAI's client library: chat, responses, completions, embeddings, images.

`mlflow_trace.openai.autolog()` does it, for the synchronous and the asynchronous client alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_trace.integrations.calls import traced
from mlflow_trace.integrations.models import FORMAT, MODEL, ModelCall
from mlflow_trace.integrations.registry import Integration

if TYPE_CHECKING:
    from mlflow_trace.integrations.calls import Call

__all__ = ["autolog"]


class _OpenAiCall(ModelCall):
    """A span with the name of the resource's class, and with the parameters as attributes."""

    def name(self, call: Call) -> str:
        return type(call.instance).__name__

    def attributes(self, call: Call, arguments: dict[str, Any]) -> dict[str, Any]:
        attributes = {**arguments, **super().attributes(call, arguments)}
        attributes.pop("messages", None)
        attributes.pop("input", None)
        if isinstance(model := arguments.get("model"), str):
            attributes[MODEL] = model
        return attributes


_CHAT = {FORMAT: "openai"}
_RESOURCES = {
    "chat.completions": (
        "Completions",
        ("create", "parse"),
        _OpenAiCall("CHAT_MODEL", "openai.chat", attributes=_CHAT),
    ),
    "completions": (
        "Completions",
        ("create",),
        _OpenAiCall("LLM", "openai.completions", attributes=_CHAT),
    ),
    "responses": (
        "Responses",
        ("create", "parse"),
        _OpenAiCall("CHAT_MODEL", "openai.responses", attributes=_CHAT),
    ),
    "embeddings": ("Embeddings", ("create",), _OpenAiCall("EMBEDDING", "openai.embeddings")),
    "images": ("Images", ("generate",), _OpenAiCall("TOOL")),
}

integration = Integration("openai")
for _module, (_class, _methods, _spec) in _RESOURCES.items():
    integration.replace(
        (
            f"openai.resources.{_module}:{prefix}{_class}.{method}"
            for prefix in ("", "Async")
            for method in _methods
        ),
        traced(integration, _spec),
    )


def autolog(
    disable: bool = False,
    exclusive: bool = False,
    disable_for_unsupported_versions: bool = False,
    silent: bool = False,
    log_traces: bool = True,
    disable_openai_agent_tracer: bool = True,
    *,
    chunk_events: bool = False,
) -> None:
    """Trace calls of OpenAI's client library, or stop doing so.

    Works before and after the import of `openai`, and does not import it.

    Args:
        disable: Stop tracing and put back the library's own functions.
        exclusive: Accepted as MLflow does; without effect.
        disable_for_unsupported_versions: Accepted as MLflow does; without effect.
        silent: Log nothing about parts of a call that could not be recorded.
        log_traces: False has the same effect as `disable`.
        disable_openai_agent_tracer: Accepted as MLflow does; without effect.
        chunk_events: Record every chunk of a stream as an event as well.

    """
    del exclusive, disable_for_unsupported_versions, disable_openai_agent_tracer
    integration.autolog(
        disable=disable, log_traces=log_traces, silent=silent, chunk_events=chunk_events
    )
