"""The way to a collector that MLflow documents: by variables of the environment alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import story
from receiver import Receiver


def check(receiver: Receiver, trace_id: str) -> None:
    """Everything of the story arrived."""
    found = receiver.by_name()
    assert set(found) == set(story.EXPECTED)
    for name, (parent, attributes) in story.EXPECTED.items():
        span = found[name]
        assert f"tr-{span.trace_id}" == trace_id
        assert span.parent_id == (found[parent].span_id if parent else "")
        assert span.attributes | attributes == span.attributes
        assert span.attributes["mlflow.traceRequestId"] == trace_id


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{url}/own/path"}, "/own/path"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}/"}, "/v1/traces"),
        # As with MLflow's SDK: a collector takes precedence, and the protocol is often said for others.
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "{url}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
            },
            "/v1/traces",
        ),
    ],
)
def test_traces_go_to_the_collector(variables: dict[str, str], path: str) -> None:
    with Receiver() as receiver:
        environment = {name: text.format(url=receiver.url) for name, text in variables.items()}
        done = story.run(
            OTEL_EXPORTER_OTLP_HEADERS="x-mlflow-experiment-id=7,api-key=a%20b",
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
            OTEL_SERVICE_NAME="shop",
            OTEL_RESOURCE_ATTRIBUTES="openinference.project.name=demo",
            **environment,
        )
    assert done["left"] == 0
    check(receiver, done["trace_id"])
    requested, headers = receiver.requests[0]
    assert requested == path
    assert headers["x-mlflow-experiment-id"] == "7"
    assert headers["api-key"] == "a b"
    resource = receiver.spans[0].resource
    assert resource["service.name"] == "shop"
    assert resource["openinference.project.name"] == "demo"
    assert ("grpc" in done["stderr"]) == ("OTEL_EXPORTER_OTLP_PROTOCOL" in variables)


def test_a_collector_may_be_left_out(tmp_path: Path) -> None:
    with Receiver() as receiver:
        done = story.run(
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            MLFLOW_ENABLE_OTLP_EXPORTER="false",
            MLFLOW_TRACE_FILE_DIRECTORY=os.fspath(tmp_path),
        )
    assert done["left"] == 0
    assert receiver.requests == []
    assert len(list(tmp_path.iterdir())) == 1


def test_dual_export(tmp_path: Path) -> None:
    with Receiver() as receiver:
        done = story.run(
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            MLFLOW_TRACE_ENABLE_OTLP_DUAL_EXPORT="true",
            MLFLOW_TRACE_FILE_DIRECTORY=os.fspath(tmp_path),
        )
    assert done["left"] == 0
    check(receiver, done["trace_id"])
    assert len(list(tmp_path.iterdir())) == 1
    mirror: dict[str, Any] = done["stats"]["mirror"]
    assert (mirror["created"], mirror["delivered"]) == (3, 3)
