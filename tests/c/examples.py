"""Builds and runs what a newcomer meets first: the programs of docs/c.md as they stand on the page, and the examples.

examples.py <directory of the library> <directory to build in> [flags of the compiler...]
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-g"]
COMPILERS = {
    ".c": ["cc", "-std=c11", *STRICT],
    ".cpp": ["c++", "-std=c++17", *STRICT],
}
# What the pieces of C and C++ on other pages are pieces of.
AROUND = {
    "c": """\
#include <mlflow_trace.h>
%(functions)s
void piece(mlflow_config_t *config, mlflow_error_t *error, const mlflow_tracer_t *tracer,
           mlflow_span_t span, const unsigned char *png, size_t png_size,
           const char *incoming_traceparent, const char *incoming_tracestate);
void piece(mlflow_config_t *config, mlflow_error_t *error, const mlflow_tracer_t *tracer,
           mlflow_span_t span, const unsigned char *png, size_t png_size,
           const char *incoming_traceparent, const char *incoming_tracestate)
{
    (void)config, (void)error, (void)tracer, (void)span, (void)png, (void)png_size;
    (void)incoming_traceparent, (void)incoming_tracestate;
%(text)s}
""",
    "cpp": """\
#include <mlflow_trace.hpp>
%(functions)s
void piece(mlflow::Config &config, mlflow::Span &span, const std::string &png);
void piece(mlflow::Config &config, mlflow::Span &span, const std::string &png)
{
    static_cast<void>(config), static_cast<void>(span), static_cast<void>(png);
%(text)s}
""",
}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Newcomer:
    def __init__(self, library: Path, build: Path, flags: list[str]) -> None:
        self.library = library
        self.build = build
        self.flags = flags
        self.failed = False
        # No settings of the caller's.
        kept = {"PATH", "HOME", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS"}  # fmt: skip
        self.env = {name: value for name, value in os.environ.items() if name in kept}
        self.env["LD_LIBRARY_PATH"] = str(library)

    def compile(self, source: Path) -> Path:
        program = self.build / source.name.replace(".", "-")
        links = ["-pthread", f"-L{self.library}"]
        # A host that loads the library by itself must not need it to link.
        links += ["-ldl"] if source.stem == "plugin_host" else ["-lmlflow_trace"]
        command = [*COMPILERS[source.suffix], *self.flags, f"-I{ROOT / 'include'}", str(source)]
        subprocess.run([*command, *links, "-o", str(program)], check=True)
        return program

    def start(self, program: Path, *arguments: str) -> subprocess.Popen[str]:
        # Traces go to a directory of its own.
        place = self.build / f"{program.name}.run"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        command = [str(program), *arguments]
        return subprocess.Popen(command, cwd=place, env=self.env, stdout=subprocess.PIPE, text=True)

    def run(self, program: Path, *arguments: str) -> str:
        process = self.start(program, *arguments)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, f"{program.name} exits with {process.returncode}"
        return output

    def spans(self, program: Path) -> list[dict[str, Any]]:
        """What it wrote to its files."""
        found = []
        for file in (self.build / f"{program.name}.run" / "mlflow-traces").iterdir():
            for line in file.read_text().splitlines():
                for resource in json.loads(line)["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        found += scope["spans"]
        return found

    def case(self, name: str, work: Callable[[Path], None], source: Path) -> None:
        try:
            work(source)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            self.failed = True
            line = traceback.extract_tb(error.__traceback__)[-1]
            print(f"not ok {name}: {error!r}, {line.filename}:{line.lineno}: {line.line}")
        else:
            print(f"ok {name}")
        sys.stdout.flush()

    def page(self, path: Path) -> None:
        """Every block of C and C++ on a page is a program that does what it asserts."""
        blocks = re.findall(r"^```(c|cpp)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
        assert len(blocks) >= 6, f"{path} has only {len(blocks)} programs"
        for number, (language, text) in enumerate(blocks, 1):
            source = self.build / f"{path.stem}-{number}.{language}"
            source.write_text(text)
            self.case(f"{path.name}, program {number}", self.try_page, source)

    def pieces(self, path: Path) -> None:
        """Pieces of C and C++ on other pages compile."""
        blocks = re.findall(r"^```(c|cpp)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
        for number, (language, text) in enumerate(blocks, 1):
            # Functions first, then what stands in one.
            functions, end, rest = text.rpartition("\n}\n\n")
            source = self.build / f"{path.stem}-piece-{number}.{language}"
            source.write_text(AROUND[language] % {"functions": functions + end, "text": rest})
            self.case(f"{path.name}, piece {number}", self.try_piece, source)

    def try_piece(self, source: Path) -> None:
        command = [*COMPILERS[source.suffix], f"-I{ROOT / 'include'}", "-fsyntax-only"]
        subprocess.run([*command, str(source)], check=True)

    def try_page(self, source: Path) -> None:
        self.run(self.compile(source))

    def quickstart(self, source: Path) -> None:
        program = self.compile(source)
        self.run(program)
        spans = {span["name"]: span for span in self.spans(program)}
        assert set(spans) == {"answer", "search"}, spans
        assert spans["search"]["parentSpanId"] == spans["answer"]["spanId"]
        assert "What is tracing?" in json.dumps(spans["answer"])

    def server(self, source: Path) -> None:
        program = self.compile(source)
        process = self.start(program)
        assert process.stdout
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        replies: list[tuple[int, str]] = []

        def ask(path: str, headers: dict[str, str]) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", path, headers=headers)
            reply = connection.getresponse()
            replies.append((reply.status, reply.read().decode()))
            connection.close()

        caller = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        threads = [
            threading.Thread(target=ask, args=(f"/question-{i}", caller if i % 2 else {}))
            for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ask("/", {})
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0, process.returncode
        assert sorted(status for status, _ in replies) == [200] * 8 + [400]
        spans = self.spans(program)
        requests = [span for span in spans if span["name"] == "GET /"]
        searches = [span for span in spans if span["name"] == "search"]
        assert len(requests) == 9 and len(searches) == 8, len(spans)
        called = [span for span in requests if span["traceId"] == TRACE]
        assert len(called) == 4 and all(span["parentSpanId"] == SPAN for span in called)
        parents = {span["spanId"]: span["traceId"] for span in requests}
        assert all(parents[span["parentSpanId"]] == span["traceId"] for span in searches)

    def prefork(self, source: Path) -> None:
        program = self.compile(source)
        self.run(program)
        spans = self.spans(program)
        (dispatch,) = [span for span in spans if span["name"] == "dispatch"]
        jobs = [span for span in spans if span["name"] == "job"]
        assert len(jobs) == 20 and len(spans) == 21, len(spans)
        assert {span["traceId"] for span in jobs} == {dispatch["traceId"]}
        assert {span["parentSpanId"] for span in jobs} == {dispatch["spanId"]}

    def plugin_host(self, source: Path) -> None:
        program = self.compile(source)
        assert self.run(program) == "traced\n"
        assert [span["name"] for span in self.spans(program)] == ["plugin"]
        assert self.run(program, "./no-such-library.so") == "not traced\n"

    def inference(self, source: Path) -> None:
        program = self.compile(source)
        answers = self.run(program, "the cat", "a dog", "").splitlines()
        assert len(answers) == 3
        spans = self.spans(program)
        requests = [span for span in spans if span["name"] == "generate"]
        assert len(requests) == 3 and len({span["traceId"] for span in requests}) == 3
        for request in requests:
            inside = [span for span in spans if span.get("parentSpanId") == request["spanId"]]
            assert sorted(span["name"] for span in inside) == ["decode", "prefill", "tokenize"]
            (decode,) = [span for span in inside if span["name"] == "decode"]
            tokens = [event for event in decode["events"] if event["name"] == "token"]
            attributes = {pair["key"]: pair["value"] for pair in request["attributes"]}
            usage = json.loads(attributes["mlflow.chat.tokenUsage"]["stringValue"])
            assert usage["output_tokens"] == len(tokens) > 0
            assert "time_to_first_token_s" in attributes


def main() -> int:
    library, build = (Path(argument).resolve() for argument in sys.argv[1:3])
    build.mkdir(parents=True, exist_ok=True)
    newcomer = Newcomer(library, build, sys.argv[3:])
    newcomer.page(ROOT / "docs/c.md")
    for page in sorted(set(ROOT.glob("docs/*.md")) - {ROOT / "docs/c.md"}):
        newcomer.pieces(page)
    for source in sorted((ROOT / "examples").glob("c*/*.c*")):
        # One that nothing is known of stops the tests.
        work = getattr(newcomer, source.stem)
        newcomer.case(f"examples/{source.parent.name}/{source.name}", work, source)
    return 1 if newcomer.failed else 0


if __name__ == "__main__":
    sys.exit(main())
