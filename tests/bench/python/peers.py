"""One library in a process of its own: measures the work that its arguments name, prints nanoseconds as JSON.

Usage: peers.py ours|mlflow|opentelemetry WORK [ROUNDS]
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

CHILDREN = 10
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
TEXT = json.dumps({"text": "x" * 1000})
REQUEST = {
    "model": "gpt-4o-mini",
    "temperature": 0.2,
    "messages": [
        {"role": "system", "content": "You are a helpful assistant. " * 10},
        {"role": "user", "content": "What is the answer to the question of questions? " * 12},
    ],
}
REPLY = {
    "id": "chatcmpl-123",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "42 " * 270},
        }
    ],
    "usage": {"prompt_tokens": 120, "completion_tokens": 260, "total_tokens": 380},
}


class Peer:
    """What every library can do: a span as context, with attributes, inputs and outputs."""

    def span(self, name: str) -> contextlib.AbstractContextManager[Any]:
        raise NotImplementedError

    def attributes(self, span: Any) -> None:
        span.set_attributes(ATTRIBUTES)

    def content(self, span: Any, inputs: Any, outputs: Any) -> None:
        span.set_inputs(inputs)
        span.set_outputs(outputs)

    def decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        raise NotImplementedError


class Mlflow(Peer):
    """MLflow's API, of its own SDK and of ours."""

    def __init__(self, module: str) -> None:
        self.module: Any = importlib.import_module(module)
        if module == "mlflow":
            self._drop()
        else:
            self.module.configure(exporter="none")

    def _drop(self) -> None:
        # Its exporter begins where what is measured for the others ends.
        from mlflow.tracing.export.mlflow_v3 import MlflowV3SpanExporter

        MlflowV3SpanExporter.export = lambda *_: None  # type: ignore[method-assign]
        self.module.set_tracking_uri("http://127.0.0.1:9")
        from mlflow.entities.trace_location import MlflowExperimentLocation

        self.module.tracing.set_destination(MlflowExperimentLocation("0"))

    def span(self, name: str) -> contextlib.AbstractContextManager[Any]:
        scope: contextlib.AbstractContextManager[Any] = self.module.start_span(name)
        return scope

    def decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        decorated: Callable[..., Any] = self.module.trace(function)
        return decorated


class OpenTelemetry(Peer):
    """The SDK of OpenTelemetry with a batch processor whose exporter drops everything."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )

        class Drop(SpanExporter):
            def export(self, spans: Any) -> SpanExportResult:
                return SpanExportResult.SUCCESS

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Drop()))
        self.tracer = provider.get_tracer("bench")

    def span(self, name: str) -> contextlib.AbstractContextManager[Any]:
        return self.tracer.start_as_current_span(name)

    def content(self, span: Any, inputs: Any, outputs: Any) -> None:
        for key, value in (("input.value", inputs), ("output.value", outputs)):
            text = value if isinstance(value, str) else json.dumps(value)
            span.set_attribute(key, text)

    def decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.tracer.start_as_current_span(function.__name__)(function)


def peer(name: str) -> Peer:
    if name == "opentelemetry":
        return OpenTelemetry()
    return Mlflow("mlflow" if name == "mlflow" else "mlflow_trace")


def children(peer: Peer, inside: Callable[[Any], None]) -> tuple[Callable[[], None], int]:
    def work() -> None:
        with peer.span("root"):
            for _ in range(CHILDREN):
                with peer.span("child") as span:
                    inside(span)

    return work, CHILDREN + 1


def works(peer: Peer, name: str) -> tuple[Callable[[], object], int]:
    """Return what is measured, and by how many its time is divided."""
    if name == "W1":
        return w1(peer)
    if name == "W2":
        return children(peer, peer.attributes)
    if name in ("W3", "W3d"):
        inputs, outputs = (TEXT, TEXT) if name == "W3" else (REQUEST, REPLY)

        def content(span: Any) -> None:
            peer.attributes(span)
            peer.content(span, inputs, outputs)

        return children(peer, content)
    if name.startswith("value "):
        text = "x" * int(name.removeprefix("value "))

        def value() -> None:
            with peer.span("root") as span:
                peer.content(span, text, None)

        return value, 1
    return decorated(peer, name)


def w1(peer: Peer) -> tuple[Callable[[], object], int]:
    def work() -> None:
        with peer.span("root"):
            pass

    return work, 1


def decorated(peer: Peer, name: str) -> tuple[Callable[[], object], int]:
    if name == "decorated":

        def add(a: int, b: int) -> int:
            return a + b

        traced = peer.decorate(add)
        return (lambda: traced(1, b=2)), 1
    if name == "decorated async":

        async def add_later(a: int, b: int) -> int:
            return a + b

        traced = peer.decorate(add_later)

        async def many() -> None:
            for _ in range(100):
                await traced(1, b=2)

        return (lambda: asyncio.run(many())), 100

    def items() -> Iterator[int]:
        yield from range(1000)

    traced = peer.decorate(items)
    return (lambda: sum(traced())), 1


def main(name: str, work: str, rounds: int = 5, seconds: float = 0.3) -> None:
    measured, parts = works(peer(name), work)
    measured()
    start = time.perf_counter_ns()
    measured()
    calls = max(int(seconds * 1e9 / max(time.perf_counter_ns() - start, 1)), 1)
    costs = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        for _ in range(calls):
            measured()
        costs.append((time.perf_counter_ns() - start) / calls / parts)
    json.dump(statistics.median(costs), sys.stdout)
    sys.stdout.flush()
    # What is still to be exported is none of this.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(rounds) for rounds in sys.argv[3:]))
