"""The OpenTelemetry SDK for Python on this engine: its spans and ours share traces.

    from opentelemetry.sdk.trace import TracerProvider
    from mlflow_trace.otel import MlflowSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(MlflowSpanProcessor())

Importing this module makes each kind of span the parent of what starts inside it, whichever API
starts that. Spans of the SDK are written as `docs/opentelemetry.md` says; those that MLflow's own
SDK makes, as MLflow would have sent them. While `tracing.configure(span_processors=...)` holds,
whose functions see no spans of the SDK, these are sent without their content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_trace import _native, _otel_context

try:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
except ImportError as error:
    from mlflow_trace.exceptions import UnsupportedError

    _message = "this needs OpenTelemetry's SDK for Python: pip install opentelemetry-sdk"
    raise UnsupportedError(_message) from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

__all__ = ["MlflowSpanExporter", "MlflowSpanProcessor"]

_otel_context.join()


class MlflowSpanProcessor(SpanProcessor):
    """Records the spans of a provider from their start to their end, in the traces of ours.

    A trace is complete when its root has ended and no span of either kind is open. Use this rather
    than the exporter where you can: nothing waits, and every span is counted.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Note that a span has started."""
        _native.otel_start(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended."""
        _native.otel_end(span)

    def shutdown(self) -> None:
        """Deliver what ended. Recording goes on: the engine is not the provider's alone."""
        _native.flush(timeout=5.0)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for delivery; False if spans are left."""
        return _native.flush(timeout=timeout_millis / 1000) == 0


class MlflowSpanExporter(SpanExporter):
    """Delivers batches of spans, for processors that allow nothing but an exporter.

    Spans wait for the root of their trace and go as one trace with it. They go without the trace's
    information when its root does not come in time, and when it is one of ours.
    """

    def __init__(self, root_wait: float = 300.0) -> None:
        """Take the seconds that spans wait for the root of their trace."""
        self._native = _native.OtelExporter(root_wait)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Queue a batch; neither blocks nor does I/O."""
        taken = self._native.export(spans)
        return SpanExportResult.SUCCESS if taken else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Deliver what ended. Recording goes on: the engine is not the provider's alone."""
        self._native.release()
        _native.flush(timeout=5.0)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what ended, roots or not; False if spans are left."""
        self._native.release()
        return _native.flush(timeout=timeout_millis / 1000) == 0


def add_to(provider: TracerProvider) -> None:
    """Have the spans of a provider recorded, once."""
    if not getattr(provider, _MARK, False):
        provider.add_span_processor(MlflowSpanProcessor())
        setattr(provider, _MARK, True)


_MARK = "_mlflow_trace_added"
