"""Recording for the whole process."""

from __future__ import annotations

from mlflow_trace import _native
from mlflow_trace._logging import logger
from mlflow_trace.tracing.config import reset_config

__all__ = ["disable", "enable", "is_tracing_enabled", "reset"]


def disable() -> None:
    """Record nothing in this process until `enable` is called. Open spans go on."""
    _native.set_enabled(False)


def enable() -> None:
    """Record again after `disable`. The option `sdk.disabled` wins."""
    if is_tracing_enabled():
        logger.info("tracing is enabled already")
    _native.set_enabled(True)


def is_tracing_enabled() -> bool:
    """Tell whether spans are recorded: not after `disable`, and not with `sdk.disabled`."""
    return _native.is_enabled()


def reset() -> None:
    """Go back to the beginning: recording is enabled and there are no span processors."""
    _native.set_enabled(True)
    reset_config()
