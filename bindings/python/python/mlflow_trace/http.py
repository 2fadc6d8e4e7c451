"""Traces calls of models by what goes over the wire, whatever library makes them.

For libraries that there is no integration for, but that use `httpx` or `httpx2` and one of the wire
formats of OpenAI, Anthropic, Gemini or Ollama: Groq, Mistral, LiteLLM, Ollama and many others.
`mlflow_trace.http.autolog()` does it; `mlflow_trace.autolog()` does not include it.
"""

from __future__ import annotations

import functools

from mlflow_trace.integrations.registry import Integration
from mlflow_trace.integrations.wire import hook

__all__ = ["autolog"]

integration = Integration("http")
for _library in ("httpx", "httpx2"):
    integration.install(_library, functools.partial(hook, integration))


def autolog(disable: bool = False, log_traces: bool = True, silent: bool = False) -> None:
    """Trace requests to models, or stop doing so.

    A call that an integration of its library traces is not traced twice. One that the library
    repeats becomes a span for each attempt.

    Args:
        disable: Stop tracing.
        log_traces: False has the same effect as `disable`.
        silent: Log nothing about parts of a call that could not be recorded.

    """
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)
