"""The README's quick starts: they are the example programs, and each leaves one trace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
BLOCKS = dict(re.findall(r"<!-- (examples/\S+) -->\n```\w+\n(.*?)\n```\n", README, re.DOTALL))

COMPILE = {
    ".c": ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"],
    ".cpp": ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic"],
}


def library_directory() -> Path:
    """Where the build left the shared library, newest first."""
    found = [*(REPOSITORY / "target").rglob("release/libmlflow_trace.so")]
    assert found, "libmlflow_trace.so is not built: make build"
    return max(found, key=lambda path: path.stat().st_mtime).parent


def command(path: Path, directory: Path) -> list[str]:
    if path.suffix == ".py":
        return [sys.executable, str(path)]
    if path.suffix == ".mjs":
        packages = directory / "node_modules"
        packages.mkdir()
        (packages / "mlflow-trace").symlink_to(REPOSITORY / "bindings" / "node")
        program = directory / path.name
        program.write_text(path.read_text())
        return ["node", str(program)]
    program = directory / "program"
    # The library's soname carries the version of the ABI, which its file name does not.
    (directory / "libmlflow_trace.so.1").symlink_to(library_directory() / "libmlflow_trace.so")
    (directory / "libmlflow_trace.so").symlink_to("libmlflow_trace.so.1")
    link = [f"-L{directory}", "-lmlflow_trace", f"-Wl,-rpath,{directory}"]
    include = f"-I{REPOSITORY / 'include'}"
    subprocess.run(
        [*COMPILE[path.suffix], include, "-o", str(program), str(path), *link], check=True
    )
    return [str(program)]


def test_there_is_one_for_each_language() -> None:
    assert sorted(Path(path).suffix for path in BLOCKS) == [".c", ".cpp", ".mjs", ".py"]


@pytest.mark.parametrize("path", BLOCKS)
def test_the_quick_start_is_the_example(path: str) -> None:
    assert BLOCKS[path] == (REPOSITORY / path).read_text().rstrip()


@pytest.mark.parametrize("path", BLOCKS)
def test_the_quick_start_leaves_one_trace(path: str, tmp_path: Path) -> None:
    program = command(REPOSITORY / path, tmp_path)
    environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    subprocess.run(program, cwd=tmp_path, env=environment, check=True, timeout=60)
    lines = [
        json.loads(line)
        for file in (tmp_path / "mlflow-traces").glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert len(lines) == 1
    (scope,) = lines[0]["resourceSpans"][0]["scopeSpans"]
    spans = {span["name"]: span for span in scope["spans"]}
    assert spans["search"]["parentSpanId"] == spans["answer"]["spanId"]
    assert spans["answer"]["status"]["code"] == 1
