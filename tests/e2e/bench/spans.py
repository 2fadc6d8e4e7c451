"""What a span costs the thread that records it, in Python; the sink drops everything."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import mlflow_trace as mlflow

SPANS_PER_ROUND = 22_000
ROUNDS = 5
CHILDREN = 10
TEXT = '{"text": "' + "x" * 1000 + '"}'
ATTRIBUTES = {
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


def w1() -> None:
    with mlflow.start_span("root"):
        pass


def w2() -> None:
    with mlflow.start_span("root"):
        for _ in range(CHILDREN):
            with mlflow.start_span("child") as span:
                span.set_attributes(ATTRIBUTES)


def w3() -> None:
    with mlflow.start_span("root"):
        for _ in range(CHILDREN):
            with mlflow.start_span("child") as span:
                span.set_attributes(ATTRIBUTES)
                span.set_inputs(TEXT)
                span.set_outputs(TEXT)


def measure(name: str, spans_per_call: int, work: Callable[[], None]) -> None:
    costs = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(SPANS_PER_ROUND // spans_per_call):
            work()
        costs.append((time.perf_counter_ns() - start) / SPANS_PER_ROUND)
    print(f"Python      {name} {statistics.median(costs):8.0f} ns")


mlflow.configure(exporter="none")
measure("W1", 1, w1)
measure("W2", CHILDREN + 1, w2)
measure("W3", CHILDREN + 1, w3)
assert mlflow.stats()["created"] > 0
