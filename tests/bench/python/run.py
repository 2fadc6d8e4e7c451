"""Measures the Python package beside OpenTelemetry's and MLflow's SDKs, in turns, a process each.

Writes docs/bench/python.md.

Usage: run.py [--quick]
"""

from __future__ import annotations

import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from report import Figures, report
from works import WORKS

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "faults"))

from oracle import Oracle

QUICK = "--quick" in sys.argv[1:]
ROUNDS = 1 if QUICK else 5
SECONDS = 0.5 if QUICK else 1.5
IMPORTS = 3 if QUICK else 15
PEERS = ("ours", "opentelemetry", "mlflow")
# Each library as many as it exports in some seconds.
TRACES = {"ours": 20_000, "ours, full": 5_000, "opentelemetry": 2_000, "mlflow": 200}
MODULES = {
    "ours": "mlflow_trace",
    "opentelemetry": "opentelemetry.sdk.trace.export",
    "mlflow": "mlflow",
}
T = TypeVar("T")


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OTEL_"))}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACE_QUIET": "true"}


def python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


def measure(*arguments: object) -> Any:
    return json.loads(python(str(HERE / "measure.py"), *map(str, arguments)).splitlines()[-1])


def in_turns(peers: Sequence[str], rounds: int, take: Callable[[str], T]) -> dict[str, list[T]]:
    """Each of them in every round, so that what else the machine does meets all."""
    found: dict[str, list[T]] = {peer: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            found[peer].append(take(peer))
    return found


def costs() -> dict[str, dict[str, dict[str, float]]]:
    table = {}
    for work in WORKS:

        def take(peer: str, work: str = work) -> dict[str, float]:
            found: dict[str, float] = measure("cost", peer, work, SECONDS)
            return found

        found = in_turns(PEERS, ROUNDS, take)
        table[work] = {
            peer: {of: statistics.median(each[of] for each in found[peer]) for of in found[peer][0]}
            for peer in PEERS
        }
        shown = "".join(f"{cost['thread']:16,.0f}" for cost in table[work].values())
        print(f"{work:26}{shown}", flush=True)
    return table


def exported(peer: str) -> dict[str, float]:
    traces = TRACES[peer] // (10 if QUICK else 1)
    with Oracle("--count-only") as oracle:
        result: dict[str, float] = measure("export", peer, oracle.url, traces)
        spans = oracle.stats()["spans"]
    return result | {"missing": 10 * (traces + 1) - spans}


def end_to_end() -> dict[str, dict[str, float]]:
    found = in_turns(tuple(TRACES), ROUNDS, exported)
    middle = {
        peer: sorted(runs, key=lambda run: run["rate"])[len(runs) // 2]
        for peer, runs in found.items()
    }
    for peer, run in middle.items():
        # A run that lost something must not hide behind one that did not.
        for count in ("lost", "missing"):
            run[count] = max(each[count] for each in found[peer])
        print(f"W4 {peer:23}{run['rate']:16,.0f} spans/s", flush=True)
    return middle


def imports() -> dict[str, float]:
    """Milliseconds of processor time of a process that imports and ends, and of one that only ends."""

    def take(peer: str) -> float:
        code = f"import {MODULES[peer]}" if peer in MODULES else "pass"
        before = children()
        python("-c", code)
        return 1000 * (children() - before)

    found = in_turns(("interpreter", *PEERS), IMPORTS, take)
    result = {peer: statistics.median(taken) for peer, taken in found.items()}
    print("import", result, flush=True)
    return result


def children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def black_hole() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


EXIT = """
import sys, time
import mlflow_trace as mlflow
mlflow.configure(tracking_uri=sys.argv[1], experiment_id="0")
with mlflow.start_span("x"):
    pass
print(time.monotonic(), flush=True)
"""


def exit_seconds() -> float:
    taken = []
    for _ in range(ROUNDS):
        with black_hole() as uri:
            said = float(python("-c", EXIT, uri).splitlines()[-1])
            taken.append(time.monotonic() - said)
    return statistics.median(taken)


def main() -> None:
    before = os.getloadavg()
    figures = Figures(
        is_quick=QUICK,
        rounds=ROUNDS,
        costs=costs(),
        export=end_to_end(),
        imports=imports(),
        exit=exit_seconds(),
        load=(before, os.getloadavg()),
    )
    path = REPOSITORY / "docs" / "bench" / "python.md"
    path.write_text(report(figures))
    print(f"{path.relative_to(REPOSITORY)} is written")


if __name__ == "__main__":
    main()
