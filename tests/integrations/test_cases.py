"""Each case of each library with the real client: the same trace as MLflow's, or a better one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from compare import compare, libraries, names, write

CASES = [(library, name) for library in libraries() for name in names(library)]
Recorded = Callable[[str], dict[str, Any]]


@pytest.mark.parametrize(("library", "name"), CASES, ids=["-".join(pair) for pair in CASES])
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
    verdict = compare(library, name, cases[name])
    if verdict.difference and pytestconfig.getoption("--write-better"):
        write(library, name, cases[name])
    verdicts[library, name] = verdict.verdict
    if verdict.difference:
        pytest.fail(verdict.difference, pytrace=False)


@pytest.mark.parametrize("library", libraries())
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
