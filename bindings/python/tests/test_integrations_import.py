"""When integrations meet their libraries: imported before, later, not at all, or failing."""

from __future__ import annotations

import importlib
import inspect
import sys

import pytest

import mlflow_trace
from mlflow_trace.integrations.calls import Spec, traced
from mlflow_trace.integrations.registry import Integration


@pytest.fixture
def importable(tmp_path, monkeypatch):
    package = tmp_path / "unknown_library"
    package.mkdir()
    (package / "__init__.py").write_text("from unknown_library.client import Client\n")
    source = "class Client:\n    def create(self, text):\n        return text\n"
    (package / "client.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in [name for name in sys.modules if name.startswith("unknown_library")]:
        del sys.modules[name]


def declare():
    integration = Integration("unknown")
    integration.replace(["unknown_library.client:Client.create"], traced(integration, Spec()))
    return integration


def test_a_library_that_is_imported_later(recording, importable):
    integration = declare()
    finders = list(sys.meta_path)
    integration.enable()
    assert "unknown_library" not in sys.modules
    module = importlib.import_module("unknown_library")
    assert module.Client().create("x") == "x"
    assert "exec_module" not in vars(sys.modules["unknown_library.client"].__loader__)
    integration.disable()
    assert sys.meta_path == finders
    assert module.Client().create("y") == "y"
    assert [trace.root.outputs for trace in recording.traces()] == ["x"]


def test_a_library_whose_import_fails_at_first(recording, importable):
    integration = declare()
    integration.enable()
    source = (importable / "client.py").read_text()
    (importable / "client.py").write_text("raise ValueError('not today')\n")
    with pytest.raises(ValueError, match="not today"):
        importlib.import_module("unknown_library")
    (importable / "client.py").write_text(source + "# repaired\n")
    importlib.invalidate_caches()
    importlib.import_module("unknown_library").Client().create("x")
    integration.disable()
    assert len(recording.traces()) == 1


def test_a_declaration_that_raises_does_not_fail_the_import(importable, reports):
    integration = Integration("unknown")

    def fail(module):
        raise RuntimeError("broken")

    integration.install("unknown_library", fail)
    integration.enable()
    assert importlib.import_module("unknown_library").Client
    integration.disable()
    assert len(reports()) == 1


def test_nothing_is_imported_that_the_program_does_not_use(run_python):
    done = run_python(
        """
        import sys
        import mlflow_trace
        libraries = {"openai", "anthropic", "google", "httpx", "httpx2", "pydantic"}
        assert "mlflow_trace.openai" not in sys.modules
        assert mlflow_trace.openai.autolog
        mlflow_trace.autolog()
        mlflow_trace.http.autolog()
        mlflow_trace.autolog(disable=True)
        mlflow_trace.http.autolog(disable=True)
        assert not libraries & set(sys.modules), libraries & set(sys.modules)
        try:
            mlflow_trace.no_such_library
        except AttributeError as error:
            print(error)
        """
    )
    assert done.returncode == 0, done.stderr
    assert "no_such_library" in done.stdout


def test_signatures_are_those_of_mlflow():
    def names(function):
        return list(inspect.signature(function).parameters)

    assert names(mlflow_trace.anthropic.autolog)[:3] == ["log_traces", "disable", "silent"]
    assert names(mlflow_trace.gemini.autolog)[:3] == ["log_traces", "disable", "silent"]
    assert names(mlflow_trace.openai.autolog)[:6] == [
        "disable",
        "exclusive",
        "disable_for_unsupported_versions",
        "silent",
        "log_traces",
        "disable_openai_agent_tracer",
    ]
