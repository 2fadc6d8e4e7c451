"""Programs that annotate and read, and the way to run them all.

Those that annotate work on traces of their own; what they return has names in place of ids and
times. Those that read return what one client reads of one experiment, as it is.

Usage: reading.py MODULE annotate|read TRACKING_URI EXPERIMENT_ID
"""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

Program = Callable[[Any, str], object]

ANNOTATING: dict[str, Program] = {}
READING: dict[str, Program] = {}
FAILED = "failed: "
FILES = (
    "programs_annotations",
    "programs_reviewing",
    "programs_reading",
    "programs_searching",
)


def annotates(function: Program) -> Program:
    ANNOTATING[function.__name__] = function
    return function


def reads(function: Program) -> Program:
    READING[function.__name__] = function
    return function


def load() -> None:
    for name in FILES:
        importlib.import_module(name)


def shown(value: Any) -> Any:
    """Make plain JSON of entities."""
    for name in ("to_dict", "to_dictionary"):
        if hasattr(value, name) and not isinstance(value, type):
            plain = getattr(value, name)()
            if name == "to_dictionary" and hasattr(value, "source"):
                plain["class"] = type(value).__name__
                plain["run_id"] = value.run_id
            return plain
    if hasattr(value, "lifecycle_stage"):
        names = (
            "experiment_id",
            "name",
            "artifact_location",
            "lifecycle_stage",
            "tags",
        )
        return {name: getattr(value, name) for name in (*names, "creation_time")}
    if isinstance(value, dict):
        return {str(key): shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)


def raised(function: Callable[..., object], *arguments: Any, **named: Any) -> Any:
    """Return what is said when a call fails, without the code that MLflow puts before it."""
    try:
        return ["returned", shown(function(*arguments, **named))]
    except Exception as error:  # noqa: BLE001 - of two hierarchies
        return ["raised", re.sub(r"^[A-Z_]+: ", "", str(error))]


def failed(function: Callable[..., object], *arguments: Any, **named: Any) -> bool:
    """Return whether a call fails, where the two say it in their own words."""
    return bool(raised(function, *arguments, **named)[0] == "raised")


NAMES = (
    (re.compile(r"tr-[0-9a-f]{32}"), "<trace>"),
    (re.compile(r"a-[0-9a-f]{32}"), "<assessment>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
)
VARYING = ("creation_time", "experiment_id", "artifact_location")


def named(value: Any) -> Any:
    """Put names for ids and times, which two runs cannot have in common."""
    if isinstance(value, dict):
        return {key: named(item) for key, item in value.items() if key not in VARYING}
    if isinstance(value, list):
        return [named(item) for item in value]
    if isinstance(value, str):
        for pattern, name in NAMES:
            value = pattern.sub(name, value)
    return value


def main(module: str, what: str, uri: str, experiment_id: str) -> None:
    mlflow = importlib.import_module(module)
    importlib.import_module(f"{module}.entities")
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment_id=experiment_id)
    load()
    annotates = what == "annotate"
    results = {}
    for name, function in (ANNOTATING if annotates else READING).items():
        try:
            result = shown(function(mlflow, experiment_id))
        except Exception:  # noqa: BLE001 - the others go on
            result = FAILED + traceback.format_exc()
        results[name] = named(result) if annotates else result
    mlflow.flush_trace_async_logging(terminate=True)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    # The programs register with the importable module, not with `__main__`.
    importlib.import_module("reading").main(*sys.argv[1:])
