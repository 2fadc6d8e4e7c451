"""Puts the helpers and the server fixture on the import path, and gives tests a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "server")]

from mlflow_server import SERVER_VARIABLE, MlflowServer


@pytest.fixture(scope="session")
def mlflow_url() -> Iterator[str]:
    """The server that the suites share, or one of this session's own."""
    shared = os.environ.get(SERVER_VARIABLE)
    if shared:
        yield shared
    else:
        with MlflowServer() as server:
            yield server.url
