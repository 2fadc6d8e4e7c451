"""Runs the program of hostile.c and compares what the server has with docs/values.md.

    read_hostile.py PROGRAM

prints one line for each case, as the C programs do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.argv[1])
SERVER = os.environ["MLFLOW_TRACE_TEST_SERVER"].rstrip("/")
LIMIT = 8 << 20

# What is read back of inputs and the attribute, by the name of the case.
EXPECTED: dict[str, Any] = {
    "nan": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "minus zero": -0.0,
    "json nan": {"a": "NaN"},
    "json 1e400": {"a": ["Infinity", "-Infinity", 0.0]},
    "json scalar 2^64": "18446744073709551616",
    "json scalar nan": "NaN",
    "invalid utf-8": "a\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdz\ufffd",
    "nul": "a\0b",
    "controls": "\x01\x1f\x7f",
    "text of json": {"a": [1]},
    "json of invalid utf-8": {"a": "\ufffd"},
    "json of escaped surrogates": {"a": "?"},
    "json of nul": {"a": "\0"},
    "json that is broken": '{"a": 1,}',
    "json with a raw nul": '{"a": "x\0y"}',
}
# Events are not decoded by servers: text stays text, and JSON is what the engine makes of it.
EVENTS: dict[str, Any] = {
    "text of json": '{"a": [1]}',
    "json nan": '{"a": NaN}',
    "json 1e400": '{"a": [1e400, -1e400, 1e-400]}',
    "json of escaped surrogates": '{"a": "\\ud800"}',
}


def read(value: dict[str, Any] | None) -> Any:
    """A value of the server's JSON, which is protobuf's."""
    if not value:
        return None
    ((kind, content),) = value.items()
    if kind == "array_value":
        return [read(item) for item in content.get("values", [])]
    if kind == "kvlist_value":
        return members(content.get("values", []))
    return content


def members(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair.get("key", ""): read(pair.get("value")) for pair in pairs}


def get(trace_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The information and the only span of a trace."""
    url = f"{SERVER}/api/3.0/mlflow/traces/get?trace_id={trace_id}&allow_partial=false"
    with urllib.request.urlopen(url, timeout=60) as reply:
        trace = json.load(reply)["trace"]
    (span,) = trace["spans"]
    return trace["trace_info"], span


def compare(name: str, trace_id: str) -> list[str]:
    """What is not as it should be."""
    try:
        info, span = get(trace_id)
    except urllib.error.HTTPError as error:
        return [f"status {error.code}"]
    found = members(span["attributes"])
    inputs: Any = found.get("mlflow.spanInputs")
    value: Any = found.get("value")
    wanted: dict[str, tuple[Any, Any]]
    if name.startswith("names"):
        wanted = {
            "name": (span["name"], "names \ufffd"),
            "type": (found["mlflow.spanType"], "type \ufffd"),
            "message": (span["status"]["message"], "no \ufffd\0"),
            "tag": (info["tags"]["tag"], "value \ufffd"),
        }
    elif name == "a hundred megabytes":
        outputs = found["mlflow.spanOutputs"]
        wanted = {
            "inputs": (
                inputs[:9] + inputs[-30:],
                "\n" * 9 + "... [truncated, 104857600 bytes]"[-30:],
            ),
            "outputs": (outputs[:3], "\ufffd" * 3),
            "length": (max(map(len, (inputs, value, outputs))) < LIMIT + 99, True),
        }
    elif name == "json of lists":
        levels = 0
        while isinstance(inputs, list):
            (inputs,) = inputs
            levels += 1
        wanted = {"levels": (levels, 47), "rest": (inputs, "[" * 99_953 + "]" * 99_953)}
    else:
        expected = EXPECTED[name]
        if isinstance(inputs, dict) and "value" in inputs:
            inputs = inputs["value"]
        (event,) = span["events"]
        wanted = {
            "inputs": (repr(inputs), repr(expected)),
            "attribute": (repr(value), repr(expected)),
            "event": (
                repr(members(event["attributes"])["value"]),
                repr(EVENTS.get(name, expected)),
            ),
        }
    return [
        f"{what}: {found!r:.300} and not {expected!r:.300}"
        for what, (found, expected) in wanted.items()
        if found != expected
    ]


def main() -> int:
    run = subprocess.run([PROGRAM, "hostile"], capture_output=True, timeout=150, check=False)
    output = run.stdout.decode(errors="replace")
    failed = run.returncode != 0
    for line in output.split("\n"):
        if not line.startswith("case "):
            if line:
                print(line)
            continue
        _, trace_id, name = line.split(" ", 2)
        problems = compare(name, trace_id)
        for problem in problems:
            print(f"  {problem}")
        print(f"{'not ok' if problems else 'ok'} {PROGRAM.name}: {name}")
        failed |= bool(problems)
    if run.returncode:
        print(f"not ok {PROGRAM.name}: exit status {run.returncode}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
