"""The objects of a trace, named as MLflow names them."""

import importlib
from typing import TYPE_CHECKING, Any

from mlflow_trace._native import LiveSpan

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
    from mlflow_trace.entities.experiment import Experiment, ViewType
    from mlflow_trace.entities.no_op_span import NoOpSpan
    from mlflow_trace.entities.session import Session
    from mlflow_trace.entities.span import Span
    from mlflow_trace.entities.span_parts import (
        Link,
        SpanEvent,
        SpanLogLevel,
        SpanStatus,
        SpanStatusCode,
        SpanType,
    )
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
    from mlflow_trace.entities.trace_state import TraceState

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

# A program pays for the import of those that it uses.
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
    "experiment": ("Experiment", "ViewType"),
    "no_op_span": ("NoOpSpan",),
    "session": ("Session",),
    "span": ("Span",),
    "span_parts": (
        "Link",
        "SpanEvent",
        "SpanLogLevel",
        "SpanStatus",
        "SpanStatusCode",
        "SpanType",
    ),
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
    "trace_state": ("TraceState",),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names or name == module:
            loaded = importlib.import_module(f"{__name__}.{module}")
            # The module itself is an attribute of this one by now.
            if name in names:
                globals()[name] = getattr(loaded, name)
            return globals()[name]
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
