"""Keeps what goes wrong in an integration away from the program."""

from __future__ import annotations

import threading

from mlflow_trace._logging import logger

_reported: set[str] = set()
_silenced: set[str] = set()
_lock = threading.Lock()


def report(what: str, error: BaseException) -> None:
    """Log that something could not be traced as it should: once per process for each `what`.

    Args:
        what: What failed, beginning with the integration's name, for instance `openai: inputs`.
        error: Why.

    """
    if what in _reported or what.partition(":")[0] in _silenced:
        return
    with _lock:
        if what in _reported:
            return
        _reported.add(what)
    kind = type(error).__name__
    logger.warning("%s failed with %s: %s; what is recorded may lack it", what, kind, error)


def silence(integration: str, *, silent: bool) -> None:
    """Log nothing about an integration, or log again."""
    with _lock:
        (_silenced.add if silent else _silenced.discard)(integration)
