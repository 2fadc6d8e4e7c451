"""Records traces and ends as its first argument says. Prints each trace id when that trace's end has returned.

Usage: recorder.py ENDING COUNT
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys

import mlflow_trace as mlflow

WORKERS = 4


def record(number: int) -> None:
    with mlflow.start_span(f"trace {number}") as root, mlflow.start_span("step") as step:
        step.set_inputs({"number": number})
    os.write(1, f"{root.trace_id}\n".encode())


def record_in_workers(count: int, are_terminated: bool) -> None:
    # Some programs have recorded before they fork; what they have open then is none of the workers' business.
    mlflow.configure()
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        pool.map(record, range(count), chunksize=1)
        if not are_terminated:
            pool.close()
            pool.join()


def main(ending: str, count: int) -> None:
    if ending.startswith("pool"):
        record_in_workers(count, are_terminated=ending == "pool terminated")
        return
    for number in itertools.count() if ending == "recording" else range(count):
        record(number)
    match ending:
        case "SIGTERM" | "SIGKILL":
            os.kill(os.getpid(), signal.Signals[ending])
        case "_exit":
            os._exit(0)


main(sys.argv[1], int(sys.argv[2]))
