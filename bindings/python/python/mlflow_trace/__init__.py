"""Records and exports MLflow / GenAI traces: the tracing API of MLflow on a native engine.

`import mlflow_trace as mlflow` runs a program that was written for MLflow's tracing API.
"""

import importlib
from typing import TYPE_CHECKING

from mlflow_trace import entities, exceptions, tracing
from mlflow_trace._assessments import (
    delete_assessment,
    get_assessment,
    log_assessment,
    log_expectation,
    log_feedback,
    override_feedback,
    update_assessment,
)
from mlflow_trace._client import MlflowClient
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
from mlflow_trace._experiments import (
    create_experiment,
    delete_experiment,
    get_experiment,
    get_experiment_by_name,
    search_experiments,
)
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
from mlflow_trace._reading import (
    delete_trace_tag,
    get_trace,
    search_sessions,
    search_traces,
    set_trace_tag,
)
from mlflow_trace.exceptions import MlflowException, MlflowTraceError
from mlflow_trace.integrations.registry import NAMES as _NAMES
from mlflow_trace.integrations.registry import autolog

if TYPE_CHECKING:
    from mlflow_trace import (
        ag2,
        agno,
        anthropic,
        bedrock,
        crewai,
        dspy,
        gemini,
        groq,
        http,
        langchain,
        litellm,
        llama_index,
        mistral,
        openai,
        pydantic_ai,
        semantic_kernel,
        smolagents,
    )

__all__ = [
    "MlflowClient",
    "MlflowException",
    "MlflowTraceError",
    "__version__",
    "add_trace",
    "ag2",
    "agno",
    "anthropic",
    "autolog",
    "bedrock",
    "configure",
    "create_experiment",
    "crewai",
    "delete_assessment",
    "delete_experiment",
    "delete_trace_tag",
    "diagnostics",
    "dspy",
    "entities",
    "exceptions",
    "flush",
    "flush_trace_async_logging",
    "gemini",
    "get_active_trace_id",
    "get_assessment",
    "get_current_active_span",
    "get_experiment",
    "get_experiment_by_name",
    "get_last_active_trace_id",
    "get_trace",
    "get_tracking_uri",
    "groq",
    "health",
    "http",
    "langchain",
    "litellm",
    "llama_index",
    "log_assessment",
    "log_expectation",
    "log_feedback",
    "log_trace",
    "mistral",
    "openai",
    "override_feedback",
    "pydantic_ai",
    "search_experiments",
    "search_sessions",
    "search_traces",
    "semantic_kernel",
    "set_experiment",
    "set_trace_tag",
    "set_tracking_uri",
    "shutdown",
    "smolagents",
    "start_span",
    "start_span_no_context",
    "stats",
    "trace",
    "tracing",
    "update_assessment",
    "update_current_trace",
]

_install()


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Integrations, which a program that uses none of them does not load.
        if name in _NAMES or name == "http":
            return importlib.import_module(f"mlflow_trace.{name}")
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
