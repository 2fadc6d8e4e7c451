"""Which OpenTelemetry provider shares its traces with ours."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["get_bridged_tracer_provider"]

_VARIABLE = "MLFLOW_USE_DEFAULT_TRACER_PROVIDER"
_own: TracerProvider | None = None


def get_bridged_tracer_provider() -> TracerProvider:
    """Return a provider whose spans are recorded here, for instrumentation that takes one.

    It is the package's own, which leaves the global one alone; with
    `MLFLOW_USE_DEFAULT_TRACER_PROVIDER=false` it is the global one, which is made if there is none.

    Raises:
        UnsupportedError: Without OpenTelemetry's SDK.

    """
    global _own
    from opentelemetry.sdk.trace import TracerProvider

    from mlflow_trace import otel

    if _is_unified():
        return _unified()
    if _own is None:
        own = TracerProvider(shutdown_on_exit=False)
        otel.add_to(own)
        _own = own
    return _own


def unify(begin: bool = False) -> None:
    """Share traces with the global provider if `MLFLOW_USE_DEFAULT_TRACER_PROVIDER=false`.

    Called wherever a program configures this package or decorates a function, because the provider
    may be set at any time and its spans may begin before ours. With `begin`, one is made if there
    is none.
    """
    if not _is_unified():
        return
    if not begin and "opentelemetry.sdk.trace" not in sys.modules:
        return
    try:
        _unified(begin)
    except ImportError:
        from mlflow_trace._logging import logger

        logger.warning("%s=false has no effect without OpenTelemetry's SDK", _VARIABLE)


def _is_unified() -> bool:
    return os.environ.get(_VARIABLE, "true").strip().lower() in ("false", "0")


def _unified(begin: bool = True) -> TracerProvider:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    from mlflow_trace import otel

    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        if begin:
            trace.set_tracer_provider(provider)
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        otel.add_to(provider)
    return provider
