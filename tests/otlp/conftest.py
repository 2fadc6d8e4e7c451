"""Puts the helpers and the server fixture on the import path, and gives tests a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "server")]

from mlflow_server import shared_or_own


@pytest.fixture(scope="session")
def mlflow_url() -> Iterator[str]:
    """The server that the suites share, or one of this session's own."""
    with shared_or_own() as url:
        yield url
