"""Where the two differ on servers of older versions, and why.

What a server lacks, MLflow's SDK of today and ours may make up for in different ways; and some of what older servers
do is decided by which of two requests of MLflow's SDK comes first. `EXPECTED` lists it: everything else has to be
equal there as well.
"""

from __future__ import annotations

import functools
import os
import re
import urllib.request
from typing import NamedTuple

import pytest

SERVER = os.environ.get("MLFLOW_TRACE_TEST_SERVER", "")

Version = tuple[int, int]


class Expected(NamedTuple):
    """A difference on servers before a version: in which tests, and which line of it."""

    before: Version
    tests: str
    line: str
    reason: str


ALL = (99, 0)

EXPECTED = (
    Expected(
        (3, 12),
        "attachments::limit::.*",
        "/(info/state|status/code|status/message|events|attributes/mlflow.spanLogLevel): ",
        "what stays in its span cannot be too large for an attachment, and fails nothing",
    ),
    Expected(
        (3, 14),
        "annotating::deletions",
        "/1/1: MLflow .*FOREIGN KEY constraint failed",
        "the server lets its database say that there is no such trace; ours says that",
    ),
    Expected(
        (3, 12),
        "attachments::(default|limit)::.*",
        "/(mlflow.spanInputs|mlflow.spanOutputs|mlflow.traceInputs|mlflow.traceOutputs|"
        "request_preview|response_preview|sizes/[a-z0-9_]+): ",
        "content found in inputs and outputs stays there for readers that know no attachments",
    ),
    Expected(
        ALL,
        "(reading|annotating)::.*",
        "MLflow .*too many 500 error responses",
        "MLflow's client tries again what the server fails at, and then does not say what that was",
    ),
    Expected(
        ALL,
        "parity::json_looking_surrogates",
        "/sizes/[a-z0-9_]+: ",
        "the question mark that stands for a lone surrogate is shorter than its escape",
    ),
)


# Servers of these versions store what the program records, of either SDK, and then fail at every page of a search that
# has it: from the first version, before the second.
UNREADABLE = {"json_looking_surrogates": ((3, 11), (3, 17))}


def unreadable() -> list[str]:
    """The programs whose traces the server could not read."""
    return [name for name, (since, before) in UNREADABLE.items() if since <= version() < before]


@functools.cache
def version() -> Version:
    """The version of the server."""
    with urllib.request.urlopen(f"{SERVER}/version") as reply:
        major, minor = reply.read().decode().split(".")[:2]
    return int(major), int(minor)


def judge(test: str, differences: list[str]) -> None:
    """Fail for what differs and is not expected of this server; otherwise pass, or xfail with the reasons."""
    here = [one for one in EXPECTED if version() < one.before and re.fullmatch(one.tests, test)]
    reasons: dict[str, None] = {}
    for line in differences:
        reason = next((one.reason for one in here if re.search(one.line, line)), None)
        assert reason is not None, differences
        reasons[reason] = None
    if reasons:
        pytest.xfail("; ".join(reasons))
