"""Configuration: clear errors, environment variables, and where traces go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlflow_trace
from mlflow_trace import _native, exceptions
from mlflow_trace.entities import Experiment


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"no_such_option": 1}, "no_such_option"),
        ({"tracking_uri": "sqlite:///mlflow.db"}, "tracking_uri"),
        ({"tracking_uri": "localhost:5000"}, "tracking_uri"),
        ({"queue_max_bytes": "many"}, "queue.max_bytes"),
        ({"batch.max_spans": 0}, "batch.max_spans"),
        ({"experiment_id": "first"}, "experiment_id"),
        ({"exporter": "carrier pigeon"}, "exporter"),
    ],
)
def test_errors_name_the_option_and_change_nothing(recording, options, named):
    with pytest.raises(exceptions.InvalidConfigError, match=named) as raised:
        mlflow_trace.configure(service_name="changed", **options)
    assert isinstance(raised.value, ValueError)
    assert raised.value.kind == "InvalidConfig"
    assert _native.get_option("service.name") == ""
    with mlflow_trace.start_span("still recorded"):
        pass
    assert recording.span().name == "still recorded"


def test_options_have_two_spellings(recording):
    mlflow_trace.configure(service_name="a")
    assert _native.get_option("service.name") == _native.get_option("service_name") == "a"
    mlflow_trace.configure(**{"service.name": "b"}, batch_max_spans=7)
    assert _native.get_option("service.name") == "b"
    assert _native.get_option("batch.max_spans") == "7"
    mlflow_trace.configure(service_name=None, batch_max_spans=None)
    assert _native.get_option("service.name") == ""
    assert _native.get_option("batch.max_spans") == "512"


@pytest.mark.parametrize("kind", [list, tuple, set, iter])
def test_options_that_take_several_values_take_lists(recording, kind):
    try:
        mlflow_trace.configure(
            redact_keys=kind(["password"]),
            redact_paths=kind(["inputs['a,b']"]),
            redact_patterns=kind(["sk-[a-z]{2,}"]),
        )
        with mlflow_trace.start_span("span") as span:
            span.set_inputs({"password": "x", "a,b": "y", "note": 'sk-ab "quoted"', "a": "z"})
        assert recording.span().inputs == {
            "password": "[redacted]",
            "a,b": "[redacted]",
            "note": '[redacted] "quoted"',
            "a": "z",
        }
    finally:
        mlflow_trace.configure(redact_keys=None, redact_paths=None, redact_patterns=None)


def test_several_names_paths_and_patterns(recording):
    patterns = ["a{1,3}\nb", 'with "quotes"', "é\\d"]
    mlflow_trace.configure(redact_keys=["one", "two*"], redact_paths=["inputs.a", "outputs.b"])
    mlflow_trace.configure(**{"redact.patterns": patterns})
    assert _native.get_option("redact.keys") == "one,two*"
    assert _native.get_option("redact.paths") == "inputs.a,outputs.b"
    assert json.loads(_native.get_option("redact.patterns")) == patterns
    mlflow_trace.configure(redact_keys=[], redact_paths=(), redact_patterns=[])
    for key in ("redact.keys", "redact.paths", "redact.patterns"):
        assert _native.get_option(key) == ""
    mlflow_trace.configure(redact_keys=None, redact_paths=None, redact_patterns=None)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"redact_keys": ["hidden,other"]}, "redact.keys"),
        ({"redact_keys": ["hidden", 5]}, "redact.keys"),
        ({"redact_keys": 5}, "redact.keys"),
        ({"redact_keys": b"hidden"}, "redact.keys"),
        ({"redact_keys": {"hidden": True}}, "redact.keys"),
        ({"redact_paths": [["hidden"]]}, "redact.paths"),
        ({"redact_patterns": ["hidden", None]}, "redact.patterns"),
        ({"redact_patterns": ["(hidden"]}, "redact.patterns"),
        ({"service_name": ["hidden"]}, "service.name"),
        ({"exporter": ("hidden",)}, "exporter"),
    ],
)
def test_lists_that_an_option_does_not_accept(recording, options, named):
    with pytest.raises(exceptions.InvalidConfigError, match=named.replace(".", r"\.")) as raised:
        mlflow_trace.configure(**options)
    assert "hidden" not in str(raised.value)
    assert _native.get_option(named) == ("memory" if named == "exporter" else "")
    mlflow_trace.configure(redact_keys=None)


@pytest.mark.parametrize(
    "options",
    [
        {"redact_patterns": "("},
        {"redact_pattern": "secret"},
        {"capture_content": "never"},
        {"redact.keys": 5},
        {"redact_keys": ["password"], "exporter": "carrier pigeon"},
    ],
)
def test_after_a_slip_about_content_none_is_sent(recording, options):
    def record(name):
        with mlflow_trace.start_span(name) as span:
            span.set_outputs("secret")

    record("before")
    with pytest.raises(exceptions.InvalidConfigError):
        mlflow_trace.configure(**options)
    record("after")
    mlflow_trace.configure(service_name=None)
    record("still after")
    mlflow_trace.configure(redact_patterns=["nothing"])
    record("then")
    mlflow_trace.configure(redact_patterns=None)
    outputs = {trace.root.name: trace.root.outputs for trace in recording.traces()}
    withheld = "[redaction failed]"
    assert outputs == {
        "before": "secret",
        "after": withheld,
        "still after": withheld,
        "then": "secret",
    }


def test_the_program_wins_over_the_environment(recording, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1/env")
    mlflow_trace.configure(tracking_uri=None)
    assert mlflow_trace.get_tracking_uri() == "http://127.0.0.1:1/env"
    mlflow_trace.set_tracking_uri("http://127.0.0.1:1/program")
    assert mlflow_trace.get_tracking_uri() == "http://127.0.0.1:1/program"
    mlflow_trace.set_tracking_uri("")
    assert mlflow_trace.get_tracking_uri() == ""
    mlflow_trace.configure(tracking_uri=None)


def test_a_path_is_no_tracking_uri(tmp_path):
    with pytest.raises(exceptions.InvalidConfigError, match="tracking_uri"):
        mlflow_trace.set_tracking_uri(tmp_path)


def test_a_faulty_variable_fails_what_configures(recording, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACE_BATCH_DELAY_MS", "soon")
    with pytest.raises(exceptions.InvalidConfigError, match="MLFLOW_TRACE_BATCH_DELAY_MS"):
        mlflow_trace.configure(batch_delay_ms=None)
    monkeypatch.delenv("MLFLOW_TRACE_BATCH_DELAY_MS")


def test_a_faulty_variable_does_not_stop_recording(run_python):
    code = """
        import mlflow_trace
        with mlflow_trace.start_span("span") as span:
            assert span.trace_id.startswith("tr-")
        assert mlflow_trace.flush(10) == 0
        assert mlflow_trace.stats()["delivered"] == 1
    """
    faulty = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "MLFLOW_TRACE_BATCH_MAX_SPANS": "0"}
    done = run_python(code, **faulty)
    assert done.returncode == 0, done.stderr
    for variable in faulty:
        assert variable in done.stderr
    assert done.stderr.count("ignored") == 1


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_timeouts_must_not_be_negative(timeout):
    for function in (mlflow_trace.flush, mlflow_trace.shutdown):
        with pytest.raises(exceptions.InvalidArgumentError, match="timeout"):
            function(timeout=timeout)


def test_without_a_server_traces_are_written_to_files(run_python, tmp_path):
    code = """
        import mlflow_trace
        with mlflow_trace.start_span("span") as span:
            span.set_inputs({"q": 1})
        mlflow_trace.flush()
    """
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "mlflow-traces").iterdir()
    assert "mlflow-traces" in done.stderr
    assert file.name in done.stderr
    (line,) = file.read_text().splitlines()
    (span,) = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert span["name"] == "span"


def test_messages_go_to_the_logger_of_the_package(run_python):
    code = """
        import logging, sys
        import mlflow_trace
        logging.basicConfig(stream=sys.stdout, format="%(name)s %(levelname)s")
        with mlflow_trace.start_span():
            pass
        mlflow_trace.flush()
        assert len(mlflow_trace.diagnostics()) == 1
        assert mlflow_trace.diagnostics() == []
    """
    done = run_python(code)
    assert (done.stdout, done.stderr) == ("mlflow_trace WARNING\n", "")


def test_an_experiment_is_given_by_name_or_id(recording):
    for arguments in ({}, {"experiment_name": "a", "experiment_id": "1"}):
        with pytest.raises(exceptions.InvalidArgumentError, match="exactly one"):
            mlflow_trace.set_experiment(**arguments)
    with pytest.raises(NotImplementedError, match="trace_location"):
        mlflow_trace.set_experiment("a", trace_location=object())
    with pytest.raises(exceptions.InvalidConfigError, match="experiment_id"):
        mlflow_trace.set_experiment(experiment_id="first")


def test_without_a_server_an_experiment_is_only_noted(recording, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "3")
    assert mlflow_trace.set_experiment("by name") == Experiment(None, "by name")
    with mlflow_trace.start_span():
        pass
    assert mlflow_trace.set_experiment(experiment_id="5") == Experiment("5", None)
    with mlflow_trace.start_span():
        pass
    first, second = recording.traces()
    for trace, experiment in ((first, "by name"), (second, "5")):
        assert trace.info["trace_location"]["mlflow_experiment"]["experiment_id"] == experiment
    mlflow_trace.configure(experiment_id=None, experiment_name=None)


def test_the_variable_for_a_destination_wins_over_that_for_an_experiment(recording, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "3")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "by name")
    monkeypatch.setenv("MLFLOW_TRACING_DESTINATION", "4")
    assert _native.get_option("experiment_id") == "4"
    monkeypatch.setenv("MLFLOW_TRACING_DESTINATION", "catalog.schema")
    with pytest.raises(exceptions.InvalidConfigError, match="MLFLOW_TRACING_DESTINATION"):
        mlflow_trace.configure(experiment_name="other")
    monkeypatch.delenv("MLFLOW_TRACING_DESTINATION")


def test_an_experiment_chosen_without_a_server_holds_for_the_next(recording):
    mlflow_trace.set_experiment(experiment_id="5")
    mlflow_trace.set_tracking_uri("http://127.0.0.1:1")
    try:
        assert _native.get_option("experiment_id") == "5"
    finally:
        mlflow_trace.configure(tracking_uri=None, experiment_id=None, experiment_name=None)


def test_an_unreachable_server_cannot_be_asked_for_an_experiment(recording):
    mlflow_trace.configure(tracking_uri="http://127.0.0.1:1", http_timeout_ms=2000)
    try:
        with pytest.raises(exceptions.TransportError) as raised:
            mlflow_trace.set_experiment("any")
        assert isinstance(raised.value, ConnectionError)
    finally:
        mlflow_trace.configure(tracking_uri=None, http_timeout_ms=None)


def test_traces_keep_the_destination_that_they_started_with(recording):
    with mlflow_trace.start_span("first"):
        mlflow_trace.configure(service_name="other")
        with mlflow_trace.start_span("child"):
            pass
    with mlflow_trace.start_span("second"):
        pass
    assert [trace.tree() for trace in sorted(recording.traces(), key=lambda t: t.root.name)] == [
        {"child": "first", "first": None},
        {"second": None},
    ]
    stats = mlflow_trace.stats()
    assert stats["created"] == stats["delivered"] + stats["pending"] + sum(
        stats["dropped"].values()
    )
    mlflow_trace.configure(service_name=None)


def test_the_source_of_a_trace_is_the_script(run_python, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        "import mlflow_trace, json\n"
        "from mlflow_trace import _native\n"
        "with mlflow_trace.start_span(): pass\n"
        "mlflow_trace.flush()\n"
        "print(json.loads(_native.memory_traces()[0])['info']['trace_metadata']['mlflow.source.name'])\n"
    )
    code = f"import runpy, sys; sys.argv = [{str(script)!r}]; runpy.run_path(sys.argv[0])"
    done = run_python(code, MLFLOW_TRACE_EXPORTER="memory")
    assert Path(done.stdout.strip()) == script, done.stderr
