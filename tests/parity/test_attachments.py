"""Content in inputs and outputs becomes the same attachments with MLflow's SDK and with ours.

Runs where MLFLOW_TRACE_TEST_SERVER holds the address of an MLflow server.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import uuid
from typing import Any

import pytest
import test_parity
from programs_attachments import PROGRAMS
from servers import SERVER, judge

pytestmark = pytest.mark.skipif(not SERVER, reason="MLFLOW_TRACE_TEST_SERVER is not set")

SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "off": {"MLFLOW_TRACE_EXTRACT_ATTACHMENTS": "false"},
    "limit": {"MLFLOW_TRACE_MAX_ATTACHMENT_SIZE": "12"},
}
REFERENCE = "mlflow-attachment://"
# MLflow looks twice. What is too large and only seen the second time is said to be discarded, and kept.
KEPT = "MLflow keeps content that it says it discarded"
DIFFERENT = {("limit", "several_in_one_object"), ("limit", "objects")}


def start(module: str, experiment: str, settings: dict[str, str]) -> subprocess.Popen[str]:
    program = str(test_parity.HERE / "programs_attachments.py")
    return subprocess.Popen(
        [sys.executable, program, module, SERVER, experiment],
        env=os.environ
        | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_MODEL_CATALOG_URI": ""}
        | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def resolved(trace: dict[str, Any]) -> dict[str, Any]:
    """The trace with digests of contents, as MLflow's client downloads them, for the ids of attachments."""
    from mlflow.entities import Trace
    from mlflow.tracing.client import TracingClient

    info = Trace.from_dict(trace).info
    repository = TracingClient(SERVER)._get_artifact_repo_for_trace(info)
    text = json.dumps(trace)
    for name in set(re.findall(REFERENCE + "([0-9a-f-]{36})", text)):
        content = repository.download_trace_attachment(name)
        text = text.replace(name, hashlib.sha256(content).hexdigest())
    # Metadata and previews may end within an id.
    text = re.sub(REFERENCE + r"[0-9a-f-]*\.\.\.", REFERENCE + "...", text)
    text = re.sub(r"trace_id=t?r?-?[0-9a-f]*\.\.\.", "trace_id=...", text)
    changed: dict[str, Any] = json.loads(text)
    return changed


@pytest.fixture(scope="session")
def traces() -> dict[str, list[dict[str, list[Any]]]]:
    """By settings, the traces of every program with MLflow's SDK and with ours."""
    os.environ["MLFLOW_TRACKING_URI"] = SERVER
    found: dict[str, list[dict[str, list[Any]]]] = {}
    for name, settings in SETTINGS.items():
        names = {module: f"{module}-{uuid.uuid4().hex}" for module in ("mlflow", "mlflow_trace")}
        running = [start(module, experiment, settings) for module, experiment in names.items()]
        found[name] = []
        for process, experiment in zip(running, names.values(), strict=True):
            _, stderr = process.communicate(timeout=120)
            assert process.returncode == 0, stderr
            programs: dict[str, list[Any]] = {program: [] for program in PROGRAMS}
            for trace in sorted(test_parity.read(experiment), key=test_parity.order):
                program = trace["info"]["tags"]["program"]
                programs[program].append(test_parity.comparable(resolved(trace)))
            found[name].append(programs)
    return found


def cases() -> list[Any]:
    """Every program with every setting."""
    found = []
    for settings in SETTINGS:
        for program in PROGRAMS:
            is_different = (settings, program) in DIFFERENT
            marks = [pytest.mark.xfail(reason=KEPT, raises=AssertionError, strict=True)]
            found.append(pytest.param(settings, program, marks=marks if is_different else []))
    return found


@pytest.mark.parametrize(("settings", "program"), cases())
def test_program(
    settings: str, program: str, traces: dict[str, list[dict[str, list[Any]]]]
) -> None:
    theirs, ours = (programs[program] for programs in traces[settings])
    assert theirs
    assert settings != "default" or REFERENCE in json.dumps(theirs)
    judge(f"attachments::{settings}::{program}", test_parity.differences(theirs, ours))
