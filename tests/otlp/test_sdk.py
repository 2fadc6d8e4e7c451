"""What a collector gets from us is what it gets from MLflow's SDK (3.17.2), attribute by attribute.

MLflow's SDK writes every attribute as JSON text; we write what the text stands for, so that texts and numbers look in a
backend as they are. Both are read here before they are compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import calls
import pytest
import story
from receiver import Receiver

SEMCONV = "MLFLOW_ENABLE_OTEL_GENAI_SEMCONV"


def run(library: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, Path(calls.__file__).resolve(), library],
        env=story.clean() | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(value: Any) -> Any:
    """What JSON text stands for."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return list(value) if isinstance(value, tuple) else value


def comparable(name: str, kind: int, attributes: dict[str, Any]) -> tuple[str, int, dict[str, Any]]:
    attributes = {key: read(value) for key, value in attributes.items()}
    if "mlflow.traceRequestId" in attributes:
        attributes["mlflow.traceRequestId"] = attributes["mlflow.traceRequestId"][:3]
    return name, kind, attributes


@pytest.mark.parametrize("semconv", ["false", "true"])
def test_spans_are_those_of_mlflows_sdk(semconv: str) -> None:
    with Receiver() as receiver:
        endpoint = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": receiver.url}
        environment = endpoint | {SEMCONV: semconv}
        run("mlflow_trace", environment)
    environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # It would leave references to attachments that nobody stores; ours keeps the content in the spans.
    environment["MLFLOW_TRACE_EXTRACT_ATTACHMENTS"] = "false"
    printed = json.loads(run("mlflow", environment))
    theirs = [comparable(**span) for span in printed]
    ours = [comparable(span.name, span.kind, span.attributes) for span in receiver.spans]
    assert len(theirs) == len(calls.CALLS)
    for (call, *_), span, expected in zip(calls.CALLS, ours, theirs, strict=True):
        assert span == expected, call
