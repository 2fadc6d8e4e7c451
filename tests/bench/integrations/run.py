"""Measures what tracing adds to a call of a client library, beside MLflow's own integrations.

Usage: run.py [--quick]
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

from calls import CASES

HERE = Path(__file__).parent
PROVIDER = HERE.parents[1] / "integrations" / "fake_providers.py"
PEERS = ("ours", "mlflow")


def environment(url: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OTEL_"))}
    return kept | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "FAKE_PROVIDER": url,
        "NO_PROXY": "127.0.0.1",
    }


def measure(peer: str, case: str, blocks: int, url: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(HERE / "calls.py"), peer, case, str(blocks)],
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    rounds, blocks = (1, 10) if quick else (3, 20)
    print(f"load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    print(
        "microseconds: the call without tracing, what tracing adds to its thread's processor time"
    )
    print(f"{'':30}{'call':>8}{'ours':>8}{'mlflow':>8}   ours of mlflow    added to the wait")
    command = [sys.executable, str(PROVIDER), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as provider:
        assert provider.stdout is not None
        url = provider.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        try:
            for case in CASES:
                try:
                    line(case, rounds, blocks, url)
                except RuntimeError as error:
                    # An integration of MLflow's may need packages that are not here.
                    print(f"{case:30}not measured: {str(error).strip().splitlines()[-1][:150]}")
        finally:
            provider.terminate()
    print(f"load {os.getloadavg()[0]:.1f}")


def line(case: str, rounds: int, blocks: int, url: str) -> None:
    taken: dict[str, list[dict[str, float]]] = {peer: [] for peer in PEERS}
    for _ in range(rounds):
        for peer in PEERS:
            taken[peer].append(measure(peer, case, blocks, url))

    def median(peer: str, what: str) -> float:
        return statistics.median(each[what] for each in taken[peer])

    ours, mlflow = (median(peer, "cpu") for peer in PEERS)
    waits = ", ".join(f"{median(peer, 'wall'):.0f}" for peer in PEERS)
    call = median("ours", "call")
    print(
        f"{case:30}{call:8.0f}{ours:8.0f}{mlflow:8.0f}{ours / mlflow:13.2f}        {waits}",
        flush=True,
    )


if __name__ == "__main__":
    main()
