"""Run the parity suite against servers of several versions, one after the other, and print a table.

Usage: matrix.py DIRECTORY VERSION...

where DIRECTORY/VERSION is a virtual environment with that version of MLflow. The clients are those of the Python that
runs this. What did not pass is in `parity-VERSION.log` below the directory for logs, `--logs`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
RUN_SERVER = HERE.parent / "server" / "mlflow_server.py"


class Counts(NamedTuple):
    passed: int = 0
    expected: int = 0
    failed: int = 0
    skipped: int = 0


def counts(report: Path) -> Counts:
    """What pytest's report in JUnit's XML says."""
    outcomes = {"passed": 0, "expected": 0, "failed": 0, "skipped": 0}
    for case in ET.parse(report).getroot().iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcomes["failed"] += 1
        elif skipped is None:
            outcomes["passed"] += 1
        else:
            is_expected = skipped.get("type") == "pytest.xfail"
            outcomes["expected" if is_expected else "skipped"] += 1
    return Counts(**outcomes)


def run(python: Path, logs: Path, version: str, more: list[str]) -> Counts | None:
    """The outcome for one version; `None` where there was none."""
    report = logs / f"parity-{version}.xml"
    report.unlink(missing_ok=True)
    suite = [sys.executable, "-m", "pytest", "--timeout", "600", "-rx", f"--junit-xml={report}"]
    server = [sys.executable, str(RUN_SERVER), "run", "--python", str(python), "--"]
    with (logs / f"parity-{version}.log").open("w") as log:
        subprocess.run(
            server + suite + [str(HERE), *more], stdout=log, stderr=subprocess.STDOUT, check=False
        )
    return counts(report) if report.exists() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("directory", type=Path)
    parser.add_argument("versions", nargs="+")
    parser.add_argument("--logs", type=Path, default=Path.cwd())
    parser.add_argument("--pytest", default="", help="more arguments of pytest")
    options = parser.parse_args()
    options.logs.mkdir(parents=True, exist_ok=True)
    logs = options.logs.resolve()
    results = {}
    for version in options.versions:
        python = options.directory.absolute() / version / "bin" / "python"
        print(f"MLflow {version} ...", file=sys.stderr, flush=True)
        results[version] = run(python, logs, version, options.pytest.split())
    print("| server | passed | expected differences | failed |\n|---|---|---|---|")
    for version, found in results.items():
        if found is None:
            print(f"| {version} | did not run | | |")
            continue
        # Nothing is skipped where there is a server.
        print(f"| {version} | {found.passed} | {found.expected} | {found.failed + found.skipped} |")
    good = all(found and found.passed and not found.failed + found.skipped
               for found in results.values())  # fmt: skip
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
