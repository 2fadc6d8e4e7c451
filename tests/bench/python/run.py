"""Measures the Python package beside MLflow's SDK and OpenTelemetry's, peers in turns, a process each.

Usage: run.py [--quick]
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
PEERS = ("ours", "opentelemetry", "mlflow")
SPANS = ("W1", "W2", "W3", "W3d", "decorated", "decorated async", "generator of 1,000 items")
VALUES = tuple(f"value {size}" for size in (10_000, 1_000_000, 10_000_000))
# Nanoseconds, and how many times faster than each peer (shared figures of the project's design).
TARGETS = {"W1": 900, "W2": 2_000, "W3": 2_500, "W3d": 4_500, "decorated": 2_000}
FASTER = {"W2": {"opentelemetry": 15, "mlflow": 50}}


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OTEL_"))}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true"}


def python(*arguments: str, timeout: float = 600) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


def spans(rounds: int) -> None:
    print(f"{'ns':26}" + "".join(f"{peer:>16}" for peer in PEERS) + "   ours is faster by")
    for work in (*SPANS, *VALUES):
        costs = {}
        for peer in PEERS:
            costs[peer] = float(python(str(HERE / "peers.py"), peer, work, str(rounds)))
        ratios = {peer: costs[peer] / costs["ours"] for peer in PEERS[1:]}
        line = f"{work:26}" + "".join(f"{costs[peer]:16,.0f}" for peer in PEERS)
        line += "   " + ", ".join(f"{ratio:.1f}x" for ratio in ratios.values())
        missed = [
            f"{peer} {ratios[peer]:.1f}x of {target}x"
            for peer, target in FASTER.get(work, {}).items()
            if ratios[peer] < target
        ]
        if costs["ours"] > TARGETS.get(work, costs["ours"]):
            missed.insert(0, f"{TARGETS[work]:,} ns")
        print(line + (f"   misses {', '.join(missed)}" if missed else ""), flush=True)


def imports(times: int) -> None:
    base = statistics.median(wall("pass") for _ in range(times))
    for module in ("mlflow_trace", "opentelemetry.sdk.trace.export", "mlflow"):
        took = statistics.median(wall(f"import {module}") for _ in range(times))
        print(f"import of {module:32} {1000 * (took - base):7.0f} ms")


def wall(code: str) -> float:
    start = time.monotonic()
    python("-c", code)
    return time.monotonic() - start


@contextmanager
def black_hole() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def exits() -> None:
    code = """
import sys, time
import mlflow_trace as mlflow
mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_span("x"):
    pass
print(time.monotonic(), flush=True)
"""
    with black_hole() as uri:
        said = float(python("-c", code, uri))
        print(
            f"exit with one trace pending on a black-hole server {time.monotonic() - said:6.2f} s"
        )


END_TO_END = """
import json, sys, time
sys.path.insert(0, sys.argv[2])
import peers
import mlflow_trace as mlflow
mlflow.configure(tracking_uri=sys.argv[1], experiment_id="0", queue_max_bytes=2**30)
peer = peers.Mlflow.__new__(peers.Mlflow)
peer.module = mlflow
work, parts = peers.works(peer, "W3")
count = int(sys.argv[3])
start = time.perf_counter()
for _ in range(count):
    work()
recorded = time.perf_counter() - start
left = mlflow.flush(timeout=60)
took = time.perf_counter() - start
stats = mlflow.stats()
print(json.dumps([count * parts / took, count * parts / recorded, left, sum(stats["dropped"].values())]))
"""


def end_to_end(sink: str, traces: int) -> None:
    out = python("-c", END_TO_END, sink, str(HERE), str(traces))
    rate, recorded, left, dropped = json.loads(out.splitlines()[-1])
    print(
        f"W4 of W3 spans, {traces:,} traces: {rate:,.0f} spans/s end to end "
        f"({recorded:,.0f} recorded), {left} left, {dropped} dropped"
    )


class Sink:
    """Takes whatever an exporter sends, and answers as an MLflow server would."""

    def __init__(self) -> None:
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen(64)
        self.uri = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._server.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffered = connection.makefile("rb")
        while line := buffered.readline():
            path = line.split(b" ")[1]
            length = 0
            while (header := buffered.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = buffered.read(length)
            answer = b"3.17.2" if path == b"/version" else b"{}"
            if path.endswith(b"/mlflow/traces"):
                answer = body.replace(
                    b'"tags":{', b'"tags":{"mlflow.trace.spansLocation":"TRACKING_STORE",'
                )
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}"
            connection.sendall(head.encode() + b"\r\n\r\n" + answer)


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    print(f"load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    spans(rounds=1 if quick else 5)
    imports(times=3 if quick else 9)
    exits()
    end_to_end(os.environ.get("MLFLOW_TRACE_SINK") or Sink().uri, 1_000 if quick else 10_000)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
