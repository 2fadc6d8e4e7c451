"""What the cases of a library are declared with, and how they are run: in a process of their own.

    python case.py LIBRARY TRACKING_URI PREFIX

runs `cases/LIBRARY.py` and prints one line of JSON for each case. The traces of a case go to the
experiment `PREFIX-CASE`. FAKE_PROVIDER is the address of the fake provider.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

URL = os.environ.get("FAKE_PROVIDER", "")
# Where one integration traces several libraries, or versions that have nothing in common.
INTEGRATIONS = {"ag21": "ag2", "langgraph": "langchain", "ollama": "http"}
CASES: dict[str, Callable[[], Any]] = {}


def case(name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Declare a case: a function, plain or asynchronous, that uses the library."""

    def declare(function: Callable[[], Any]) -> Callable[[], Any]:
        assert name not in CASES, f"two cases are called {name}"
        CASES[name] = function
        return function

    return declare


def u(text: str) -> list[dict[str, str]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def run(function: Callable[[], Any]) -> dict[str, Any]:
    """Run one case; what its caller sees is part of what is compared."""
    try:
        result = asyncio.run(function()) if inspect.iscoroutinefunction(function) else function()
    except Exception as error:  # noqa: BLE001 - whatever the library raises
        return {"raised": f"{type(error).__name__}: {error}", "result": None}
    return {"raised": None, "result": None if result is None else str(result)}


def main(library: str, tracking_uri: str, prefix: str) -> None:
    import mlflow_trace

    mlflow_trace.set_tracking_uri(tracking_uri)
    importlib.import_module(f"mlflow_trace.{INTEGRATIONS.get(library, library)}").autolog()
    importlib.import_module(f"cases.{library}")
    for name, function in CASES.items():
        experiment = mlflow_trace.set_experiment(f"{prefix}-{name}")
        seen = run(function)
        mlflow_trace.flush(timeout=30)
        print(
            json.dumps({"case": name, "experiment": experiment.experiment_id, **seen}), flush=True
        )


if __name__ == "__main__":
    # The cases import this module by its name, and not the one that runs.
    sys.modules["case"] = sys.modules["__main__"]
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main(*sys.argv[1:])
