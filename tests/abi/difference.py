"""The ABI as C callers see it, against the committed one of the last release."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from command import ABI, HEADER, ROOT, STRICT_C, Check, must, run

BASELINE = ABI / "mlflow_trace-1.abi"

# Changes of the header that must be seen.
CHANGES = [
    ("a parameter more", "mlflow_span_end(mlflow_span_t span,", "mlflow_span_end(mlflow_span_t span, int32_t how,"),
    ("another type", "int64_t value,", "int32_t value,"),
    ("another result", "uint32_t mlflow_abi_version(void)", "uint64_t mlflow_abi_version(void)"),
    ("a member that grew", "    uint32_t reserved;\n    /** The value,", "    uint64_t reserved;\n    /** The value,"),
    ("a structure that grew", "    uint64_t id;\n", "    uint64_t id;\n    uint64_t more;\n"),
    ("another number", "#define MLFLOW_ERROR_TIMEOUT 5", "#define MLFLOW_ERROR_TIMEOUT 55"),
    ("another member of the options", "    uint64_t start_time_ns;\n", "    uint64_t start_time_ns;\n    uint64_t odd;\n"),
]  # fmt: skip
# And one that programs do not notice.
GROWTH = [
    ("one number more", "#define MLFLOW_OK 0", "#define MLFLOW_OK 0\n#define MLFLOW_ERROR_LATER 99")
]


class Difference:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def checks(self) -> dict[str, Check]:
        return {
            "nothing changed that programs rely on (abidiff)": self.unchanged,
            "abidiff sees what they rely on": self.sees_changes,
        }

    def stub(self, header: Path, symbols: Path) -> Path:
        source, library = self.folder / "stub.c", self.folder / "libstub.so"
        source.write_text(run(sys.executable, ROOT / "tests/abi/stub.py", header, symbols))
        soname = "-Wl,-soname,libmlflow_trace.so.1"
        include = f"-I{header.parent}"
        run("cc", *STRICT_C, "-g", "-shared", "-fPIC", soname, include, source, "-o", library)
        return library

    def differs(self, library: Path) -> str:
        command = ["abidiff", "--no-added-syms", str(BASELINE), str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        must(done.returncode & 3 == 0, f"abidiff fails: {done.stdout}{done.stderr}")
        return done.stdout if done.returncode else ""

    def unchanged(self) -> str:
        library = self.stub(HEADER, ABI / "symbols.txt")
        if os.environ.get("BLESS"):
            hidden = ["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs"]
            BASELINE.write_text(run("abidw", *hidden, library).replace(str(self.folder), ""))
        found = self.differs(library)
        # Options may grow at their end within a version; anything else only before the first release.
        must(not found, f"{found}\nBLESS=1 takes it over, see docs/decisions/0008-c-abi-checks.md")
        return BASELINE.name

    def sees_changes(self) -> str:
        header, symbols = self.folder / HEADER.name, self.folder / "symbols.txt"
        shutil.copy(ABI / "symbols.txt", symbols)
        for name, old, new in CHANGES + GROWTH:
            text = HEADER.read_text()
            must(text.count(old) > 0, f"nothing to change for: {name}")
            header.write_text(text.replace(old, new, 1))
            expected = (name, old, new) in CHANGES
            must(bool(self.differs(self.stub(header, symbols))) == expected, name)
        text = HEADER.read_text()
        header.write_text(text.replace("mlflow_span_exit(", "mlflow_span_leave("))
        symbols.write_text(symbols.read_text().replace("mlflow_span_exit ", "mlflow_span_leave "))
        must(bool(self.differs(self.stub(header, symbols))), "a function that is gone")
        return f"{len(CHANGES) + 1} changes"
