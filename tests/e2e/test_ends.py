"""Traces and the ends of their processes: which arrive, with the spool that writes through and without one.

Every program prints the id of a trace when that trace's end has returned; the oracle sink says what arrived.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from oracle import Oracle

PROGRAMS = Path(__file__).parent / "ends"
LANGUAGES = {
    "python": [sys.executable, str(PROGRAMS / "recorder.py")],
    "node": ["node", str(PROGRAMS / "recorder.mjs")],
}
SPOOLS = ["write-through", "sync"]
KILLS = 3
# How often a program runs again to deliver what was killed before.
RUNS = 20

# What docs/python.md and docs/node.md promise without a spool: whether all of it is delivered.
ENDS = {
    ("python", "normal exit", 50): True,
    ("python", "SIGTERM", 50): False,
    ("python", "SIGKILL", 50): False,
    ("python", "_exit", 50): False,
    ("python", "pool terminated", 12): False,
    ("python", "pool joined", 12): True,
    ("node", "end of main", 50): True,
    ("node", "process.exit", 50): True,
    ("node", "uncaught exception", 50): True,
    ("node", "SIGTERM", 50): False,
    ("node", "SIGKILL", 50): False,
    ("node", "OpenTelemetry, SIGKILL", 50): False,
    ("node", "worker ended", 50): True,
    ("node", "worker terminated", 50): False,
}


@pytest.fixture(scope="module")
def sink() -> Iterator[Oracle]:
    with Oracle() as oracle:
        yield oracle


@pytest.fixture
def oracle(sink: Oracle) -> Oracle:
    sink.faults({"rules": []})
    sink.reset()
    return sink


def environment(oracle: Oracle, directory: Path, spool: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    return inherited | {
        "MLFLOW_TRACKING_URI": oracle.url,
        "MLFLOW_EXPERIMENT_ID": "0",
        "MLFLOW_TRACE_SPOOL": spool,
        # Longer than usual: how much is delivered must not depend on how busy the machine is.
        "MLFLOW_TRACE_SHUTDOWN_TIMEOUT_MS": "20000",
        "XDG_STATE_HOME": str(directory),
    }


def run(language: str, ending: str, count: int, environment: dict[str, str]) -> set[str]:
    """The traces of a process whose end had returned."""
    command = [*LANGUAGES[language], ending, str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    ended = done.stdout.decode().split()
    assert len(set(ended)) == count, done.stderr.decode()
    return set(ended)


def arrived(oracle: Oracle) -> dict[str, bool]:
    """The traces of which the sink has anything, and whether it has all of them."""
    return {
        identifier: len(trace["spans"]) == 2 and set(trace["infos"]) == {"OK"}
        for identifier, trace in oracle.ledger()["traces"].items()
    }


@pytest.mark.parametrize("spool", SPOOLS)
@pytest.mark.parametrize(("language", "ending", "count"), ENDS)
def test_with_the_spool_all_arrive_once_the_program_has_run_again(
    oracle: Oracle, tmp_path: Path, language: str, ending: str, count: int, spool: str
) -> None:
    variables = environment(oracle, tmp_path, spool)
    ended = run(language, ending, count, variables)
    ended |= run(language, "normal exit", 1, variables)
    assert arrived(oracle) == dict.fromkeys(ended, True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_kill_at_any_moment_loses_none_that_had_ended(
    oracle: Oracle, tmp_path: Path, language: str
) -> None:
    variables = environment(oracle, tmp_path, "write-through")
    # What was open when its process was killed is not to be counted, however slow the machine.
    variables["MLFLOW_TRACE_SPOOL_CLOSE_ORPHANS"] = "false"
    ended: set[str] = set()
    for _ in range(KILLS):
        command = [*LANGUAGES[language], "recording", "0"]
        with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _, line in zip(range(50), process.stdout, strict=False):
                ended.add(line.decode().strip())
            process.kill()
            # Of one at most nobody knows: it may have ended without its id being printed.
            ended.update(process.stdout.read().decode().split())
    # A process that ends at once does not wait for more than the first MiB of what others left.
    for _ in range(RUNS):
        ended |= run(language, "normal exit", 1, variables)
        there = arrived(oracle)
        if ended <= there.keys():
            break
    assert all(there.values())
    assert ended <= there.keys()
    assert len(there) <= len(ended) + KILLS


@pytest.mark.parametrize(("language", "ending", "count"), ENDS)
def test_without_a_spool_it_is_as_documented(
    oracle: Oracle, tmp_path: Path, language: str, ending: str, count: int
) -> None:
    variables = environment(oracle, tmp_path, "off")
    ended = run(language, ending, count, variables)
    ended |= run(language, "normal exit", 1, variables)
    there = arrived(oracle)
    print(f"{language}, {ending}: {sum(there.values()) - 1} of {count}")
    assert there.keys() <= ended
    if ENDS[language, ending, count]:
        assert there == dict.fromkeys(ended, True)
    assert list(tmp_path.iterdir()) == []
