"""Runs the cases with the oldest and the newest version of each library, and prints one table.

    python versions.py DIRECTORY [openai,gemini]

makes the environments below DIRECTORY, as versions.txt says, and compares names and types of spans.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "bindings" / "python" / "python"


def environment(directory: Path, packages: list[str]) -> Path:
    """Make an environment with these packages, unless it is there; return its Python."""
    python = directory / "bin" / "python"
    complete = directory / ".complete"
    wanted = " ".join(packages)
    if not complete.exists() or complete.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *packages], check=True)
        complete.write_text(wanted)
    return python


def run(libraries: str, python: Path) -> tuple[str, list[str]]:
    """Run the cases; return how many passed and failed, and which failed."""
    options = ["-q", "--timeout", "300", "--names-and-types", "--libraries", libraries]
    own = {"INTEGRATIONS_PYTHON": str(python), "PYTHONPATH": str(PACKAGE)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, HERE / "test_cases.py"],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    failed = re.findall(r"^FAILED \S+\[(\S+)\]", done.stdout, re.MULTILINE)
    summary = re.findall(r"\d+ (?:passed|failed)", done.stdout.splitlines()[-1])
    return ", ".join(summary) or done.stdout[-2000:] + done.stderr[-2000:], failed


def main(directory: str, chosen: str = "") -> int:
    wanted = {library for library in chosen.split(",") if library}
    rows = []
    for line in (HERE / "versions.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        libraries, end, *words = line.split()
        packages = [word for word in words if not word.startswith("~")]
        known = {word[1:] for word in words if word.startswith("~")}
        if wanted and wanted.isdisjoint(libraries.split(",")):
            continue
        name = f"{libraries.replace(',', '-')}-{end}"
        try:
            python = environment(Path(directory).resolve() / name, packages)
        except subprocess.CalledProcessError as error:
            rows.append((libraries, end, packages[0], f"cannot be installed: {error}", ["install"]))
            continue
        summary, failed = run(libraries, python)
        unknown = [case for case in failed if case not in known]
        rows.append((libraries, end, packages[0], summary, unknown))
        print(*rows[-1][:4], flush=True)
    print()
    for libraries, end, package, summary, failed in rows:
        print(f"{libraries:20} {end:7} {package:34} {summary:22} {' '.join(failed)}")
    return int(any(failed for *_, failed in rows))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
