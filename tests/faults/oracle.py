"""The oracle sink for tests in Python: start it, tell it what to do wrong, read its ledger.

    with Oracle() as oracle:
        mlflow_trace.configure(tracking_uri=oracle.url)
        oracle.faults({"rules": [{"on": "spans", "do": {"status": {"code": 503}}, "times": 2}]})

`src/script.rs` says what a script may hold, `src/control.rs` what there is to ask for.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = "MLFLOW_TRACE_ORACLE_SINK"


def program() -> Path:
    """The sink that the variable names, or the one that was built last."""
    named = os.environ.get(PROGRAM)
    if named:
        return Path(named)
    built = list((REPOSITORY / "target").glob("**/oracle-sink"))
    if not built:
        raise FileNotFoundError("cargo build -p mlflow-trace-faults --bin oracle-sink")
    return max(built, key=lambda path: path.stat().st_mtime)


class Oracle:
    """A running sink; it ends with the `with` block, or with this process."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [program(), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self._control = self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def faults(self, script: dict[str, Any]) -> None:
        """Put a script in the place of the one before."""
        self._ask("POST", "/__faults", script)

    def ledger(self) -> dict[str, Any]:
        """What the sink took on, by trace and span, and every request."""
        return self._ask("GET", "/__ledger")

    def stats(self) -> dict[str, Any]:
        """Counters."""
        return self._ask("GET", "/__stats")

    def reset(self) -> None:
        """Forget ledger and counters."""
        self._ask("POST", "/__reset")

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self._control + path, data, method=method), timeout=30) as reply:
            answer: dict[str, Any] = json.load(reply)
        return answer
