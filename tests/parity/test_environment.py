"""Settings of the environment have the same effect with MLflow's SDK and with ours.

Runs where MLFLOW_TRACE_TEST_SERVER holds the address of an MLflow server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from typing import Any

import pytest
import test_parity
from programs_environment import PROGRAMS
from servers import SERVER, judge

pytestmark = pytest.mark.skipif(not SERVER, reason="MLFLOW_TRACE_TEST_SERVER is not set")

SETTINGS: dict[str, dict[str, str]] = {
    "none sampled": {"MLFLOW_TRACE_SAMPLING_RATIO": "0"},
    "all sampled": {"MLFLOW_TRACE_SAMPLING_RATIO": "1.0"},
    "ratio out of range": {"MLFLOW_TRACE_SAMPLING_RATIO": "1.5"},
    "ratio is no number": {"MLFLOW_TRACE_SAMPLING_RATIO": "half"},
    "disabled": {"OTEL_SDK_DISABLED": "true"},
}
NOTHING = "MLflow records nothing where the ratio is no number; here it is as if it were not set"
NO_OVERRIDE = "MLflow ignores overrides as well where the ratio is out of range"
DIFFERENT = dict.fromkeys([("ratio is no number", name) for name in PROGRAMS], NOTHING)
DIFFERENT["ratio out of range", "overrides"] = NO_OVERRIDE


def start(module: str, experiment: str, settings: dict[str, str]) -> subprocess.Popen[str]:
    program = str(test_parity.HERE / "programs_environment.py")
    return subprocess.Popen(
        [sys.executable, program, module, SERVER, experiment],
        env=os.environ
        | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_MODEL_CATALOG_URI": ""}
        | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(settings: dict[str, str]) -> list[test_parity.Outcomes]:
    """What the programs gave with MLflow's SDK and with ours."""
    names = {module: f"{module}-{uuid.uuid4().hex}" for module in ("mlflow", "mlflow_trace")}
    running = [start(module, experiment, settings) for module, experiment in names.items()]
    both = []
    for process, experiment in zip(running, names.values(), strict=True):
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        if settings.get("MLFLOW_TRACE_SAMPLING_RATIO") == "1.5":
            assert "MLFLOW_TRACE_SAMPLING_RATIO" in stderr
        returned: dict[str, str] = json.loads(stdout)
        traces: dict[str, list[dict[str, Any]]] = {name: [] for name in returned}
        for trace in sorted(test_parity.read(experiment), key=test_parity.order):
            traces[trace["info"]["tags"]["program"]].append(test_parity.comparable(trace))
        both.append({name: test_parity.Outcome(returned[name], traces[name]) for name in returned})
    return both


@pytest.fixture(scope="session")
def outcomes() -> dict[str, list[test_parity.Outcomes]]:
    """By settings."""
    return {name: run(settings) for name, settings in SETTINGS.items()}


def cases() -> list[Any]:
    """Every program with every setting."""
    found = []
    for case in [(settings, name) for settings in SETTINGS for name in PROGRAMS]:
        reason = DIFFERENT.get(case, "")
        marks = [pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True)]
        found.append(pytest.param(*case, marks=marks if reason else []))
    return found


@pytest.mark.parametrize(("settings", "name"), cases())
def test_program(settings: str, name: str, outcomes: dict[str, list[test_parity.Outcomes]]) -> None:
    theirs, ours = (both[name] for both in outcomes[settings])
    judge(f"environment::{settings}::{name}", test_parity.compared(theirs, ours))


def test_settings_change_what_is_recorded(
    outcomes: dict[str, list[test_parity.Outcomes]],
) -> None:
    recorded = {
        settings: sorted({name for name, outcome in ours.items() if outcome.traces})
        for settings, (_, ours) in outcomes.items()
    }
    every = sorted(PROGRAMS)
    assert recorded == {
        "none sampled": ["overrides"],
        "all sampled": every,
        "ratio out of range": every,
        "ratio is no number": every,
        "disabled": [],
    }
