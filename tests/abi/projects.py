"""Projects outside of the repository, built with what was installed in each of the ways that there are."""

from __future__ import annotations

import shlex
import shutil
import tarfile
from pathlib import Path

from command import ROOT, STRICT_C, STRICT_CXX, Check, must, run

SOURCES = ROOT / "tests/abi/package"


class Projects:
    def __init__(self, prefix: Path, tarball: Path, folder: Path) -> None:
        self.prefix = prefix
        self.tarball = tarball
        self.folder = folder

    def checks(self) -> dict[str, Check]:
        return {
            "a project with a compiler alone": self.plain,
            "a project with pkg-config, shared": lambda: self.pkg_config("mlflow_trace"),
            "a project with pkg-config, static": lambda: self.pkg_config("mlflow_trace-static"),
            "a project with CMake, shared and static": lambda: self.cmake(self.prefix),
            "a project with the tarball, wherever it lies": self.unpacked,
        }

    def program(self, language: str, flags: list[str], env: dict[str, str], name: str) -> None:
        compiler = ["cc", *STRICT_C] if language == "c" else ["c++", *STRICT_CXX]
        program = self.folder / f"{name}-{language}"
        run(*compiler, SOURCES / f"main.{language}", *flags, "-o", program)
        must(run(program, env=env) == "good\n", f"{name} in {language} does not run")

    def plain(self) -> str:
        lib = self.prefix / "lib"
        flags = [f"-I{self.prefix}/include", f"-L{lib}", "-lmlflow_trace"]
        for language in ("c", "cpp"):
            self.program(language, flags, {"LD_LIBRARY_PATH": str(lib)}, "plain")
        return "-lmlflow_trace"

    def pkg_config(self, package: str) -> str:
        env = {"PKG_CONFIG_PATH": str(self.prefix / "lib/pkgconfig")}
        flags = shlex.split(run("pkg-config", "--cflags", "--libs", package, env=env))
        at = {"LD_LIBRARY_PATH": str(self.prefix / "lib")} if package == "mlflow_trace" else {}
        for language in ("c", "cpp"):
            self.program(language, flags, at, package)
        loads = "libmlflow_trace" in run("readelf", "-d", self.folder / f"{package}-c")
        must(loads == bool(at), "links with the other library")
        return run("pkg-config", "--modversion", package, env=env).strip()

    def cmake(self, prefix: Path) -> str:
        project, build = self.folder / "project", self.folder / "build"
        for made in (project, build):
            shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(SOURCES, project)
        run("cmake", "-S", project, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", build)
        for name in ("shared_c", "shared_cpp", "static_c", "static_cpp"):
            must(run(build / name) == "good\n", f"{name} does not run")
        for name, shared in (("shared_c", True), ("static_c", False)):
            loads = "libmlflow_trace.so.1" in run("readelf", "-d", build / name)
            must(loads == shared, f"{name} links with the other library")
        return "find_package(mlflow_trace)"

    def unpacked(self) -> str:
        place = self.folder / "some where else"
        with tarfile.open(self.tarball) as archive:
            archive.extractall(place, filter="data")
        (tree,) = place.iterdir()
        self.cmake(tree)
        moved = Projects(tree, self.tarball, self.folder)
        moved.plain()
        moved.pkg_config("mlflow_trace")
        moved.pkg_config("mlflow_trace-static")
        return tree.name
