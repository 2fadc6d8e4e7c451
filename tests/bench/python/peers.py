"""The libraries that are measured, all with one face."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

ATTRIBUTES: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "provider": "openai",
    "region": "europe-west-1",
    "tenant": "customer-00017",
    "endpoint": "/v1/chat/completions",
    "attempt": 1,
    "shard": 7,
    "limit": 1024,
    "offset": 3,
    "total": 123456789,
}


class Peer:
    """What every library can do."""

    # A span as context: the library's own function, so that a call costs what it costs a program.
    span: Callable[[str], AbstractContextManager[Any]]

    def content(self, span: Any, inputs: Any, outputs: Any) -> None:
        span.set_inputs(inputs)
        span.set_outputs(outputs)

    def decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def lost(self) -> int:
        """Spans that the library itself knows not to be delivered after a flush."""
        return 0


class Ours(Peer):
    def __init__(self, url: str | None, trace_info: str) -> None:
        self.module: Any = importlib.import_module("mlflow_trace")
        self.span = self.module.start_span
        # A span that is dropped costs less.
        self.module.configure(queue_max_bytes=2**30)
        if url is None:
            self.module.configure(exporter="none")
        else:
            self.module.configure(tracking_uri=url, experiment_id="0", export_trace_info=trace_info)

    def decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        decorated: Callable[..., Any] = self.module.trace(function)
        return decorated

    def flush(self) -> None:
        self.module.flush(timeout=300)

    def lost(self) -> int:
        stats = self.module.stats()
        return int(stats["pending"] + sum(stats["dropped"].values()))


class Mlflow(Peer):
    """MLflow's own SDK."""

    def __init__(self, url: str | None) -> None:
        # Its own of 1,000 tasks would drop most of what is recorded here.
        os.environ["MLFLOW_ASYNC_TRACE_LOGGING_MAX_QUEUE_SIZE"] = "1000000"
        self.module: Any = importlib.import_module("mlflow")
        self.span = self.module.start_span
        if url is None:
            # Its exporter begins where what is measured for the others ends.
            from mlflow.tracing.export.mlflow_v3 import MlflowV3SpanExporter

            MlflowV3SpanExporter.export = lambda *_: None  # type: ignore[method-assign]
        from mlflow.entities.trace_location import MlflowExperimentLocation

        self.module.set_tracking_uri(url or "http://127.0.0.1:9")
        self.module.tracing.set_destination(MlflowExperimentLocation("0"))

    def decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        decorated: Callable[..., Any] = self.module.trace(function)
        return decorated

    def flush(self) -> None:
        self.module.flush_trace_async_logging()


class OpenTelemetry(Peer):
    """The SDK of OpenTelemetry with a batch processor; without a URL its exporter drops everything."""

    def __init__(self, url: str | None) -> None:
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )

        class Drop(SpanExporter):
            def export(self, spans: Any) -> SpanExportResult:
                return SpanExportResult.SUCCESS

        exporter: SpanExporter = Drop()
        if url is not None:
            otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            exporter = otlp.OTLPSpanExporter(
                f"{url}/v1/traces", headers={"x-mlflow-experiment-id": "0"}, timeout=120
            )
        # With its own limits a span that does not fit costs less, and so does an event.
        self.provider = TracerProvider(span_limits=SpanLimits(max_events=10_000))
        processor = BatchSpanProcessor(exporter, max_queue_size=10_000_000)
        self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("bench")
        self.span = self.tracer.start_as_current_span

    def content(self, span: Any, inputs: Any, outputs: Any) -> None:
        span.set_attribute("input.value", to_text(inputs))
        span.set_attribute("output.value", to_text(outputs))

    def decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what a program writes by hand for the span that the others record."""
        if inspect.isgeneratorfunction(function):
            return self._generator(function)
        name = function.__name__
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(a: int, b: int) -> Any:
                with self.tracer.start_as_current_span(name) as span:
                    span.set_attribute("input.value", json.dumps({"a": a, "b": b}))
                    result = await function(a, b)
                    span.set_attribute("output.value", json.dumps(result))
                    return result

            return later

        @functools.wraps(function)
        def traced(a: int, b: int) -> Any:
            with self.tracer.start_as_current_span(name) as span:
                span.set_attribute("input.value", json.dumps({"a": a, "b": b}))
                result = function(a, b)
                span.set_attribute("output.value", json.dumps(result))
                return result

        return traced

    def _generator(self, function: Callable[..., Iterator[Any]]) -> Callable[..., Any]:
        @functools.wraps(function)
        def traced() -> Iterator[Any]:
            with self.tracer.start_as_current_span(function.__name__) as span:
                items = []
                for index, item in enumerate(function()):
                    chunk = {"mlflow.chunk.value": json.dumps(item)}
                    span.add_event(f"mlflow.chunk.item.{index}", chunk)
                    items.append(item)
                    yield item
                span.set_attribute("output.value", json.dumps(items))

        return traced

    def flush(self) -> None:
        self.provider.force_flush(300_000)


def to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def peer(name: str, url: str | None = None) -> Peer:
    """The library of this name; without a URL, what it records goes nowhere."""
    if name == "opentelemetry":
        return OpenTelemetry(url)
    if name == "mlflow":
        return Mlflow(url)
    return Ours(url, "full" if name == "ours, full" else "spans_only")
