"""Traces Groq's client library: chat, embeddings, transcriptions, translations.

`mlflow_trace.groq.autolog()` does it, for the synchronous and the asynchronous client alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_trace.integrations.calls import traced
from mlflow_trace.integrations.models import FORMAT, PROVIDER, ModelCall
from mlflow_trace.integrations.registry import Integration

if TYPE_CHECKING:
    from mlflow_trace.integrations.calls import Call

__all__ = ["autolog"]


class _GroqCall(ModelCall):
    """A span with the name of the resource's class."""

    def __init__(self, span_type: str, dialect: str | None = None) -> None:
        super().__init__(span_type, dialect, attributes={FORMAT: "groq", PROVIDER: "groq"})

    def name(self, call: Call) -> str:
        return type(call.instance).__name__


_AUDIO = _GroqCall("LLM")
_RESOURCES = {
    "chat.completions:{}Completions": _GroqCall("CHAT_MODEL", "openai.chat"),
    "embeddings:{}Embeddings": _GroqCall("EMBEDDING", "openai.embeddings"),
    "audio.transcriptions:{}Transcriptions": _AUDIO,
    "audio.translations:{}Translations": _AUDIO,
}

integration = Integration("groq")
for _class, _spec in _RESOURCES.items():
    integration.replace(
        (f"groq.resources.{_class.format(prefix)}.create" for prefix in ("", "Async")),
        traced(integration, _spec),
    )


def autolog(
    log_traces: bool = True,
    disable: bool = False,
    silent: bool = False,
    *,
    chunk_events: bool = False,
) -> None:
    """Trace calls of Groq's client library, or stop doing so.

    Works before and after the import of `groq`, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own functions.
        silent: Log nothing about parts of a call that could not be recorded.
        chunk_events: Record every chunk of a stream as an event of the span as well.

    """
    integration.autolog(
        disable=disable, log_traces=log_traces, silent=silent, chunk_events=chunk_events
    )
