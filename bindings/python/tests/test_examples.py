"""The examples run as they stand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

QUICKSTART = Path(__file__).parents[3] / "examples" / "python" / "quickstart.py"


def test_the_quick_start_records_one_trace(own_environment, tmp_path):
    done = subprocess.run(
        [sys.executable, str(QUICKSTART)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Tracing is made of spans, traces, context.\n"
    (file,) = (tmp_path / "mlflow-traces").iterdir()
    (trace,) = map(json.loads, file.read_text().splitlines())
    spans = trace["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert sorted(span["name"] for span in spans) == ["answer", "compose", "search"]
