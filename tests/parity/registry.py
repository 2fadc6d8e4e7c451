"""The programs by name, and the way to run them all.

Each trace carries its program's name as the tag `program`. What the programs return is printed, or
how they failed.

Usage: registry.py MODULE TRACKING_URI EXPERIMENT [PROGRAM]...

where the programs are those to leave out.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

# Programs take the module that stands for `mlflow`. They are written as users write them, mostly
# without annotations.
Program = Callable[[Any], object]

FILES = (
    "programs_values",
    "programs_calls",
    "programs_documentation",
    "programs_spans",
    "programs_traces",
    "programs_costs",
    "programs_settings",
)
PROGRAMS: dict[str, Program] = {}
FAILED = "failed: "


def program(function: Program) -> Program:
    PROGRAMS[function.__name__] = function
    return function


def load() -> dict[str, Program]:
    for name in FILES:
        importlib.import_module(name)
    return PROGRAMS


def outcome(function: Program, mlflow: Any) -> str:
    try:
        return repr(function(mlflow))
    except Exception as error:  # noqa: BLE001 - the others go on
        return f"{FAILED}{error!r}"


def main(module: str, uri: str, experiment: str, *others: str) -> None:
    mlflow = importlib.import_module(module)
    importlib.import_module(f"{module}.entities")
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment)
    returned = {}
    programs = {name: run for name, run in load().items() if name not in others}
    for name, function in programs.items():
        with mlflow.tracing.context(tags={"program": name}):
            returned[name] = outcome(function, mlflow)
    # Ours waits for half a minute each time, which a crowded machine may need more than once.
    for _ in range(5):
        mlflow.flush_trace_async_logging()
    mlflow.flush_trace_async_logging(terminate=True)
    json.dump(returned, sys.stdout)


if __name__ == "__main__":
    # The programs register with the importable module, not with `__main__`.
    importlib.import_module("registry").main(*sys.argv[1:])
