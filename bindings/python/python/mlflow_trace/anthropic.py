"""Traces Anthropic's client library: messages, streams and parsed replies, also of its beta.

`mlflow_trace.anthropic.autolog()` does it, for the synchronous and the asynchronous client alike.
"""

from __future__ import annotations

from mlflow_trace.integrations.calls import deferred, traced
from mlflow_trace.integrations.models import FORMAT, PROVIDER, ModelCall
from mlflow_trace.integrations.registry import Integration

__all__ = ["autolog"]

_MESSAGES = ModelCall(
    "CHAT_MODEL", "anthropic", attributes={FORMAT: "anthropic", PROVIDER: "anthropic"}
)
_CLASSES = [
    f"anthropic.resources.{module}.messages:{prefix}Messages"
    for module in ("messages", "beta.messages")
    for prefix in ("", "Async")
]

integration = Integration("anthropic")
integration.replace(
    (f"{name}.{method}" for name in _CLASSES for method in ("create", "parse")),
    traced(integration, _MESSAGES),
)
# Its manager sends the request when it is entered.
integration.replace(
    (f"{name}.stream" for name in _CLASSES),
    deferred(integration, _MESSAGES, "_{}__api_request"),
)


def autolog(
    log_traces: bool = True,
    disable: bool = False,
    silent: bool = False,
    *,
    chunk_events: bool = False,
) -> None:
    """Trace calls of Anthropic's client library, or stop doing so.

    Works before and after the import of `anthropic`, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own functions.
        silent: Log nothing about parts of a call that could not be recorded.
        chunk_events: Record every event of a stream as an event of the span as well.

    """
    integration.autolog(
        disable=disable, log_traces=log_traces, silent=silent, chunk_events=chunk_events
    )
