"""Each case of each library with the real client: the same trace as MLflow's, or a better one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from compare import compare, libraries, names, write

Recorded = Callable[[str], dict[str, Any]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = metafunc.config.getoption("--libraries")
    chosen = wanted.split(",") if wanted else libraries()
    if "name" in metafunc.fixturenames:
        cases = [(library, name) for library in chosen for name in names(library)]
        metafunc.parametrize(("library", "name"), cases, ids=["-".join(pair) for pair in cases])
    else:
        metafunc.parametrize("library", chosen)


def test_case(
    library: str,
    name: str,
    recorded: Recorded,
    verdicts: dict[tuple[str, str], str],
    pytestconfig: pytest.Config,
) -> None:
    cases = recorded(library)
    verdicts[library, name] = "FAILED"
    assert name in cases, f"no case {name} was run:\n{cases['']['stderr']}"
    whole = not pytestconfig.getoption("--names-and-types")
    verdict = compare(library, name, cases[name], whole)
    if verdict.difference and pytestconfig.getoption("--write-better"):
        write(library, name, cases[name])
    verdicts[library, name] = verdict.verdict
    if verdict.difference:
        pytest.fail(verdict.difference, pytrace=False)


def test_every_case_is_compared_and_nothing_is_reported(
    library: str, recorded: Recorded, pytestconfig: pytest.Config
) -> None:
    cases = recorded(library)
    for name in set(cases) - {"", *names(library)}:
        if pytestconfig.getoption("--write-better"):
            write(library, name, cases[name])
    assert cases[""]["code"] == 0, cases[""]["stderr"]
    assert sorted(name for name in cases if name) == names(library)
    assert "what is recorded may lack it" not in cases[""]["stderr"]
