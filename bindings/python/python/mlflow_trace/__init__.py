"""Records and exports MLflow / GenAI traces: the tracing API of MLflow on a native engine.

`import mlflow_trace as mlflow` runs a program that was written for MLflow's tracing API.
"""

from mlflow_trace import entities, exceptions, tracing
from mlflow_trace._config import (
    configure,
    flush_trace_async_logging,
    get_tracking_uri,
    health,
    set_experiment,
    set_tracking_uri,
)
from mlflow_trace._decorator import trace
from mlflow_trace._exit import install as _install
from mlflow_trace._import import add_trace, log_trace
from mlflow_trace._native import VERSION as __version__  # noqa: N811
from mlflow_trace._native import (
    diagnostics,
    flush,
    get_active_trace_id,
    get_current_active_span,
    get_last_active_trace_id,
    shutdown,
    start_span,
    start_span_no_context,
    stats,
    update_current_trace,
)
from mlflow_trace.exceptions import MlflowException, MlflowTraceError

__all__ = [
    "MlflowException",
    "MlflowTraceError",
    "__version__",
    "add_trace",
    "configure",
    "diagnostics",
    "entities",
    "exceptions",
    "flush",
    "flush_trace_async_logging",
    "get_active_trace_id",
    "get_current_active_span",
    "get_last_active_trace_id",
    "get_tracking_uri",
    "health",
    "log_trace",
    "set_experiment",
    "set_tracking_uri",
    "shutdown",
    "start_span",
    "start_span_no_context",
    "stats",
    "trace",
    "tracing",
    "update_current_trace",
]

_install()
