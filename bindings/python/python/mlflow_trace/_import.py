"""Traces that were made elsewhere or afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace._logging import logger
from mlflow_trace.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from mlflow_trace.entities import LiveSpan, NoOpSpan, Span, Trace

_MILLISECOND = 1_000_000
_INTERMEDIATE_OUTPUTS = "mlflow.trace.intermediate_outputs"
_TRACE_ID = "mlflow.traceRequestId"
_START_TIME = "mlflow.spanStartTimeNs"


def log_trace(
    name: str = "Task",
    request: Any = None,
    response: Any = None,
    intermediate_outputs: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
    start_time_ms: int | None = None,
    execution_time_ms: int | None = None,
) -> str:
    """Record a trace of one span after the fact and return its id.

    Args:
        name: Name of the trace.
        request: Its inputs.
        response: Its outputs.
        intermediate_outputs: Outputs of steps in between, by name.
        attributes: Attributes of the span.
        tags: Tags of the trace.
        start_time_ms: Start in milliseconds since the Unix epoch; now by default.
        execution_time_ms: Duration in milliseconds, with a start only.

    """
    if intermediate_outputs:
        attributes = {**(attributes or {}), _INTERMEDIATE_OUTPUTS: intermediate_outputs}
    start = None if start_time_ms is None else start_time_ms * _MILLISECOND
    end = None
    if start is not None and execution_time_ms is not None:
        end = start + execution_time_ms * _MILLISECOND
    span = _native.start_span_no_context(
        name, inputs=request, attributes=attributes, tags=tags, start_time_ns=start
    )
    span.end(outputs=response, end_time_ns=end)
    return span.trace_id


def add_trace(trace: Trace | dict[str, Any], target: LiveSpan | NoOpSpan | None = None) -> None:
    """Make the spans of a finished trace part of another one, below a span of it.

    They keep their ids. Tags and metadata are taken over where the other trace has none of that
    name, but for what MLflow computes itself. Links are not.

    Args:
        trace: A `Trace`, or what its `to_dict` gave.
        target: The span; the current one by default, and a new root span where there is none.

    Raises:
        InvalidArgumentError: For what is no trace or is not finished.

    """
    from mlflow_trace.entities import LiveSpan

    if not _native.is_enabled():
        return
    found = _checked(trace)
    spans = found.data.spans
    span = _native.get_current_active_span() if target is None else target
    if span is not None:
        # Below a span that is not recorded, nothing is.
        if isinstance(span, LiveSpan):
            _merge(found, span)
        return
    if not spans:
        return
    root = next((span for span in spans if span.parent_id is None), spans[0])
    own = _native.start_span_no_context(
        f"Remote Trace <{root.name}>",
        inputs=root.inputs,
        attributes={key: value for key, value in root.attributes.items() if key != _TRACE_ID},
        # Readers that sort by time find the parent first.
        start_time_ns=root.start_time_ns - 1,
    )
    if isinstance(own, LiveSpan):
        _merge(found, own)
    own.end(outputs=root.outputs, status=found.info.state.value, end_time_ns=root.end_time_ns)


def _checked(trace: Trace | dict[str, Any]) -> Trace:
    from mlflow_trace.entities import Trace, TraceState

    if isinstance(trace, dict):
        trace = Trace.from_dict(trace)
    elif not isinstance(trace, Trace):
        # One of MLflow's own.
        to_dict = getattr(trace, "to_dict", None)
        if to_dict is None:
            message = (
                f"Invalid trace object: {type(trace)}. Please provide a Trace or its dictionary."
            )
            raise InvalidArgumentError(message)
        trace = Trace.from_dict(to_dict())
    if trace.info.state not in (TraceState.OK, TraceState.ERROR):
        message = (
            "The trace must be ended before adding it to another trace. "
            f"Current status: {trace.info.state}."
        )
        raise InvalidArgumentError(message)
    return trace


def _merge(trace: Trace, target: LiveSpan) -> None:
    known = {span.span_id for span in trace.data.spans}
    for span in trace.data.spans:
        parent = span.parent_id if span.parent_id in known else None
        _merge_span(span, parent or target.span_id, target)
    if any(span.links for span in trace.data.spans):
        logger.warning("links of the spans of an added trace are not kept")
    info = trace.info
    _native.supplement_trace(target, _foreign(info.tags), _foreign(info.trace_metadata))


def _merge_span(span: Span, parent_id: str, target: LiveSpan) -> None:
    data = span.to_dict()
    status = data["status"]
    _native.merge_span(
        target,
        span.name,
        span.span_id,
        parent_id,
        span.start_time_ns,
        span.end_time_ns or span.start_time_ns,
        # As MLflow marks spans whose start was given.
        {_START_TIME: str(span.start_time_ns)} | data["attributes"],
        [(event.name, event.timestamp, event.attributes) for event in span.events],
        status["message"] if status["code"] == "STATUS_CODE_ERROR" else None,
    )


# Reserved keys whose values users choose; the others are computed for every trace anew.
_CHOSEN = ("mlflow.trace.session", "mlflow.trace.user", "mlflow.sourceRun", "mlflow.modelId")


def _foreign(pairs: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in pairs.items()
        if not key.startswith("mlflow.") or key in _CHOSEN
    }
