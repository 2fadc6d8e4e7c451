"""Checks of the C library as it is installed, one line each.

check.py --prefix .build/stage/usr/local --tarball .build/mlflow_trace-....tar.gz
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from command import Wrong
from difference import Difference
from library import Library
from projects import Projects


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--tarball", type=Path, required=True)
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checks = {
            **Difference(folder).checks(),
            **Library(arguments.prefix.resolve()).checks(),
            **Projects(arguments.prefix.resolve(), arguments.tarball.resolve(), folder).checks(),
        }
        for check, work in checks.items():
            try:
                print(f"ok {check}: {work()}")
            except Wrong as wrong:
                failed += 1
                print(f"not ok {check}: {wrong}")
            sys.stdout.flush()
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
