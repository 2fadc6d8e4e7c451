"""What depends on settings of the environment.

Usage: programs_environment.py MODULE TRACKING_URI EXPERIMENT
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import contextlib
import sys
from typing import Any

import registry

# Apart from the programs of the registry, which need an environment that changes nothing.
PROGRAMS: dict[str, registry.Program] = {}


def program(function: registry.Program) -> registry.Program:
    PROGRAMS[function.__name__] = function
    return function


def flags(mlflow: Any) -> str:
    try:
        headers = mlflow.tracing.get_tracing_context_headers_for_http_request()
    except AttributeError:
        # MLflow's, inside a span that it failed to start.
        return "failed"
    return str(headers.get("traceparent", "none"))[-2:]


def look(mlflow: Any) -> list[object]:
    with mlflow.start_span("inside") as span:
        active = mlflow.get_current_active_span()
        return [type(span).__name__, flags(mlflow), active is None]


@program
def roots(mlflow: Any) -> object:
    @mlflow.trace
    def decorated():
        return look(mlflow)

    @mlflow.trace
    def generator():
        yield look(mlflow)

    detached = mlflow.start_span_no_context("detached")
    child = mlflow.start_span_no_context("child", parent_span=detached)
    child.end()
    detached.end()
    out = [
        decorated(),
        list(generator()),
        type(detached).__name__,
        type(child).__name__,
    ]
    with mlflow.start_span("scope"):
        out.append(look(mlflow))
    return out


@program
def overrides(mlflow: Any) -> object:
    def call():
        return look(mlflow)

    return [
        mlflow.trace(call, name=f"override {ratio}", sampling_ratio_override=ratio)()
        for ratio in (0.0, 1.0)
    ]


@program
def switches(mlflow: Any) -> object:
    mlflow.tracing.disable()
    out = [look(mlflow)]
    # MLflow's cannot where the environment is malformed.
    with contextlib.suppress(mlflow.MlflowException):
        mlflow.tracing.enable()
    return [*out, look(mlflow)]


def main(*arguments: str) -> None:
    registry.FILES = ()  # type: ignore[assignment]
    registry.PROGRAMS.update(PROGRAMS)
    registry.main(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
