"""Calls the C ABI from other languages: run.py <directory of the library> <directory to build in>

Python needs what every Python has; Go is tried where it is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def case(name: str, *commands: list[str], env: dict[str, str], cwd: Path) -> bool:
    for command in commands:
        done = subprocess.run(command, env=env, cwd=cwd, timeout=300, check=False)
        if done.returncode != 0:
            print(f"not ok {name}: exit status {done.returncode}")
            return False
    print(f"ok {name}")
    return True


def main() -> int:
    library, build = (Path(argument).resolve() for argument in sys.argv[1:3])
    build.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ, LD_LIBRARY_PATH=str(library))
    smoke = [sys.executable, str(HERE / "ctypes_smoke.py"), "libmlflow_trace.so.1"]
    good = case("Python through ctypes", smoke, env=env, cwd=build)
    go = shutil.which("go")
    if go is None:
        print("Go is not installed: cgo is not tried")
    else:
        env |= {
            "CGO_ENABLED": "1",
            "CGO_CFLAGS": f"-I{HERE.parents[1] / 'include'}",
            "CGO_LDFLAGS": f"-L{library}",
            "GOCACHE": str(build / "go-cache"),
            "GOFLAGS": "-mod=mod",
            "GOPROXY": "off",
        }
        program = str(build / "go-smoke")
        good &= case("Go through cgo", [go, "build", "-o", program, "."], [program], env=env, cwd=HERE / "go")  # fmt: skip
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
