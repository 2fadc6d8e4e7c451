"""The agent of the documentation: with ours as with MLflow's own integration, the same traces."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from compare import difference, ordered
from deviations import expected
from trees import from_server

AGENT = Path(__file__).resolve().parents[2] / "examples" / "python" / "agent.py"
CITIES = 3


def run(module: str, mlflow_url: str, environment: dict[str, str]) -> list[dict[str, Any]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_url)
    experiment = client.create_experiment(f"agent-{module}-{uuid.uuid4().hex[:8]}")
    finished = subprocess.run(
        [sys.executable, "-c", AGENT.read_text().replace("mlflow_trace", module)],
        env=environment | {"MLFLOW_TRACKING_URI": mlflow_url, "MLFLOW_EXPERIMENT_ID": experiment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert len(finished.stdout.splitlines()) == CITIES
    traces = client.search_traces(locations=[experiment], max_results=20)
    return [from_server(trace) for trace in traces]


def test_the_agent_gives_the_traces_that_mlflow_gives(
    mlflow_url: str, environment: dict[str, str]
) -> None:
    ours = run("mlflow_trace", mlflow_url, environment)
    theirs, _ = expected(run("mlflow", mlflow_url, environment))
    assert len(ours) == CITIES
    for trace in ours:
        (agent,) = trace["spans"]
        assert sorted(span["type"] for span in agent["children"]) == [
            "CHAT_MODEL",
            "CHAT_MODEL",
            "TOOL",
        ]
    if lines := difference("traces", ordered(theirs), ordered(ours)):
        pytest.fail("\n".join(lines), pytrace=False)
