"""Tracing across processes, and settings for the traces of one scope or of the whole process."""

from mlflow_trace.tracing import attachments
from mlflow_trace.tracing.chat import set_span_chat_tools
from mlflow_trace.tracing.config import configure
from mlflow_trace.tracing.context import context
from mlflow_trace.tracing.display import disable_notebook_display, enable_notebook_display
from mlflow_trace.tracing.distributed import (
    get_tracing_context_headers_for_http_request,
    set_tracing_context_from_http_request_headers,
)
from mlflow_trace.tracing.provider import (
    disable,
    enable,
    get_bridged_tracer_provider,
    is_tracing_enabled,
    reset,
    set_destination,
)

__all__ = [
    "attachments",
    "configure",
    "context",
    "disable",
    "disable_notebook_display",
    "enable",
    "enable_notebook_display",
    "get_bridged_tracer_provider",
    "get_tracing_context_headers_for_http_request",
    "is_tracing_enabled",
    "reset",
    "set_destination",
    "set_span_chat_tools",
    "set_tracing_context_from_http_request_headers",
]
