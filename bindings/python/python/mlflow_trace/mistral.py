"""Traces Mistral's client library: chat, also streamed or parsed.

`mlflow_trace.mistral.autolog()` does it, for synchronous and asynchronous calls alike.
"""

from __future__ import annotations

from typing import Any

from mlflow_trace.integrations.calls import traced
from mlflow_trace.integrations.models import FORMAT, ModelCall
from mlflow_trace.integrations.registry import Integration

__all__ = ["autolog"]


class _MistralCall(ModelCall):
    headers = "http_headers"

    def __init__(self) -> None:
        super().__init__("CHAT_MODEL", "openai.chat", attributes={FORMAT: "mistral"})

    def source(self, content: Any) -> str | None:
        return "generator" if type(content).__name__.startswith("EventStream") else None

    def item(self, item: Any) -> Any:
        return self.dump(item.data, exclude_none=True)


_METHODS = ("complete", "complete_async", "stream", "stream_async")

integration = Integration("mistral")
# Before version 2, the modules were not below `client`.
integration.replace(
    (
        f"{package}.chat:Chat.{method}"
        for package in ("mistralai.client", "mistralai")
        for method in _METHODS
    ),
    traced(integration, _MistralCall()),
)


def autolog(
    log_traces: bool = True,
    disable: bool = False,
    silent: bool = False,
    *,
    chunk_events: bool = False,
) -> None:
    """Trace calls of Mistral's client library, or stop doing so.

    Works before and after the import of `mistralai`, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own functions.
        silent: Log nothing about parts of a call that could not be recorded.
        chunk_events: Record every event of a stream as an event of the span as well.

    """
    integration.autolog(
        disable=disable, log_traces=log_traces, silent=silent, chunk_events=chunk_events
    )
