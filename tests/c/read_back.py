"""Runs a program that sends the trace of server.c, and reads the trace with MLflow's own client.

    read_back.py PROGRAM

prints one line for each case, as the C programs do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Expectation, Feedback, Span, Trace

PROGRAM = Path(sys.argv[1])
SERVER = os.environ["MLFLOW_TRACE_TEST_SERVER"]
EXPERIMENT = f"native-{PROGRAM.name}"


def record() -> Trace:
    run = subprocess.run(
        [PROGRAM, EXPERIMENT], capture_output=True, text=True, timeout=90, check=False
    )
    sys.stdout.write(run.stdout + run.stderr)
    run.check_returncode()
    trace_id = run.stdout.splitlines()[-1].removeprefix("trace ")
    trace: Trace = MlflowClient(SERVER).get_trace(trace_id)
    return trace


def information_is_complete(trace: Trace, spans: dict[str, Span]) -> None:
    experiment = MlflowClient(SERVER).get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    assert trace.info.experiment_id == experiment.experiment_id
    assert trace.info.state == "OK", trace.info.state
    assert trace.info.tags["suite"] == "native"
    assert trace.info.trace_metadata["build"] == "7"
    assert trace.info.trace_metadata["mlflow.trace.session"] == "session-1"
    assert trace.info.trace_metadata["mlflow.trace.user"] == "ada"
    assert trace.info.request_preview == r'{"question": "who said \"héllo\"?", "limit": 2}'
    assert trace.info.response_preview == '"nobody"', trace.info.response_preview


def spans_are_nested(trace: Trace, spans: dict[str, Span]) -> None:
    assert set(spans) == {"answer", "search", "model"}
    root = spans["answer"]
    assert root.parent_id is None
    assert spans["search"].parent_id == spans["model"].parent_id == root.span_id
    types = {name: span.span_type for name, span in spans.items()}
    assert types == {"answer": "AGENT", "search": "RETRIEVER", "model": "LLM"}
    for span in spans.values():
        assert span.end_time_ns is not None and root.end_time_ns is not None
        assert root.start_time_ns <= span.start_time_ns
        assert span.start_time_ns <= span.end_time_ns <= root.end_time_ns


def values_keep_their_types(trace: Trace, spans: dict[str, Span]) -> None:
    assert spans["answer"].inputs == {"question": 'who said "héllo"?', "limit": 2}
    assert spans["answer"].outputs == "nobody"
    search = spans["search"]
    assert search.outputs == [{"id": 1}]
    assert search.get_attribute("score") == 0.5
    assert search.get_attribute("cached") is False
    assert search.get_attribute("shards") == [1, 2]


def failures_are_recorded(trace: Trace, spans: dict[str, Span]) -> None:
    model = spans["model"]
    assert model.status.status_code == "ERROR"
    # C++ prefixes the type with its namespace.
    assert model.status.description.endswith("Overload: too many"), model.status.description
    token, exception = model.events
    assert (token.name, token.attributes) == ("token", {"text": "he"})
    assert exception.name == "exception"
    assert exception.attributes["exception.message"] == "too many"
    assert str(exception.attributes["exception.type"]).endswith("Overload")


def what_was_said_is_there(trace: Trace, spans: dict[str, Span]) -> None:
    assert trace.info.tags["late"] == "yes"
    early, late = sorted(trace.info.assessments, key=lambda each: each.name)
    assert isinstance(early, Feedback)
    assert (early.name, early.value, early.source.source_type) == ("early", True, "CODE")
    assert isinstance(late, Expectation)
    assert (late.name, late.value, late.source.source_type) == ("late", "somebody", "HUMAN")


def main() -> int:
    trace = record()
    spans = {span.name: span for span in trace.data.spans}
    failed = 0
    for case in (
        information_is_complete,
        spans_are_nested,
        values_keep_their_types,
        failures_are_recorded,
        what_was_said_is_there,
    ):
        try:
            case(trace, spans)
            print(f"ok {PROGRAM.name}: {case.__name__}")
        except AssertionError:
            failed += 1
            print(traceback.format_exc())
            print(f"not ok {PROGRAM.name}: {case.__name__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
