"""Parameters and defaults are those of MLflow, and the stub is that of the native module."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mlflow_trace
from mlflow_trace import tracing

PROJECT = Path(__file__).parent.parent

FUNCTIONS = [
    "trace",
    "start_span",
    "start_span_no_context",
    "get_current_active_span",
    "get_active_trace_id",
    "get_last_active_trace_id",
    "update_current_trace",
    "set_tracking_uri",
    "get_tracking_uri",
    "set_experiment",
    "flush_trace_async_logging",
    "get_trace",
    "search_traces",
    "search_sessions",
    "set_trace_tag",
    "delete_trace_tag",
    "log_feedback",
    "log_expectation",
    "log_assessment",
    "get_assessment",
    "update_assessment",
    "override_feedback",
    "delete_assessment",
    "create_experiment",
    "get_experiment",
    "get_experiment_by_name",
    "search_experiments",
    "delete_experiment",
    "MlflowClient",
    "MlflowClient.create_experiment",
    "MlflowClient.get_experiment",
    "MlflowClient.get_experiment_by_name",
    "MlflowClient.search_experiments",
    "MlflowClient.delete_experiment",
    "MlflowClient.get_trace",
    "MlflowClient.search_traces",
    "MlflowClient.delete_traces",
    "MlflowClient.set_trace_tag",
    "MlflowClient.delete_trace_tag",
    "MlflowClient.link_traces_to_run",
    "entities.IssueReference",
    "add_trace",
    "log_trace",
    "tracing.get_tracing_context_headers_for_http_request",
    "tracing.set_tracing_context_from_http_request_headers",
    "tracing.context",
    "tracing.enable",
    "tracing.disable",
    "tracing.reset",
    "tracing.configure",
    "tracing.set_destination",
    "tracing.set_span_chat_tools",
    "tracing.get_bridged_tracer_provider",
    "tracing.disable_notebook_display",
    "tracing.enable_notebook_display",
    "entities.Trace.to_json",
    "entities.Trace.search_spans",
    "entities.Trace.search_assessments",
    "entities.Feedback",
    "entities.Expectation",
    "entities.AssessmentSource",
    "entities.AssessmentError",
    "entities.TraceLocation.from_experiment_id",
    "tracing.provider.is_tracing_enabled",
    "tracing.attachments.Attachment",
    "tracing.attachments.Attachment.from_file",
    "tracing.attachments.Attachment.ref",
    "tracing.attachments.Attachment.parse_ref",
]

PRINT_SIGNATURES = """
import importlib, inspect, json, operator, sys
module = importlib.import_module(sys.argv[1])
entities = importlib.import_module(sys.argv[1] + ".entities")
importlib.import_module(sys.argv[1] + ".tracing.attachments")
methods = [name for name in dir(entities.NoOpSpan) if not name.startswith("_")]
def parameters(function):
    return [
        (p.name, None if p.default is p.empty else [p.default])
        for p in inspect.signature(function).parameters.values()
    ]
json.dump({
    "functions": {f: parameters(operator.attrgetter(f)(module)) for f in sys.argv[2:]},
    "methods": {
        m: parameters(f) for m in dir(entities.LiveSpan)
        if not m.startswith("_") and callable(f := getattr(entities.LiveSpan, m))
    },
    "span_types": {k: v for k, v in vars(entities.SpanType).items() if k.isupper()},
    "levels": {level.name: level for level in entities.SpanLogLevel},
    "status_codes": [code.value for code in entities.SpanStatusCode],
    "trace_states": [state.value for state in entities.TraceState],
}, sys.stdout)
"""


def described(module):
    done = subprocess.run(
        [sys.executable, "-c", PRINT_SIGNATURES, module, *FUNCTIONS],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")
def test_parameters_and_constants_are_those_of_mlflow():
    theirs, ours = described("mlflow"), described("mlflow_trace")
    methods = {name: theirs["methods"][name] for name in ours["methods"]}
    assert ours == theirs | {"methods": methods}
    assert set(theirs["methods"]) - set(methods) == {
        "from_dict",
        "from_dict_v2",
        "from_immutable_span",
        "from_otel_proto",
        "to_immutable_span",
        "to_otel_proto",
    }


def test_everything_public_is_exported_and_documented():
    for module in (mlflow_trace, tracing, mlflow_trace.entities):
        for name in module.__all__:
            member = getattr(module, name)
            assert member.__doc__, name


def test_every_public_name_is_in_the_documentation():
    text = (PROJECT.parent.parent / "docs" / "python.md").read_text()
    documented = set(re.findall(r"`([A-Za-z_0-9]+)`", text))
    for module in (mlflow_trace, tracing, mlflow_trace.entities):
        assert set(module.__all__) - documented == set()


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_the_stub_is_that_of_the_native_module(tmp_path):
    stubtest = "from mypy.stubtest import main; import sys; sys.exit(main())"
    done = subprocess.run(
        [
            *(sys.executable, "-c", stubtest, "mlflow_trace._native"),
            *("--mypy-config-file", str(PROJECT / "pyproject.toml")),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
