"""The servers, the environment of the cases, and the table at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "server")]

import fake_providers
from mlflow_server import OFFLINE_ENVIRONMENT, shared_or_own
from trees import from_server, plain

OWN_ENVIRONMENT = {path.stem.removeprefix("requirements-") for path in HERE.glob("requirements-*")}
Table = dict[tuple[str, str], str]
table: Table = {}


@pytest.fixture(scope="session")
def mlflow_url() -> Iterator[str]:
    """The server that the suites share, or one of this session's own."""
    with shared_or_own() as url:
        yield url


@pytest.fixture(scope="session")
def provider_url() -> Iterator[str]:
    """The fake provider, which answers each request by what it holds alone."""
    with fake_providers.running() as url:
        yield url


@pytest.fixture(scope="session")
def environment(provider_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a client needs in order to reach the fake provider, and none of the caller's settings."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OTEL_", "OPENAI_"))}
    return (
        own
        | OFFLINE_ENVIRONMENT
        | {
            "FAKE_PROVIDER": provider_url,
            "OPENAI_BASE_URL": f"{provider_url}/v1",
            "OPENAI_API_KEY": "fake",
            "ANTHROPIC_BASE_URL": provider_url,
            "ANTHROPIC_API_KEY": "fake",
            "GEMINI_API_KEY": "fake",
            "NO_PROXY": "127.0.0.1",
            "AG2_TELEMETRY": "false",
            "AGNO_TELEMETRY": "false",
            "CREWAI_DISABLE_TELEMETRY": "true",
            "CREWAI_STORAGE_DIR": str(tmp_path_factory.mktemp("crewai")),
            "CREWAI_TRACING_ENABLED": "false",
            "LANGSMITH_TRACING": "false",
            "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        }
    )


@pytest.fixture(scope="session")
def recorded(mlflow_url: str, environment: dict[str, str]) -> Callable[[str], dict[str, Any]]:
    """What was recorded for the cases of a library; they are run once."""
    known: dict[str, dict[str, Any]] = {}

    def of(library: str) -> dict[str, Any]:
        if library not in known:
            known[library] = run_cases(library, mlflow_url, environment)
        return known[library]

    return of


def interpreter(library: str) -> str:
    """The Python of a library: its own where it cannot be installed beside the others.

    INTEGRATIONS_PYTHON is another one, to try other versions.
    """
    own = HERE.parents[1] / ".build" / f"integrations-{library}" / "bin" / "python"
    usual = str(own) if library in OWN_ENVIRONMENT else sys.executable
    return os.environ.get("INTEGRATIONS_PYTHON", usual)


def run_cases(library: str, mlflow_url: str, environment: dict[str, str]) -> dict[str, Any]:
    from mlflow import MlflowClient

    command = [interpreter(library), str(HERE / "case.py"), library, mlflow_url]
    command.append(f"{library}-{uuid.uuid4().hex[:8]}")
    finished = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    lines = [json.loads(line) for line in finished.stdout.splitlines() if line.startswith("{")]
    client = MlflowClient(tracking_uri=mlflow_url)
    found = {}
    for line in lines:
        traces = client.search_traces(locations=[line["experiment"]], max_results=20)
        found[line["case"]] = {**plain(line), "traces": [from_server(trace) for trace in traces]}
    # A case that ends the process shows here; a warning of the package, in the library's test.
    found[""] = {"code": finished.returncode, "stderr": finished.stderr}
    return found


@pytest.fixture
def verdicts() -> Table:
    """Where a test notes how a case compares, for the table."""
    return table


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--libraries", help="run the cases of these alone, for instance openai,gemini")
    parser.addoption(
        "--names-and-types",
        action="store_true",
        help="compare no more than that, for other versions of a library",
    )
    parser.addoption(
        "--write-better", action="store_true", help="write what differs to better/, for a review"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not table:
        return
    terminalreporter.section("cases beside MLflow's own integrations")
    for (library, case), verdict in sorted(table.items()):
        terminalreporter.line(f"{library:11} {case:40} {verdict}")
    kinds = [verdict.partition(":")[0] for verdict in table.values()]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    terminalreporter.line(f"{len(table)} cases: {counts}")
