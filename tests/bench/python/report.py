"""The figures as docs/bench/python.md, beside what they are to be."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import NamedTuple

from works import GENERATOR

# Nanoseconds at most.
COST = {
    "W1": 900,
    "W2": 2_000,
    "W3": 2_500,
    "W3d": 4_500,
    "decorated": 2_000,
    "text of 10 KB": 30_000,
    "text of 1 MB": 3_000_000,
    "text of 10 MB": 30_000_000,
    "object of 10 KB": 30_000,
    "object of 1 MB": 3_000_000,
    "object of 10 MB": 30_000_000,
}
# How many times faster on W2 and W4 at least.
W2_FASTER = {"opentelemetry": 15, "mlflow": 50}
W4_FASTER = {"opentelemetry": 15}
RATE = 100_000
IMPORT_MS = 60
EXIT_SECONDS = 2.1
NAMES = {
    "ours": "mlflow-trace",
    "ours, full": "mlflow-trace, `export.trace_info = full`",
    "opentelemetry": "OpenTelemetry",
    "mlflow": "MLflow",
}
LIBRARIES = (
    "mlflow",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
)


class Figures(NamedTuple):
    is_quick: bool
    rounds: int
    # Nanoseconds by work and library, of the thread and of the process.
    costs: dict[str, dict[str, dict[str, float]]]
    export: dict[str, dict[str, float]]
    # Milliseconds by library, and of the interpreter alone.
    imports: dict[str, float]
    exit: float
    load: tuple[tuple[float, ...], tuple[float, ...]]


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def targets(figures: Figures) -> list[str]:
    rows = []

    def add(what: str, target: str, measured: str, is_met: bool) -> None:
        rows.append(row(what, target, measured, "met" if is_met else "**not met**"))

    for work, limit in COST.items():
        ns = figures.costs[work]["ours"]["thread"]
        add(f"{work}, ns", f"≤ {limit:,}", f"{ns:,.0f}", ns <= limit)
    for peer, least in W2_FASTER.items():
        ratio = faster(figures.costs["W2"], peer)
        add(f"W2, faster than {NAMES[peer]}", f"≥ {least}x", f"{ratio:.1f}x", ratio >= least)
    ours = figures.export["ours"]
    add("W4 of W3, spans/s", f"≥ {RATE:,}", f"{ours['rate']:,.0f}", ours["rate"] >= RATE)
    for peer, least in W4_FASTER.items():
        ratio = ours["rate"] / figures.export[peer]["rate"]
        add(f"W4 of W3, faster than {NAMES[peer]}", f"≥ {least}x", f"{ratio:.1f}x", ratio >= least)
    lost = max(ours["lost"], ours["missing"])
    add("W4 of W3, spans dropped, pending or missing", "0", f"{lost:,.0f}", lost == 0)
    ms = figures.imports["ours"] - figures.imports["interpreter"]
    add("import, ms", f"≤ {IMPORT_MS}", f"{ms:.0f}", ms <= IMPORT_MS)
    seconds = figures.exit
    add(
        "exit with a dead server, s",
        f"≤ {EXIT_SECONDS}",
        f"{seconds:.2f}",
        seconds <= EXIT_SECONDS,
    )
    return rows


def faster(cost: dict[str, dict[str, float]], peer: str, of: str = "thread") -> float:
    return cost[peer][of] / cost["ours"][of]


def cost_rows(costs: dict[str, dict[str, dict[str, float]]], of: str) -> list[str]:
    return [
        row(
            work,
            *(f"{cost[peer][of]:,.0f}" for peer in ("ours", "opentelemetry", "mlflow")),
            *(f"{faster(cost, peer, of):.1f}x" for peer in ("opentelemetry", "mlflow")),
        )
        for work, cost in costs.items()
    ]


def export_rows(export: dict[str, dict[str, float]]) -> list[str]:
    return [
        row(
            NAMES[peer],
            *(f"{run[figure]:,.0f}" for figure in ("rate", "recorded", "cpu_ns", "missing")),
        )
        for peer, run in export.items()
    ]


def import_rows(imports: dict[str, float]) -> list[str]:
    base = imports["interpreter"]
    rows = [row("the interpreter alone", f"{base:.0f}", "")]
    for peer in ("ours", "opentelemetry", "mlflow"):
        rows.append(row(NAMES[peer], f"{imports[peer]:.0f}", f"{imports[peer] - base:.0f}"))
    return rows


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def commit() -> str:
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    here = Path(__file__).parent
    return subprocess.run(
        command, cwd=here, capture_output=True, text=True, check=True
    ).stdout.strip()


def lines(rows: list[str]) -> str:
    return "\n".join(rows)


def report(figures: Figures) -> str:
    before, after = (" ".join(f"{each:.2f}" for each in load) for load in figures.load)
    machine = [
        row("CPU", f"{processor()}, {cpu_count()} cores"),
        row("load average at the start", before),
        row("load average at the end", after),
        row("Python", platform.python_version()),
        row("commit", commit()),
        *(row(name, version(name)) for name in LIBRARIES),
    ]
    quick = "**This was a quick run, to see that it works: the figures say little.**\n\n"
    return f"""# What recording costs in Python

