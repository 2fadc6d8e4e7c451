"""What `import mlflow_trace` loads, and what it leaves until it is used."""

from __future__ import annotations

import mlflow_trace
from mlflow_trace import entities
from mlflow_trace.tracing import destination


def test_import_loads_nothing_that_only_some_calls_need(run_python):
    done = run_python(
        """
        import sys

        before = set(sys.modules)
        import mlflow_trace

        later = {"dataclasses", "inspect", "json", "mimetypes", "pathlib", "urllib.parse"}
        print(sorted(later & (set(sys.modules) - before)))
        """
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_every_public_name_is_there_from_the_start(run_python):
    done = run_python(
        """
        import mlflow_trace
        from mlflow_trace import entities, tracing
        from mlflow_trace.entities import Link, SpanType
        from mlflow_trace.tracing.destination import MlflowExperiment

        for module in (entities, tracing, tracing.destination):
            assert set(module.__all__) <= set(dir(module))
            for name in module.__all__:
                getattr(module, name)
        assert entities.span_parts.SpanType is SpanType
        try:
            entities.Nonsense
        except AttributeError as error:
            print(error)
        """
    )
    expected = "module 'mlflow_trace.entities' has no attribute 'Nonsense'\n"
    assert (done.stdout, done.stderr) == (expected, "")


def test_what_is_pickled_is_loaded_by_a_process_that_used_nothing_yet(run_python):
    done = run_python(
        """
        import pickle, subprocess, sys
        from mlflow_trace.entities import Link, SpanEvent, SpanLogLevel, SpanStatusCode

        event = SpanEvent("name", 1, {"key": "value"})
        things = [event, Link("t", "s"), SpanLogLevel.ERROR, SpanStatusCode.OK]
        program = "import pickle, sys; import mlflow_trace; print(pickle.load(sys.stdin.buffer))"
        loaded = subprocess.run(
            [sys.executable, "-c", program], input=pickle.dumps(things), capture_output=True
        )
        print(loaded.stdout.decode().strip() == repr(things), loaded.stderr)
        """
    )
    assert (done.stdout, done.stderr) == ("True b''\n", "")


def test_names_are_one_object_wherever_they_are_taken_from():
    assert destination.MlflowExperiment is entities.MlflowExperimentLocation
    assert mlflow_trace.entities.SpanType is entities.span_parts.SpanType
