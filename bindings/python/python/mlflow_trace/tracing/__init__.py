"""Tracing across processes, and settings for the traces of one scope or of the whole process."""

from mlflow_trace.tracing import attachments
from mlflow_trace.tracing.config import configure
from mlflow_trace.tracing.context import context
from mlflow_trace.tracing.distributed import (
    get_tracing_context_headers_for_http_request,
    set_tracing_context_from_http_request_headers,
)
from mlflow_trace.tracing.provider import disable, enable, is_tracing_enabled, reset

__all__ = [
    "attachments",
    "configure",
    "context",
    "disable",
    "enable",
    "get_tracing_context_headers_for_http_request",
    "is_tracing_enabled",
    "reset",
    "set_tracing_context_from_http_request_headers",
]
