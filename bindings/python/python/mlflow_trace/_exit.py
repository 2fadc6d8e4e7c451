"""Delivery at the end of the process, and of the children that `multiprocessing` forks."""

from __future__ import annotations

import atexit
import os
import sys

from mlflow_trace import _native
from mlflow_trace._logging import logger


class _ForkedChild:
    """Key of `multiprocessing`'s registry of callbacks, which keeps its keys weakly."""


_FORKED_CHILD = _ForkedChild()


def _shutdown() -> None:
    try:
        milliseconds = int(_native.get_option("shutdown.timeout_ms"))
        _native.shutdown(timeout=milliseconds / 1000)
    except Exception:  # noqa: BLE001 - an exit must not fail because of tracing
        logger.debug("the last delivery failed", exc_info=True)


def _at_exit_of_child(_key: object) -> None:
    # A forked worker leaves by os._exit, past atexit, but runs multiprocessing's own finalizers.
    util = sys.modules["multiprocessing.util"]
    util.Finalize(None, _shutdown, exitpriority=0)


def _after_fork() -> None:
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(_FORKED_CHILD, _at_exit_of_child)


def _in_worker() -> None:
    """Where a worker itself imports this, as those of a fork server do, see to its end as well."""
    if "multiprocessing.process" not in sys.modules:
        return
    _after_fork()
    if sys.modules["multiprocessing.process"].parent_process() is not None:
        _at_exit_of_child(None)


def install() -> None:
    """Deliver what is left when the process ends, within `shutdown.timeout_ms`."""
    atexit.register(_shutdown)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
    _in_worker()
