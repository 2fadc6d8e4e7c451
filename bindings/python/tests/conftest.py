"""Every test gets a tracer of its own that keeps traces in memory."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

import mlflow_trace
from mlflow_trace import _native
from mlflow_trace.integrations import guard
from recording import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FOREIGN = ("MLFLOW_", "OTEL_")


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the caller's settings out and files in a folder of the test's own."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and name != "MLFLOW_TRACE_TEST_SERVER":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def recording(own_environment: None) -> Iterator[Recording]:
    """Record into memory; `recording.traces()` flushes and returns what was recorded."""
    mlflow_trace.shutdown(timeout=5)
    mlflow_trace.configure(exporter="memory", tracking_uri=None, batch_delay_ms=0)
    _native.memory_traces()
    yield Recording()
    mlflow_trace.shutdown(timeout=5)
    mlflow_trace.configure(exporter=None, batch_delay_ms=None)


@pytest.fixture
def reports(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[[], list[str]]:
    """Return what integrations have reported about themselves so far."""
    monkeypatch.setattr(guard, "_reported", set())
    caplog.set_level(logging.WARNING, logger="mlflow_trace")
    return lambda: [r.getMessage() for r in caplog.records if "may lack it" in r.getMessage()]


@pytest.fixture
def run_python(
    own_environment: None,
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program in a fresh interpreter."""

    def run(code: str, timeout: float = 30, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=os.environ | env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
