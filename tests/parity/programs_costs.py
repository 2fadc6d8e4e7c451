"""Costs of spans, from which the server computes those of the trace."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

from registry import program

COST = "mlflow.llm.cost"


def cost(given: float, taken: float) -> dict[str, float]:
    return {"input_cost": given, "output_cost": taken, "total_cost": given + taken}


@program
def costs_of_leaves(mlflow: Any) -> None:
    with mlflow.start_span("root"):
        for price in (0.25, 0.5):
            with mlflow.start_span("call", span_type="LLM") as span:
                span.set_attribute(COST, cost(price, 2 * price))


@program
def rolled_up_costs(mlflow: Any) -> None:
    with mlflow.start_span("root"):
        with mlflow.start_span("agent") as agent:
            with mlflow.start_span("step"), mlflow.start_span("call") as call:
                call.set_attribute(COST, cost(0.125, 0.25))
            agent.set_attribute(COST, cost(0.125, 0.25))
        with mlflow.start_span("alone") as alone:
            alone.set_attribute(COST, cost(1.0, 0.0))


@program
def odd_costs(mlflow: Any) -> None:
    values: list[Any] = [
        {"total_cost": 0.5},
        {"input_cost": 1, "output_cost": 2, "total_cost": 3, "other": 4},
        {},
    ]
    for index, value in enumerate(values):
        with mlflow.start_span(f"cost {index}") as span:
            span.set_attribute(COST, value)


@program
def costs_that_the_user_states(mlflow: Any) -> None:
    with mlflow.start_span("root") as span:
        span.set_attribute(COST, cost(0.5, 0.25))
        mlflow.update_current_trace(
            metadata={
                "mlflow.trace.cost": '{"input_cost": 8.0, "output_cost": 1.0, "total_cost": 9.0}'
            }
        )


@program
def costs_and_usage(mlflow: Any) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 2000, "total_tokens": 3000}
    for attributes in ({}, {COST: cost(0.5, 0.25)}):
        with (
            mlflow.start_span("root"),
            mlflow.start_span("call", span_type="LLM") as span,
        ):
            span.set_attributes(
                {
                    "mlflow.llm.model": "gpt-4o-mini",
                    "mlflow.llm.provider": "openai",
                    "mlflow.chat.tokenUsage": usage,
                }
                | attributes
            )
