"""``python -m mlflow_trace`` is the command ``mlflow-trace``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import mlflow_trace

if TYPE_CHECKING:
    from pathlib import Path


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlflow_trace", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_module_is_the_command(tmp_path: Path) -> None:
    script = (
        "import mlflow_trace\n"
        "with mlflow_trace.start_span('answer'):\n"
        "    pass\n"
        "mlflow_trace.shutdown()\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, timeout=60, check=True)
    listed = _run("list", "--json", "--directory", str(tmp_path / "mlflow-traces"))
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)["tags"]["mlflow.traceName"] == "answer"


def test_exit_codes_are_the_command_s() -> None:
    assert _run("--version").stdout.split() == ["mlflow-trace", mlflow_trace.__version__]
    unknown = _run("list", "--set", "unheard.of=1")
    assert unknown.returncode == 2
    assert "unheard.of" in unknown.stderr
