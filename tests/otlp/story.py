"""A program that records one trace, and what a backend has to show of it.

Run as a program, it records with the configuration of its environment and prints the trace's id and the counters.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

MESSAGES = {"model": "gpt-4o", "messages": [{"role": "user", "content": "héllo"}]}

# Of each span: its parent, and attributes as they arrive.
EXPECTED: dict[str, tuple[str | None, dict[str, Any]]] = {
    "answer": (
        None,
        {
            "mlflow.spanType": "AGENT",
            "mlflow.spanInputs": json.dumps({"question": "héllo"}, ensure_ascii=False),
            "attempt": 3,
            "ratio": 0.5,
            "cached": False,
            "mlflow.traceTag.env": "test",
        },
    ),
    "search": (
        "answer",
        {"mlflow.spanType": "TOOL", "mlflow.spanOutputs": json.dumps(["a", "b"])},
    ),
    "call": (
        "search",
        {
            "mlflow.spanType": "CHAT_MODEL",
            "mlflow.spanInputs": json.dumps(MESSAGES, ensure_ascii=False),
            "mlflow.spanOutputs": "hi",
        },
    ),
}


def record() -> None:
    """Record the trace and wait until it is delivered."""
    import mlflow_trace as mlflow

    with mlflow.start_span("answer", span_type="AGENT") as answer:
        answer.set_inputs({"question": "héllo"})
        answer.set_attributes({"attempt": 3, "ratio": 0.5, "cached": False})
        mlflow.update_current_trace(tags={"env": "test"})
        with mlflow.start_span("search", span_type="TOOL") as search:
            with mlflow.start_span("call", span_type="CHAT_MODEL") as call:
                call.set_inputs(MESSAGES)
                call.set_outputs("hi")
            search.set_outputs(["a", "b"])
    left = mlflow.flush(timeout=float(os.environ.get("FLUSH_TIMEOUT_S", "20")))
    print(json.dumps({"trace_id": answer.trace_id, "left": left, "stats": mlflow.stats()}))


def clean() -> dict[str, str]:
    """The environment without the caller's configuration."""
    ours = ("OTEL_", "MLFLOW_")
    return {name: text for name, text in os.environ.items() if not name.startswith(ours)}


def run(**environment: str) -> dict[str, Any]:
    """Run it in a process of its own."""
    done = subprocess.run(
        [sys.executable, Path(__file__).resolve()],
        env=clean() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed | {"stderr": done.stderr}


if __name__ == "__main__":
    record()