Written by `make bench-python`, which takes these figures anew; do not edit.

{quick if figures.is_quick else ""}\
Medians of rounds ({figures.rounds}) in which the libraries take their turns, a process each. All drop what was recorded: our
package with `exporter="none"`, whose spans go through the engine as others do, OpenTelemetry's SDK with a batch processor
and an exporter that does nothing, MLflow's SDK with the entry of its exporter replaced by nothing. What is measured is the
time that the recording thread is on a processor.

- W1: a root span, started and ended. W2: 10 children of a root, a name, 5 strings and 5 integers each. W3: W2 with 1 KB of
  JSON text as input and 1 KB as output. W3d: the same from objects, which the library makes text of. Every span is current
  while it is open, by `with start_span(...)` or `start_as_current_span(...)`.
- *decorated*: a call of a function of two arguments, which are recorded as its result is: by `@trace`, and for
  OpenTelemetry by what a program writes by hand for the same span. *{GENERATOR}*: all of it, where every item is
  recorded as an event of the span and all together as its outputs, as MLflow does; for OpenTelemetry by hand again.
- *text* and *object*: a root span with that much input, given as text or as a list of dictionaries.
- W4: traces of 10 spans of W3, recorded as fast as one thread can and exported over loopback to a sink (`tests/faults`)
  that counts them, until it has the last one. This is by the clock, and the sink shares the machine. Ours go without a
  request for each trace (`export.trace_info = spans_only`), as OpenTelemetry's do, and with one as they do by default.
- *import*: processor time of a process that imports the package and ends, against one that only ends.
- *exit*: by the clock, of a program with one trace for a server that accepts and never answers.

| | |
|---|---|
{lines(machine)}

## Targets

| | target | measured | |
|---|---|---|---|
{lines(targets(figures))}

## Nanoseconds of the recording thread

For W1 to W3d a span, for the others a call.

| | mlflow-trace | OpenTelemetry | MLflow | faster than OpenTelemetry | than MLflow |
|---|---|---|---|---|---|
{lines(cost_rows(figures.costs, "thread"))}

The same of the whole process: other threads of the peers take the interpreter away from the recording one, ours do not need
it.

| | mlflow-trace | OpenTelemetry | MLflow | faster than OpenTelemetry | than MLflow |
|---|---|---|---|---|---|
{lines(cost_rows(figures.costs, "process"))}

## W4

| | spans/s | recorded, spans/s | CPU of the process, ns a span | missing |
|---|---|---|---|---|
{lines(export_rows(figures.export))}

## Import

| | process, ms | more than the interpreter, ms |
|---|---|---|
{lines(import_rows(figures.imports))}
"""
