"""What MLflow's client and ours read of one server is the same, and so is what they leave there.

Runs where MLFLOW_TRACE_TEST_SERVER holds the address of an MLflow server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import reading
from servers import SERVER, judge
from test_parity import differences

HERE = Path(__file__).parent
MODULES = ("mlflow", "mlflow_trace")
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    # Servers answer some bad filters with status 500, which MLflow's client would retry for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}

pytestmark = pytest.mark.skipif(not SERVER, reason="MLFLOW_TRACE_TEST_SERVER is not set")
reading.load()

Results = dict[str, Any]


def start(module: str, what: str, experiment_id: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "reading.py"), module, what, SERVER, experiment_id],
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(processes: list[subprocess.Popen[str]]) -> list[Results]:
    found = []
    for process in processes:
        stdout, stderr = process.communicate(timeout=240)
        assert process.returncode == 0, stderr
        found.append(json.loads(stdout))
    return found


def experiment() -> str:
    import mlflow

    return str(mlflow.MlflowClient(SERVER).create_experiment(f"reading-{uuid.uuid4().hex}"))


@pytest.fixture(scope="session")
def annotated() -> list[Results]:
    """What the programs that annotate return, each with traces of its own SDK."""
    return results([start(module, "annotate", experiment()) for module in MODULES])


def record(module: str, experiment_id: str) -> None:
    code = f"""
import {module} as mlflow
mlflow.set_tracking_uri({SERVER!r})
mlflow.set_experiment(experiment_id={experiment_id!r})
with mlflow.start_span("nested") as span:
    span.set_inputs({{"q": "é", "f": 0.1 + 0.2, "big": 2**53 + 1, "n": None}})
    span.set_outputs({{"answer": [1, {{"a": True}}], "e": 1e-7}})
    span.set_attributes({{"text": "plain", "json": {{"a": [1.5]}}, "whole": 3.0, "int": 5}})
    span.add_event(mlflow.entities.SpanEvent("e", attributes={{"x": 1, "l": [1, 2], "s": "t"}}))
    mlflow.update_current_trace(tags={{"env": "prod", "my key": "v"}}, client_request_id="req-1")
    with mlflow.start_span("child", span_type="LLM") as child:
        child.set_outputs("text")
        child.set_attribute("mlflow.chat.tokenUsage",
            {{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}})
        child.set_attribute("mlflow.llm.model", "m")
link = mlflow.entities.Link(trace_id=span.trace_id, span_id=span.span_id, attributes={{"a": 1}})
with mlflow.start_span("linked", links=[link]):
    mlflow.update_current_trace(metadata={{"mlflow.trace.session": "s"}})
try:
    with mlflow.start_span("failing"):
        raise ValueError("v")
except ValueError:
    pass
with mlflow.start_span("dot.ted") as span:
    span.set_inputs({{"a.b": 1}})
mlflow.start_span_no_context("manual", inputs=["x"]).end(outputs=None)
mlflow.flush_trace_async_logging()
mlflow.log_feedback(trace_id=span.trace_id, name="f", value={{"a": 1}}, rationale="r")
mlflow.log_feedback(trace_id=span.trace_id, name="failed", error=ValueError("é"))
mlflow.log_expectation(trace_id=span.trace_id, name="e", value=["x"])
mlflow.flush_trace_async_logging(terminate=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def read() -> list[Results]:
    """What the programs that read return, of one experiment with traces of both SDKs."""
    shared = experiment()
    for module in MODULES:
        record(module, shared)
    return results([start(module, "read", shared) for module in MODULES])


def compared(theirs: Any, ours: Any) -> list[str]:
    """Where what a program returned differs. It may not fail with ours."""
    found = differences(theirs, ours)
    if isinstance(ours, str) and ours.startswith(reading.FAILED):
        found.append(f"/failed: {ours}")
    return found


@pytest.mark.parametrize("name", list(reading.ANNOTATING))
def test_annotating(name: str, annotated: list[Results]) -> None:
    judge(f"annotating::{name}", compared(*(found[name] for found in annotated)))


@pytest.mark.parametrize("name", list(reading.READING))
def test_reading(name: str, read: list[Results]) -> None:
    judge(f"reading::{name}", compared(*(found[name] for found in read)))


def test_an_imported_trace_is_the_same_for_mlflow(read: list[Results]) -> None:
    import mlflow
    import mlflow_trace

    assert read
    mlflow.set_tracking_uri(SERVER)
    ours, theirs = mlflow_trace.MlflowClient(SERVER), mlflow.MlflowClient(SERVER)
    source, target = experiment(), experiment()
    record("mlflow_trace", source)
    traces = ours.search_traces(locations=[source])
    theirs.delete_traces(source, trace_ids=[trace.info.trace_id for trace in traces])
    for trace in traces:
        for _ in range(2):
            ours.import_trace(trace, target)
        found = theirs.get_trace(trace.info.trace_id, display=False).to_dict()
        expected = trace.to_dict()
        assert found["info"].pop("trace_location") != expected["info"].pop("trace_location")
        for info in (found["info"], expected["info"]):
            for tag in ("mlflow.artifactLocation", "mlflow.trace.spansLocation"):
                info["tags"].pop(tag, None)
        assert differences(expected, found) == []
