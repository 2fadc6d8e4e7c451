"""The same program with MLflow's SDK and with ours leaves the same traces on a real server.

Runs where MLFLOW_TRACE_TEST_SERVER holds the address of an MLflow 3.17.2 server and MLflow itself
can be imported.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

import mlflow_trace
from mlflow_trace import exceptions

SERVER = os.environ.get("MLFLOW_TRACE_TEST_SERVER", "")
HERE = Path(__file__).parent
TRACES = 8

pytestmark = [
    pytest.mark.skipif(not SERVER, reason="MLFLOW_TRACE_TEST_SERVER is not set"),
    pytest.mark.timeout(180),
]
needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed"
)


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_MODEL_CATALOG_URI": ""},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def recorded_by(module):
    """Run the program with a module and read its traces back with MLflow's client."""
    experiment = f"{module}-{uuid.uuid4().hex}"
    run("server_program.py", module, SERVER, experiment)
    traces = json.loads(run("server_reader.py", SERVER, experiment, str(TRACES)))
    by_spans = {tuple(sorted(s["name"] for s in t["data"]["spans"])): t for t in traces}
    assert len(by_spans) == len(traces) == TRACES
    return {spans: comparable(trace) for spans, trace in by_spans.items()}


def comparable(trace):
    """Put names for ids and leave out what two runs cannot have in common."""
    spans, info = trace["data"]["spans"], trace["info"]
    experiment = info["trace_location"]["mlflow_experiment"]["experiment_id"]
    names = {span["span_id"]: f"<{span['name']}>" for span in spans}
    names |= {info["trace_id"]: "<trace>", spans[0]["trace_id"]: "<trace>"}
    names[f"mlflow-artifacts:/{experiment}/"] = "<artifacts>"
    text = json.dumps(trace)
    for found, name in names.items():
        text = text.replace(found, name)
    trace = json.loads(text)
    spans, info = trace["data"]["spans"], trace["info"]
    spans.sort(key=lambda span: span["name"])
    failed = False
    for span in spans:
        assert span.pop("start_time_unix_nano") <= span.pop("end_time_unix_nano")
        for event in span["events"]:
            if event["name"] != "event":  # that one has a time of its own
                del event["time_unix_nano"]
            if "exception.stacktrace" in event["attributes"]:
                failed = True
                # The frames in between are those of the SDK.
                lines = event["attributes"]["exception.stacktrace"].splitlines()
                event["attributes"]["exception.stacktrace"] = [lines[0], lines[-1]]
    del info["trace_location"], info["request_time"], info["execution_duration_ms"]
    sizes = json.loads(info["trace_metadata"].pop("mlflow.trace.sizeStats"))
    assert sizes.pop("total_size_bytes") == int(
        info["trace_metadata"].pop("mlflow.trace.sizeBytes")
    )
    trace["sizes"] = {"num_spans": sizes["num_spans"]} if failed else sizes
    return trace


@needs_mlflow
def test_both_leave_the_same_traces():
    theirs, ours = recorded_by("mlflow"), recorded_by("mlflow_trace")
    assert theirs.keys() == ours.keys()
    for spans, trace in theirs.items():
        assert ours[spans] == trace, spans


def test_experiments_are_found_made_and_refused():
    mlflow_trace.set_tracking_uri(SERVER)
    try:
        name = f"experiment-{uuid.uuid4().hex}"
        made = mlflow_trace.set_experiment(name)
        assert made.name == name
        assert mlflow_trace.set_experiment(experiment_name=name) == made
        assert mlflow_trace.set_experiment(experiment_id=made.experiment_id) == made
        with pytest.raises(exceptions.NotFoundError):
            mlflow_trace.set_experiment(experiment_id="999999999")
        with mlflow_trace.start_span("span"):
            pass
        assert mlflow_trace.flush(timeout=30) == 0
    finally:
        mlflow_trace.configure(tracking_uri=None, experiment_id=None, experiment_name=None)
