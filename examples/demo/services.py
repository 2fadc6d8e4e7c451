"""Starts the three services of the demo, asks questions, and stops the services."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

DEMO = Path(__file__).resolve().parent
REPOSITORY = DEMO.parent.parent
RETRIEVAL_PROGRAM = REPOSITORY / ".build" / "demo" / "retrieval"
NODE_PACKAGE = DEMO / "frontend" / "node_modules" / "mlflow-trace"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


class DemoError(RuntimeError):
    """Something the reader of the demo can act upon."""


@dataclass(frozen=True)
class Reply:
    trace_id: str
    body: dict[str, Any]


class Service:
    """A process that prints its address first and, once stopped, how many spans are pending."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        self.name = name
        # A session of its own: Ctrl-C reaches only the demo, which stops the services in order.
        self._process = subprocess.Popen(
            command,
            env={**environment, "OTEL_SERVICE_NAME": name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            self.url = self._first_line()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        report(f"{name} listens on {self.url}")

    def _first_line(self) -> str:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            ready = selector.select(START_TIMEOUT_S)
        line = self._process.stdout.readline().strip() if ready else ""
        if not line.startswith("http://"):
            raise DemoError(f"the {self.name} service did not start")
        return line

    def stop(self) -> None:
        """Let the service finish, flush and exit. Raises DemoError when spans were left behind."""
        self._process.terminate()
        try:
            output, _ = self._process.communicate(timeout=STOP_TIMEOUT_S)
        except BaseException as error:
            self._process.kill()
            self._process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise DemoError(f"the {self.name} service did not stop") from None
            raise
        last = output.strip().rsplit("\n", 1)[-1]
        if self._process.returncode != 0 or last != "pending spans: 0":
            raise DemoError(
                f"the {self.name} service ended with code {self._process.returncode}: {last}"
            )


class Services:
    """The front end in Node, the agent in Python and the retrieval in C++, each on a free port."""

    def __init__(
        self, settings: Mapping[str, str], retrieval_program: Path = RETRIEVAL_PROGRAM
    ) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OTEL_"))}
        self._environment = {**inherited, **settings}
        self._retrieval_program = retrieval_program
        # Last in, first out: the front end stops first, so that no request meets a stopped service.
        # Every service is stopped, even when a signal interrupts the stopping of another.
        self._stops = ExitStack()

    def __enter__(self) -> Self:
        with self._stops:
            passages = str(DEMO / "passages.jsonl")
            retrieval = self._start("retrieval", [str(self._retrieval_program), passages])
            agent = [sys.executable, str(DEMO / "agent" / "agent.py"), "--retrieval", retrieval.url]
            agent_url = self._start("agent", agent).url
            frontend = ["node", str(DEMO / "frontend" / "server.mjs"), "--agent", agent_url]
            self._frontend = self._start("frontend", frontend)
            self._stops = self._stops.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stops.close()

    def _start(self, name: str, command: list[str]) -> Service:
        service = Service(name, command, self._environment)
        self._stops.callback(service.stop)
        return service

    def ask(self, question: str) -> Reply:
        request = urllib.request.Request(
            f"{self._frontend.url}/ask",
            data=json.dumps({"question": question}).encode(),
            headers={
                "Content-Type": "application/json",
                "X-Session-Id": "demo-session",
                "X-User-Id": "demo-user",
            },
        )
        started = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                body = json.load(response)
                trace_id = response.headers["x-trace-id"]
        except urllib.error.HTTPError as error:
            raise DemoError(
                f"the front end answered {error.code}: {error.read().decode()}"
            ) from None
        report(f"answered in {(time.monotonic() - started) * 1000:.0f} ms, trace {trace_id}")
        return Reply(trace_id, body)


def check_built(retrieval_program: Path) -> None:
    """Raise DemoError when one of the three bindings has not been built."""
    missing = []
    if not retrieval_program.exists():
        missing.append("the C++ retrieval service")
    if not (NODE_PACKAGE / "dist" / "index.js").exists():
        missing.append("the Node binding")
    probe = [sys.executable, "-c", "import mlflow_trace"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        missing.append("the Python binding")
    if missing:
        raise DemoError(f"not built: {', '.join(missing)}; run `make build` first")


def report(message: str) -> None:
    print(f"  {message}", flush=True)
