"""One measurement in a process of its own; prints JSON.

Usage: measure.py cost LIBRARY WORK SECONDS | measure.py export LIBRARY URL TRACES
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

from peers import peer
from works import WORKS, trace10

STRETCHES = 5


def cost(library: str, name: str, seconds: float) -> dict[str, float]:
    """Nanoseconds for which this thread was on a processor, and the whole process with its other threads.

    What other processes do beside it is not in it.
    """
    run, parts = WORKS[name](peer(library))
    # The first calls set up what the later ones use.
    for _ in range(3):
        run()
    start = time.thread_time_ns()
    run()
    once = max(time.thread_time_ns() - start, 1)
    calls = max(int(seconds * 1e9 / STRETCHES / once), 1)
    threads, processes = [], []
    for _ in range(STRETCHES):
        thread, process = time.thread_time_ns(), time.process_time_ns()
        for _ in range(calls):
            run()
        threads.append((time.thread_time_ns() - thread) / calls / parts)
        processes.append((time.process_time_ns() - process) / calls / parts)
    return {"thread": statistics.median(threads), "process": statistics.median(processes)}


def export(library: str, url: str, traces: int) -> dict[str, float]:
    """Traces of 10 spans of W3 as fast as they can be recorded, until all is exported."""
    sender = peer(library, url)
    run, spans = trace10(sender)
    run()
    sender.flush()
    start, busy = time.monotonic(), time.process_time()
    for _ in range(traces):
        run()
    recorded = time.monotonic() - start
    sender.flush()
    took = time.monotonic() - start
    return {
        "rate": traces * spans / took,
        "recorded": traces * spans / recorded,
        "cpu_ns": 1e9 * (time.process_time() - busy) / traces / spans,
        "lost": sender.lost(),
    }


def main(what: str, library: str, *arguments: str) -> None:
    name, number = arguments
    result = (
        cost(library, name, float(number)) if what == "cost" else export(library, name, int(number))
    )
    print(json.dumps(result), flush=True)
    # What is still to be exported is none of this.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
