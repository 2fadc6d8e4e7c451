"""The server fixture as a Makefile uses it: exit codes, failures and clean ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import mlflow_server
import pytest

PROGRAM = [sys.executable, mlflow_server.__file__, "run"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=150
    )


def test_the_command_gets_a_server_and_its_exit_code_is_handed_on() -> None:
    script = f"import os, mlflow_server as m; u = os.environ['{mlflow_server.SERVER_VARIABLE}'];"
    script += "print(u); raise SystemExit(7 if m.answers(u + '/health') else 1)"
    folder = str(Path(mlflow_server.__file__).parent)
    done = run("--", "env", f"PYTHONPATH={folder}", sys.executable, "-c", script)
    assert done.returncode == 7, done.stderr
    assert not mlflow_server.answers(done.stdout.strip() + "/health")


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]
        done = run("--port", str(port), "--", "true")
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr


def test_a_missing_command_is_a_usage_error() -> None:
    assert run("--").returncode == 2


def test_a_server_that_exits_is_reported_with_its_log() -> None:
    server = mlflow_server.MlflowServer(python="/bin/false")
    with pytest.raises(mlflow_server.ServerError, match="exited with code 1"), server:
        pass
    assert not server.directory.exists()


def test_a_signal_stops_the_command_and_the_server() -> None:
    with subprocess.Popen(
        [*PROGRAM, "--", "sh", "-c", f"echo $$ ${mlflow_server.SERVER_VARIABLE}; exec sleep 600"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        pid, url = process.stdout.readline().split()
        assert mlflow_server.answers(f"{url}/health")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert not mlflow_server.answers(f"{url}/health")
