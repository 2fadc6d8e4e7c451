"""The command `mlflow-trace` with a real server: what files hold arrives there once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = os.environ.get("MLFLOW_TRACE_COMMAND", "mlflow-trace")

PROGRAM = """
import mlflow_trace

for number in range(5):
    with mlflow_trace.start_span(f"answer {number}") as root:
        root.set_inputs({"number": number})
        with mlflow_trace.start_span("below"):
            pass
mlflow_trace.shutdown()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )


def record(directory: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment["MLFLOW_TRACE_FILE_DIRECTORY"] = str(directory)
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60, env=environment)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_files_are_sent_once(server_url: str, tmp_path: Path) -> None:
    record(tmp_path)
    local = lines(run("list", "-d", str(tmp_path), "--json").stdout)
    assert len(local) == 5
    experiment = f"sent-{uuid.uuid4().hex}"
    send = ("send", str(tmp_path), "-u", server_url, "-e", experiment, "--json")

    first = run(*send)
    assert first.returncode == 0, first.stderr
    assert lines(first.stdout)[0]["sent"] == 5
    listed = lines(run("list", "-u", server_url, "-e", experiment, "--json").stdout)
    assert {trace["trace_id"] for trace in listed} == {trace["trace_id"] for trace in local}

    client = MlflowClient(server_url)
    wanted = local[0]
    stored = client.get_trace(wanted["trace_id"])
    assert sorted(span.name for span in stored.data.spans)[1] == "below"
    assert stored.info.state == wanted["state"]
    assert stored.info.tags["mlflow.traceName"] == wanted["tags"]["mlflow.traceName"]
    root = next(span for span in stored.data.spans if span.parent_id is None)
    assert root.inputs == {"number": int(root.name.split()[1])}

    # Deleted on the server, and gone from the files' point of view as well: it does not come back.
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    client.delete_traces(found.experiment_id, trace_ids=[wanted["trace_id"]])
    again = run(*send)
    assert (again.returncode, lines(again.stdout)[0]["sent"]) == (0, 0)
    left = lines(run("list", "-u", server_url, "-e", experiment, "--json").stdout)
    assert len(left) == 4

    # Without what was noted, the server is asked, and only what it lacks is sent.
    for ledger in tmp_path.glob(".sent-*"):
        ledger.unlink()
    last = lines(run(*send).stdout)[0]
    assert (last["sent"], last["already_there"]) == (1, 4)


def test_a_healthy_server_is_found_healthy(server_url: str) -> None:
    done = run("doctor", "-u", server_url, "--json")
    assert done.returncode == 0, done.stdout
    findings = {finding["subject"]: finding for finding in lines(done.stdout)[0]["findings"]}
    assert {"server", "version", "credentials", "experiment"} <= findings.keys()
    assert all(finding["severity"] == "ok" for finding in findings.values()), findings


def test_the_server_s_own_words(server_url: str) -> None:
    unknown = run("show", "tr-00000000000000000000000000000000", "-u", server_url)
    assert unknown.returncode == 3
    wrong = run("search", "nonsense ~ 1", "-u", server_url)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("mlflow-trace: ")
