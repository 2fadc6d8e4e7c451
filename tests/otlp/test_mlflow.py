"""A real MLflow server as the collector, and beside one."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import story
from receiver import Receiver


def stored(url: str, trace_id: str) -> dict[str, Any]:
    """What the server has of a trace."""
    path = f"/api/3.0/mlflow/traces/get?trace_id={trace_id}"
    with urllib.request.urlopen(url + path) as reply:
        trace: dict[str, Any] = json.load(reply)["trace"]
        return trace


def tags(trace: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = trace["trace_info"]["tags"]
    return found


def types(trace: dict[str, Any]) -> dict[str, str]:
    return {
        span["name"]: pair["value"]["string_value"]
        for span in trace["spans"]
        for pair in span["attributes"]
        if pair["key"] == "mlflow.spanType"
    }


def expected_types() -> dict[str, str]:
    return {name: given["mlflow.spanType"] for name, (_, given) in story.EXPECTED.items()}


def test_a_server_may_be_the_collector(mlflow_url: str) -> None:
    done = story.run(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{mlflow_url}/v1/traces",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS="x-mlflow-experiment-id=0",
    )
    assert done["left"] == 0
    assert done["stats"]["delivered"] == len(story.EXPECTED)
    trace = stored(mlflow_url, done["trace_id"])
    assert types(trace) == expected_types()
    assert tags(trace)["env"] == "test"
    assert trace["trace_info"]["state"] == "OK"


def test_a_server_and_a_collector(mlflow_url: str) -> None:
    with Receiver() as receiver:
        done = story.run(
            MLFLOW_TRACKING_URI=mlflow_url,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT="true",
        )
    assert done["left"] == 0
    for counters in (done["stats"], done["stats"]["mirror"]):
        assert counters["delivered"] == len(story.EXPECTED)
    trace = stored(mlflow_url, done["trace_id"])
    assert types(trace) == expected_types()
    assert tags(trace)["mlflow.traceName"] == "answer"
    found = {span.name: span.attributes["mlflow.spanType"] for span in receiver.spans}
    assert found == expected_types()
