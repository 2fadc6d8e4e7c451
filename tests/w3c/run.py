"""Runs the public test suite of W3C Trace Context against a service in each of our languages.

The suite is not part of this repository:

    git clone https://github.com/w3c/trace-context
    make w3c SUITE=trace-context
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
STOP_TIMEOUT_S = 15
SUITE_TIMEOUT_S = 300
# A run without tests counts as passed by unittest.
LEAST_TESTS = 30
# The suite's own names: the level of the recommendation, and whether its limits are tested too.
MODES = [
    {"SPEC_LEVEL": "1", "STRICT_LEVEL": "1"},
    {"SPEC_LEVEL": "2", "STRICT_LEVEL": "2"},
]


class Failure(Exception):
    """Something that the reader of the output can act upon."""


def suite_folder(checkout: str) -> Path:
    folder = Path(checkout).resolve() / "test"
    if not checkout or not (folder / "test.py").is_file():
        problem = f"{checkout} has no test/test.py" if checkout else "SUITE is not set"
        raise Failure(
            f"{problem}. The suite comes from https://github.com/w3c/trace-context:\n"
            "    git clone https://github.com/w3c/trace-context\n"
            "    make w3c SUITE=trace-context"
        )
    return folder


@contextmanager
def service(name: str, command: list[str]) -> Iterator[str]:
    """Start a service that writes its traces into a temporary folder, and yield its address."""
    with tempfile.TemporaryDirectory(prefix="mlflow-trace-w3c-") as traces:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OTEL_"))}
        process = subprocess.Popen(
            command,
            env=inherited | {"MLFLOW_TRACE_FILE_DIRECTORY": traces},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address.startswith("http://"):
                raise Failure(f"the {name} service did not start")
            yield address
            process.communicate(timeout=STOP_TIMEOUT_S)
            if process.returncode != 0:
                raise Failure(f"the {name} service ended with code {process.returncode}")
            if not any(file.stat().st_size for file in Path(traces).iterdir()):
                raise Failure(f"the {name} service recorded no trace")
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_suite(folder: Path, address: str, mode: dict[str, str]) -> tuple[bool, str]:
    """Return whether the suite passed, and what it printed."""
    harness = {"HARNESS_HOST": "127.0.0.1", "HARNESS_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "test.py", f"{address}/test"],
        cwd=folder,
        env=os.environ | harness | mode | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SUITE_TIMEOUT_S,
        check=False,
    )
    ran = re.search(r"^Ran (\d+) tests", done.stdout, re.MULTILINE)
    passed = done.returncode == 0 and ran is not None and int(ran[1]) >= LEAST_TESTS
    return passed, done.stdout


def verdict(output: str) -> str:
    """Return the lines with which the suite closes, as one."""
    ran = re.findall(r"^(?:Ran .*|OK.*|FAILED.*)$", output, re.MULTILINE)
    return ", ".join(ran) or "failed without a summary"


def run_all(folder: Path, rust: str) -> int:
    """Run every service in every mode; 0 when all passed."""
    services = {
        "Rust": [rust],
        "Python": [sys.executable, str(HERE / "service.py")],
        "Node": ["node", str(HERE / "service.mjs")],
    }
    all_passed = True
    for name, command in services.items():
        with service(name, command) as address:
            for mode in MODES:
                passed, output = run_suite(folder, address, mode)
                all_passed &= passed
                if not passed:
                    print(output)
                levels = " ".join(f"{key}={value}" for key, value in mode.items())
                print(f"{name}, {levels}: {verdict(output)}", flush=True)
    return 0 if all_passed else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", help="a checkout of w3c/trace-context")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="only see whether the suite is there")
    action.add_argument("--rust", help="the program built from service.rs")
    options = parser.parse_args()
    try:
        folder = suite_folder(options.suite)
        return 0 if options.check else run_all(folder, options.rust)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
