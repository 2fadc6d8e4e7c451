"""One real MLflow server on a free loopback port, for tests and for the demo.

From a shell or a Makefile:

    python tests/server/mlflow_server.py run [--keep] [--port N] [--python PATH] -- COMMAND...

starts the server, waits until it answers, runs COMMAND with the server's address
in ``MLFLOW_TRACE_TEST_SERVER``, stops the server and returns COMMAND's exit code.
The server is the MLflow of the Python at PATH, or of the one that runs this.

From Python: ``with MlflowServer() as server: server.url``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

SERVER_VARIABLE = "MLFLOW_TRACE_TEST_SERVER"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
LOG_TAIL_LINES = 40

# Neither the server nor a client started beside it may look anything up outside this machine.
OFFLINE_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "GIT_PYTHON_REFRESH": "quiet",
}


class ServerError(RuntimeError):
    """The server could not be started; the message holds the tail of its log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def stop_group(process: subprocess.Popen[bytes], timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Terminate a process started in its own session, and everything it started."""
    alive = signal_group(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    try:
        while alive and time.monotonic() < deadline:
            process.poll()  # a zombie would count as alive
            time.sleep(0.05)
            alive = signal_group(process.pid, 0)
    finally:
        if alive:
            signal_group(process.pid, signal.SIGKILL)
        process.wait()


def signal_group(group: int, number: int) -> bool:
    """Send a signal (0 only asks); False when the group has no process left."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


class MlflowServer:
    """``mlflow server`` with one worker, SQLite and a local artifact directory."""

    def __init__(self, port: int = 0, keep: bool = False, python: str = sys.executable) -> None:
        self.port = port or free_port()
        self.keep = keep
        self.python = python
        self.url = f"http://127.0.0.1:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="mlflow-server-"))
        self.log_path = self.directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until ``/health`` answers.

        Raises ServerError when the server exits or stays silent for two minutes.
        """
        if not is_free(self.port):
            raise ServerError(f"port {self.port} of 127.0.0.1 is in use")
        command = [self.python, "-m", "mlflow", "server"]
        command += ["--backend-store-uri", f"sqlite:///{self.directory}/mlflow.db"]
        command += ["--artifacts-destination", str(self.directory / "artifacts")]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_healthy(self._process)

    def stop(self) -> None:
        """Stop the whole process group and remove the data unless ``keep`` was set."""
        try:
            if self._process is not None:
                stop_group(self._process)
                self._process = None
        finally:
            if self.keep:
                report(f"kept the server's data in {self.directory}")
            else:
                shutil.rmtree(self.directory, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        # A tracking URI or an experiment of the caller must not reach the server.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OTEL_"))}
        return inherited | OFFLINE_ENVIRONMENT | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def _wait_until_healthy(self, process: subprocess.Popen[bytes]) -> None:
        started = time.monotonic()
        announced = started
        report(f"starting MLflow on {self.url} ...")
        while not answers(f"{self.url}/health"):
            now = time.monotonic()
            if process.poll() is not None:
                self._fail(f"exited with code {process.returncode}")
            if now - started > START_TIMEOUT_S:
                self._fail(f"did not answer within {START_TIMEOUT_S:.0f} s")
            if now - announced >= 5:
                report(f"still starting after {now - started:.0f} s ...")
                announced = now
            time.sleep(0.2)
        report(f"MLflow answers after {time.monotonic() - started:.1f} s")

    def _fail(self, reason: str) -> NoReturn:
        lines = self.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        raise ServerError(f"MLflow {reason}; the end of its log:\n" + "\n".join(lines))


def answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def report(message: str) -> None:
    print(f"mlflow-server: {message}", file=sys.stderr, flush=True)


ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def shared_or_own() -> Iterator[str]:
    """The URL of the server that the suites share, or of one that runs meanwhile."""
    shared = os.environ.get(SERVER_VARIABLE)
    if shared:
        yield shared
    else:
        with MlflowServer() as server:
            yield server.url


@contextmanager
def signals_as_exit() -> Iterator[None]:
    """Turn the first ending signal into SystemExit and ignore the next ones, so that whatever was
    started is always stopped."""

    def leave(number: int, _frame: FrameType | None) -> None:
        for ending in ENDING_SIGNALS:
            signal.signal(ending, signal.SIG_IGN)
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, leave) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_command(command: list[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end; on a signal to us, hand it on and wait for the command."""
    try:
        process = subprocess.Popen(command, env=dict(environment))
    except OSError as error:
        report(f"cannot run {command[0]}: {error.strerror}")
        return 127
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    return code if code >= 0 else 128 - code


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    actions = parser.add_subparsers(dest="action", required=True)
    run = actions.add_parser("run", help="run a command against a fresh server")
    run.add_argument("--port", type=int, default=0, help="0, the default: any free port")
    run.add_argument("--keep", action="store_true", help="keep the server's data and log")
    run.add_argument("--python", default=sys.executable, help="of another version of MLflow")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND...")
    options = parser.parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("no COMMAND given after --")
    try:
        with signals_as_exit(), MlflowServer(options.port, options.keep, options.python) as server:
            return run_command(
                command, os.environ | OFFLINE_ENVIRONMENT | {SERVER_VARIABLE: server.url}
            )
    except ServerError as error:
        report(str(error))
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
