"""Recording for the whole process."""

from __future__ import annotations

from mlflow_trace import _native
from mlflow_trace._logging import logger
from mlflow_trace.tracing.config import reset_config
from mlflow_trace.tracing.destination import reset_destination, set_destination
from mlflow_trace.tracing.otel_provider import get_bridged_tracer_provider, unify

__all__ = [
    "disable",
    "enable",
    "get_bridged_tracer_provider",
    "is_tracing_enabled",
    "reset",
    "set_destination",
]


def disable() -> None:
    """Record nothing in this process until `enable` is called. Open spans go on."""
    _native.set_enabled(False)


def enable() -> None:
    """Record again after `disable`. The option `sdk.disabled` wins."""
    if is_tracing_enabled():
        logger.info("tracing is enabled already")
    _native.set_enabled(True)
    unify()


def is_tracing_enabled() -> bool:
    """Tell whether spans are recorded: not after `disable`, and not with `sdk.disabled`."""
    return _native.is_enabled()


def reset() -> None:
    """Go back to the beginning: recording is enabled, no span processors, no destinations."""
    _native.set_enabled(True)
    reset_config()
    reset_destination()
    unify()
