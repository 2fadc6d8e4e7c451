"""Running programs, and checks that answer with one line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ABI = ROOT / "ffi/abi"
HEADER = ROOT / "include/mlflow_trace.h"

STRICT_C = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"]
STRICT_CXX = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic"]

# What is wrong. Anything else that a check raises is a fault of the check, and as fatal.
Wrong = AssertionError

Check = Callable[[], str]


def run(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Runs a program to its end; answers what it printed, or raises `Wrong` with it."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        check=False,
    )
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise Wrong(f"{words} exits with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def fails(*command: str | Path, cwd: Path | None = None) -> bool:
    """Whether a program fails, for checks that must be able to."""
    try:
        run(*command, cwd=cwd)
    except Wrong:
        return True
    return False


def exports() -> list[str]:
    """The committed list of functions."""
    lines = (ABI / "symbols.txt").read_text().splitlines()
    return sorted(line.split()[0] for line in lines if not line.startswith("#"))


def must(condition: bool, problem: str) -> None:
    if not condition:
        raise Wrong(problem)
