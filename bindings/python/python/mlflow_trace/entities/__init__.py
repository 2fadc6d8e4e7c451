"""The objects of a trace, named as MLflow names them."""

import importlib
from typing import TYPE_CHECKING, Any

from mlflow_trace._native import LiveSpan
from mlflow_trace.entities.experiment import Experiment, ViewType
from mlflow_trace.entities.no_op_span import NoOpSpan
from mlflow_trace.entities.span_parts import (
    Link,
    SpanEvent,
    SpanLogLevel,
    SpanStatus,
    SpanStatusCode,
    SpanType,
)
from mlflow_trace.entities.trace_state import TraceState

if TYPE_CHECKING:
    from mlflow_trace.entities.assessment import (
        Assessment,
        AssessmentError,
        AssessmentSource,
        AssessmentSourceType,
        Expectation,
        Feedback,
        IssueReference,
    )
    from mlflow_trace.entities.session import Session
    from mlflow_trace.entities.span import Span
    from mlflow_trace.entities.trace import Trace, TraceData
    from mlflow_trace.entities.trace_info import TraceInfo
    from mlflow_trace.entities.trace_location import (
        InferenceTableLocation,
        MlflowExperimentLocation,
        TraceLocation,
        TraceLocationType,
        UCSchemaLocation,
        UnityCatalog,
    )

__all__ = [
    "Assessment",
    "AssessmentError",
    "AssessmentSource",
    "AssessmentSourceType",
    "Expectation",
    "Experiment",
    "Feedback",
    "InferenceTableLocation",
    "IssueReference",
    "Link",
    "LiveSpan",
    "MlflowExperimentLocation",
    "NoOpSpan",
    "Session",
    "Span",
    "SpanEvent",
    "SpanLogLevel",
    "SpanStatus",
    "SpanStatusCode",
    "SpanType",
    "Trace",
    "TraceData",
    "TraceInfo",
    "TraceLocation",
    "TraceLocationType",
    "TraceState",
    "UCSchemaLocation",
    "UnityCatalog",
    "ViewType",
]

# Programs that only record need none of these, and should not pay for their import.
_LATER = {
    "assessment": (
        "Assessment",
        "AssessmentError",
        "AssessmentSource",
        "AssessmentSourceType",
        "Expectation",
        "Feedback",
        "IssueReference",
    ),
    "session": ("Session",),
    "span": ("Span",),
    "trace": ("Trace", "TraceData"),
    "trace_info": ("TraceInfo",),
    "trace_location": (
        "InferenceTableLocation",
        "MlflowExperimentLocation",
        "TraceLocation",
        "TraceLocationType",
        "UCSchemaLocation",
        "UnityCatalog",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
