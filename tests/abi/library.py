"""What is promised of the two libraries that are installed."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from command import ABI, HEADER, ROOT, STRICT_C, Check, exports, must, run

# Without symbols for debugging. docs/c.md argues for it.
SHARED_BUDGET = 7 << 20
# The oldest C library with which it runs, built on Debian 12: the release that moved threads into libc itself.
GLIBC_FLOOR = (2, 34)
# Other libraries that it may load.
NEEDED = {
    "libc.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
}


class Library:
    def __init__(self, prefix: Path) -> None:
        self.include = prefix / "include"
        self.lib = prefix / "lib"
        self.shared = self.lib / "libmlflow_trace.so"
        self.static = self.lib / "libmlflow_trace.a"

    def checks(self) -> dict[str, Check]:
        return {
            "the shared library exports the list and nothing else": self.shared_exports,
            "the static library has no other global names": self.static_globals,
            "soname and links": self.links,
            "the shared library loads nothing but the C library": self.needed,
            "the shared library is never unloaded": self.nodelete,
            "the shared library is hardened": self.hardening,
            "the shared library needs no C library newer than the floor": self.glibc,
            "the shared library is within its budget": self.size,
            "the static library links with the list and the C library": self.static_list,
            "the headers are the repository's, and compile alone": self.headers,
            "layouts are the same on both sides": self.layouts,
            "a panic stays inside, in both libraries": self.panics,
        }

    def symbols(self, *arguments: str | Path) -> list[list[str]]:
        lines = run("readelf", "--wide", *arguments).splitlines()
        # Num: Value Size Type Bind Vis Ndx Name
        rows = [line.split() for line in lines]
        return [row for row in rows if len(row) >= 8 and row[0].rstrip(":").isdigit()]

    def shared_exports(self) -> str:
        rows = self.symbols("--dyn-syms", self.shared)
        found = sorted(row[7].split("@")[0] for row in rows if row[6] != "UND")
        must(found == exports(), f"differs in {set(found) ^ set(exports())}")
        must(len(found) <= 62, f"{len(found)} functions are more than about 60")
        return f"{len(found)} functions"

    def static_globals(self) -> str:
        rows = self.symbols("--symbols", self.static)
        found = sorted(row[7] for row in rows if row[4] in {"GLOBAL", "WEAK"} and row[6] != "UND")
        must(found == exports(), f"differs in {sorted(set(found) ^ set(exports()))[:20]}")
        return f"{len(found)} names"

    def dynamic(self) -> str:
        return run("readelf", "--wide", "--dynamic", self.shared)

    def links(self) -> str:
        (soname,) = re.findall(r"\(SONAME\).*\[(.*)\]", self.dynamic())
        (abi,) = re.findall(r"#define MLFLOW_TRACE_ABI_VERSION (\d+)", HEADER.read_text())
        must(soname == f"libmlflow_trace.so.{abi}", soname)
        must((self.lib / soname).is_symlink() and self.shared.is_symlink(), "no links")
        real = self.shared.resolve().name
        must(re.fullmatch(rf"{re.escape(soname)}\.\d+", real) is not None, real)
        must((self.lib / soname).resolve().name == real, "the links lead apart")
        return f"libmlflow_trace.so -> {soname} -> {real}"

    def needed(self) -> str:
        found = set(re.findall(r"\(NEEDED\).*\[(.*)\]", self.dynamic()))
        must(found <= NEEDED, f"loads {found - NEEDED}")
        return ", ".join(sorted(found))

    def nodelete(self) -> str:
        must("NODELETE" in self.dynamic(), "no NODELETE")
        return "NODELETE"

    def hardening(self) -> str:
        headers = run("readelf", "--wide", "--program-headers", self.shared)
        stack = [line for line in headers.splitlines() if "GNU_STACK" in line]
        must(len(stack) == 1 and "RWE" not in stack[0], f"stack: {stack}")
        must("GNU_RELRO" in headers, "relocations stay writable")
        dynamic = self.dynamic()
        must("BIND_NOW" in dynamic or "NOW" in dynamic, "not bound at once")
        for unwanted in ("TEXTREL", "RPATH", "RUNPATH"):
            must(f"({unwanted})" not in dynamic, f"has {unwanted}")
        return "stack and relocations are not writable code or data"

    def glibc(self) -> str:
        found = re.findall(r"GLIBC_(\d+)\.(\d+)", run("readelf", "--wide", "-V", self.shared))
        newest = max((int(major), int(minor)) for major, minor in found)
        must(newest <= GLIBC_FLOOR, f"needs {newest}, the floor is {GLIBC_FLOOR}")
        return f"{newest[0]}.{newest[1]}"

    def size(self) -> str:
        size = self.shared.stat().st_size
        must(size <= SHARED_BUDGET, f"{size} bytes are more than {SHARED_BUDGET}")
        return f"{size} of {SHARED_BUDGET} bytes"

    def static_list(self) -> str:
        libraries = (ABI / "static-libs.txt").read_text().split()
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "program"
            source = ROOT / "tests/abi/package/main.c"
            # Without what the compiler adds by itself, but for its own runtime and the C library.
            strict = [*STRICT_C, f"-I{self.include}", "-nodefaultlibs"]
            tail = [*libraries, "-lgcc_s", "-lc", "-o"]
            run("cc", *strict, source, self.static, *tail, program)
            must(run(program) == "good\n", "does not run")
        return " ".join(libraries)

    def headers(self) -> str:
        for header in ("mlflow_trace.h", "mlflow_trace.hpp"):
            installed = (self.include / header).read_bytes()
            must(installed == (ROOT / "include" / header).read_bytes(), f"{header} differs")
        include = f"-I{self.include}"
        with tempfile.TemporaryDirectory() as folder:
            c, cpp = Path(folder) / "c.c", Path(folder) / "cpp.cpp"
            c.write_text(
                "#include <mlflow_trace.h>\n#include <mlflow_trace.h>\nextern int unused;\n"
            )
            cpp.write_text("#include <mlflow_trace.hpp>\n#include <mlflow_trace.hpp>\n")
            strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", include]
            for standard in ("c99", "c11", "c17", "c2x"):
                run("cc", f"-std={standard}", *strict, c)
            for standard in ("c++11", "c++17"):
                run("c++", f"-std={standard}", "-x", "c++", *strict, c)
            for standard in ("c++17", "c++20", "c++23"):
                run("c++", f"-std={standard}", *strict, cpp)
            run("c++", "-std=c++17", "-fno-exceptions", "-fno-rtti", *strict, cpp)
        return "C99 to C23, C++11 (C header), C++17 to C++23"

    def layouts(self) -> str:
        include = [f"-I{self.include}", f"-I{ROOT / 'tests/c'}"]
        run("cc", *STRICT_C, *include, "-fsyntax-only", ROOT / "tests/c/layout.c")
        # ffi/src/layout.rs asserts the same, and does not compile otherwise.
        c = set(re.findall(r"offsetof\((\w+), (\w+)\)", (ROOT / "tests/c/layout.c").read_text()))
        rust = (ROOT / "ffi/src/layout.rs").read_text()
        asserted = c & set(re.findall(r"offset_of!\((\w+), (\w+)\)", rust))
        structures = re.findall(
            r"typedef struct (\w+) \{(.*?)^\}", HEADER.read_text(), re.MULTILINE | re.DOTALL
        )
        for structure, members in structures:
            # The first one is at 0.
            for member in re.findall(r"(\w+);$", members, re.MULTILINE)[1:]:
                must((structure, member) in asserted, f"nothing asserts {structure}.{member}")
            must(f"sizeof({structure}) ==" in (ROOT / "tests/c/layout.c").read_text(), structure)
        return f"{len(asserted)} offsets in {len(structures)} structures"

    def panics(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            for kind, link in (
                ("shared", [f"-L{self.lib}", "-lmlflow_trace", f"-Wl,-rpath,{self.lib}"]),
                ("static", [str(self.static), *(ABI / "static-libs.txt").read_text().split()]),
            ):
                program = Path(folder) / kind
                source = ROOT / "tests/c/panic.c"
                run("cc", *STRICT_C, f"-I{self.include}", source, *link, "-pthread", "-o", program)
                must("not ok" not in run(program), f"{kind}: a case fails")
        return "shared and static"
