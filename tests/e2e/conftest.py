"""Puts the demo and the server fixture on the import path, and gives tests a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

for folder in ("examples/demo", "examples/demo/agent", "tests/server", "tests/faults"):
    sys.path.insert(0, str(REPOSITORY / folder))

from mlflow_server import shared_or_own


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The server that the suites share, or one of this session's own."""
    with shared_or_own() as url:
        yield url
