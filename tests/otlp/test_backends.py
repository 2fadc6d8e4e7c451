"""A real collector (rotel) and a real backend (Arize Phoenix) get everything, and say so.

`make collectors` installs them in an environment of their own and runs this.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import story
from receiver import PATIENCE_S, Receiver, until

PYTHON = Path(os.environ.get("COLLECTORS_PYTHON", ".build/collectors/bin/python")).absolute()

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="`make collectors` installs them")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: list[str | Path], log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=story.clean() | environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def delivered(done: dict[str, Any]) -> None:
    assert done["left"] == 0, done
    assert done["stats"]["delivered"] == len(story.EXPECTED)


def test_rotel_forwards_every_span(tmp_path: Path) -> None:
    package = subprocess.check_output(
        [PYTHON, "-c", "import rotel; print(rotel.__path__[0])"], text=True
    )
    port, log = free_port(), tmp_path / "rotel.log"
    with Receiver() as receiver:
        command: list[str | Path] = [
            Path(package.strip()) / "rotel-agent",
            "start",
            f"--otlp-http-endpoint=127.0.0.1:{port}",
            f"--otlp-grpc-endpoint=127.0.0.1:{free_port()}",
            "--exporter=otlp",
            "--otlp-exporter-protocol=http",
            f"--otlp-exporter-endpoint={receiver.url}",
            f"--pid-file={tmp_path / 'rotel.pid'}",
            f"--log-file={tmp_path / 'agent.log'}",
        ]
        with running(command, log) as process:
            until("rotel", lambda: answers(port, process, log))
            done = story.run(
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
                OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
            )
            delivered(done)
            until("the spans", lambda: len(receiver.spans) >= len(story.EXPECTED))
    found = receiver.by_name()
    assert set(found) == set(story.EXPECTED)
    for name, (parent, attributes) in story.EXPECTED.items():
        span = found[name]
        assert f"tr-{span.trace_id}" == done["trace_id"]
        assert span.parent_id == (found[parent].span_id if parent else "")
        assert span.attributes | attributes == span.attributes


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("phoenix")
    port, log = free_port(), directory / "log"
    environment = {
        "PHOENIX_WORKING_DIR": os.fspath(directory),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with running([PYTHON.with_name("phoenix"), "serve"], log, **environment) as process:
        until("Phoenix", lambda: answers(port, process, log), patience=120)
        yield f"http://127.0.0.1:{port}"


def stored(phoenix: str, project: str) -> list[dict[str, Any]]:
    """The spans of a project; none where there is none yet."""
    try:
        with urllib.request.urlopen(f"{phoenix}/v1/projects/{project}/spans?limit=100") as reply:
            spans: list[dict[str, Any]] = json.load(reply)["data"]
            return spans
    except urllib.error.HTTPError as error:
        assert error.code == 404, error
        return []


@pytest.mark.parametrize("semconv", ["false", "true"])
def test_phoenix_stores_every_span(phoenix: str, semconv: str) -> None:
    project = f"project-{semconv}"
    done = story.run(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{phoenix}/v1/traces",
        OTEL_RESOURCE_ATTRIBUTES=f"openinference.project.name={project}",
        MLFLOW_ENABLE_OTEL_GENAI_SEMCONV=semconv,
    )
    delivered(done)

    def all_of_it() -> list[dict[str, Any]] | None:
        spans = stored(phoenix, project)
        return spans if len(spans) >= len(story.EXPECTED) else None

    spans = until("the spans", all_of_it)
    assert len(spans) == len(story.EXPECTED)
    assert {f"tr-{span['context']['trace_id']}" for span in spans} == {done["trace_id"]}
    ids = {span["name"]: span["context"]["span_id"] for span in spans}
    if semconv == "true":
        # The model is in the inputs only, where MLflow's servers and not its SDKs look for it.
        names = {
            "answer": "invoke_agent answer",
            "search": "execute_tool search",
            "call": "chat",
        }
    else:
        names = {name: name for name in story.EXPECTED}
    by_name = {span["name"]: span for span in spans}
    for name, (parent, attributes) in story.EXPECTED.items():
        span = by_name[names[name]]
        assert span["parent_id"] == (ids[names[parent]] if parent else None)
        assert span["status_code"] == "OK"
        found = span["attributes"]
        if semconv == "false":
            assert found | attributes == found
        else:
            assert not [key for key in found if key.startswith("mlflow.span")]
    if semconv == "true":
        messages = json.loads(by_name["chat"]["attributes"]["gen_ai.input.messages"])
        assert messages == [{"role": "user", "parts": [{"type": "text", "content": "héllo"}]}]
