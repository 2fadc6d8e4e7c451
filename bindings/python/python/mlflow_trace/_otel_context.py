"""OpenTelemetry's current span, as the native module asks for it and sets it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TypeAlias

from mlflow_trace import _native
from mlflow_trace.exceptions import UnsupportedError

try:
    from opentelemetry import context, trace
except ImportError as error:
    _message = "this needs OpenTelemetry for Python: pip install opentelemetry-sdk"
    raise UnsupportedError(_message) from error


class _OwnSpan(trace.NonRecordingSpan):
    """Stands for a span of ours in OpenTelemetry's context, so that others become its children."""

    def __init__(self, parent: trace.SpanContext, around: context.Context) -> None:
        super().__init__(parent)
        self.around = around
        self.entered = _ENTERED.set(None)
        self.left = False


# Set and reset beside OpenTelemetry's context, whose tokens do not tell where they were made.
_ENTERED: ContextVar[None] = ContextVar("mlflow_trace_otel_entered")

_Parts: TypeAlias = tuple[bytes, bytes, int, "str | None", bool]


def _current() -> _Parts | None:
    """Give ids, flags, trace state and origin of the current span, unless it is one of ours."""
    span = trace.get_current_span()
    if isinstance(span, _OwnSpan):
        return None
    found = span.get_span_context()
    if not found.is_valid:
        return None
    return (
        found.trace_id.to_bytes(16, "big"),
        found.span_id.to_bytes(8, "big"),
        found.trace_flags,
        found.trace_state.to_header() or None,
        found.is_remote,
    )


def _enter(trace_id: bytes, span_id: bytes, flags: int, trace_state: str | None) -> _OwnSpan:
    parent = trace.SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        # Its root is not among the spans of any SDK, whose exporters must not wait for it.
        is_remote=True,
        trace_flags=trace.TraceFlags(flags),
        trace_state=trace.TraceState.from_header([trace_state] if trace_state else []),
    )
    span = _OwnSpan(parent, context.get_current())
    context.attach(trace.set_span_in_context(span))
    return span


def _leave(span: _OwnSpan) -> None:
    span.left = True
    try:
        _ENTERED.reset(span.entered)
    except ValueError:
        # Elsewhere than entered, as when a generator is closed by another task: nothing to undo.
        return
    current = trace.get_current_span()
    if isinstance(current, _OwnSpan) and not current.left:
        # It was entered later and is still open.
        return
    around = span.around
    while isinstance(outer := trace.get_current_span(around), _OwnSpan) and outer.left:
        around = outer.around
    context.attach(around)


def join() -> None:
    """Let spans of both kinds be parents of each other from now on."""
    _native.join_otel(_current, _enter, _leave)
