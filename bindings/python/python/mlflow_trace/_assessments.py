"""Feedback and expectations about traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_trace._client import MlflowClient
from mlflow_trace.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from mlflow_trace.entities import Assessment, AssessmentError, AssessmentSource


def log_assessment(trace_id: str, assessment: Assessment) -> Assessment:
    """Add a `Feedback` or an `Expectation` to a trace.

    A trace that is still recorded takes it along; one that was not delivered yet is delivered
    first.

    Args:
        trace_id: The trace.
        assessment: What is said about it; its `trace_id` is set.

    Returns:
        The assessment with its id.

    Raises:
        NotFoundError: Where there is no such trace.

    """
    assessment.trace_id = trace_id
    return MlflowClient().log_assessment(trace_id, assessment)


def log_feedback(
    *,
    trace_id: str,
    name: str = "feedback",
    value: Any = None,
    source: AssessmentSource | None = None,
    error: Exception | AssessmentError | None = None,
    rationale: str | None = None,
    metadata: dict[str, Any] | None = None,
    span_id: str | None = None,
) -> Assessment:
    """Say how good a trace, or one of its spans, is.

    Args:
        trace_id: The trace.
        name: What is judged.
        value: A boolean, number, text, list or dictionary; servers store numbers as floats.
        source: Who judges; a program by default.
        error: Why there is no value.
        rationale: Why.
        metadata: More about it.
        span_id: The span, where it is about one.

    Returns:
        The feedback with its id.

    """
    from mlflow_trace.entities import Feedback

    feedback = Feedback(
        name=name,
        value=value,
        source=source,
        error=error,
        rationale=rationale,
        metadata=metadata,
        span_id=span_id,
    )
    return log_assessment(trace_id, feedback)


def log_expectation(
    *,
    trace_id: str,
    name: str,
    value: Any,
    source: AssessmentSource | None = None,
    metadata: dict[str, Any] | None = None,
    span_id: str | None = None,
) -> Assessment:
    """Say what should have come out of a trace, or of one of its spans.

    Args:
        trace_id: The trace.
        name: What is expected.
        value: Anything that JSON can hold but None.
        source: Who expects it; a person by default.
        metadata: More about it.
        span_id: The span, where it is about one.

    Returns:
        The expectation with its id.

    """
    from mlflow_trace.entities import Expectation

    expectation = Expectation(
        name=name, value=value, source=source, metadata=metadata, span_id=span_id
    )
    return log_assessment(trace_id, expectation)


def get_assessment(trace_id: str, assessment_id: str) -> Assessment:
    """Return an assessment of a trace.

    Raises:
        NotFoundError: Where there is none.

    """
    return MlflowClient().get_assessment(trace_id, assessment_id)


def update_assessment(trace_id: str, assessment_id: str, assessment: Assessment) -> Assessment:
    """Change name, value, rationale and metadata of an assessment; its kind and source stay.

    Raises:
        NotFoundError: Where there is none.

    """
    return MlflowClient().update_assessment(trace_id, assessment_id, assessment)


def override_feedback(
    *,
    trace_id: str,
    assessment_id: str,
    value: Any,
    rationale: str | None = None,
    source: AssessmentSource | None = None,
    metadata: dict[str, Any] | None = None,
) -> Assessment:
    """Add feedback that stands in for another one, which stays and is no longer valid.

    Raises:
        NotFoundError: Where there is no such feedback.
        InvalidArgumentError: Where the other one is no feedback.

    """
    from mlflow_trace.entities import Feedback

    old = get_assessment(trace_id, assessment_id)
    if not isinstance(old, Feedback):
        message = f"The assessment with ID {assessment_id} is not a feedback assessment."
        raise InvalidArgumentError(message)
    feedback = Feedback(
        name=old.name,
        span_id=old.span_id,
        value=value,
        rationale=rationale,
        source=source,
        metadata=metadata,
        overrides=old.assessment_id,
    )
    return log_assessment(trace_id, feedback)


def delete_assessment(trace_id: str, assessment_id: str) -> None:
    """Delete an assessment of a trace; one that there is not is no error."""
    MlflowClient().delete_assessment(trace_id, assessment_id)
