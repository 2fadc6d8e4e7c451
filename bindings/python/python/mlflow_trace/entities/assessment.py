"""Feedback and expectations about a trace or one of its spans."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from mlflow_trace.entities._times import from_rfc3339, to_rfc3339
from mlflow_trace.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Assessment",
    "AssessmentError",
    "AssessmentSource",
    "AssessmentSourceType",
    "Expectation",
    "ExpectationValue",
    "Feedback",
    "FeedbackValue",
    "IssueReference",
    "IssueReferenceValue",
]

_SOURCE_RUN = "mlflow.assessment.sourceRunId"
# As MLflow 3.17.2 cuts stack traces before it sends them.
_STACK_TRACE_LENGTH = 10_000
_STACK_TRACE_CUT = "[Stack trace is truncated]\n...\n"


class AssessmentSourceType:
    """Kinds of sources."""

    SOURCE_TYPE_UNSPECIFIED: Final = "SOURCE_TYPE_UNSPECIFIED"
    LLM_JUDGE: Final = "LLM_JUDGE"
    AI_JUDGE: Final = "AI_JUDGE"
    HUMAN: Final = "HUMAN"
    CODE: Final = "CODE"

    @classmethod
    def _standardize(cls, source_type: str) -> str:
        name = str(source_type).upper()
        if name == cls.AI_JUDGE:
            return cls.LLM_JUDGE
        if name not in (cls.SOURCE_TYPE_UNSPECIFIED, cls.LLM_JUDGE, cls.HUMAN, cls.CODE):
            message = f"Invalid assessment source type: {source_type}"
            raise InvalidArgumentError(message)
        return name


@dataclass
class AssessmentSource:
    """Who made an assessment: a person, a model or a program."""

    source_type: str
    source_id: str | None = "default"

    def __post_init__(self) -> None:
        self.source_type = AssessmentSourceType._standardize(self.source_type)

    def to_dictionary(self) -> dict[str, Any]:
        """Give the source as in MLflow's JSON."""
        return asdict(self)

    @classmethod
    def from_dictionary(cls, source_dict: dict[str, Any]) -> Self:
        """Read what `to_dictionary` gave."""
        return cls(**source_dict)


@dataclass
class AssessmentError:
    """Why there is no feedback."""

    error_code: str
    error_message: str | None = None
    stack_trace: str | None = None

    def to_dictionary(self) -> dict[str, Any]:
        """Give the error as in MLflow's JSON."""
        return asdict(self)

    @classmethod
    def from_dictionary(cls, error_dict: dict[str, Any]) -> Self:
        """Read what `to_dictionary` gave."""
        return cls(**error_dict)

    def _sent(self) -> dict[str, Any]:
        stack_trace = self.stack_trace
        if stack_trace and len(stack_trace) > _STACK_TRACE_LENGTH:
            kept = _STACK_TRACE_LENGTH - len(_STACK_TRACE_CUT)
            stack_trace = _STACK_TRACE_CUT + stack_trace[-kept:]
        return _present(
            {
                "error_code": self.error_code,
                "error_message": self.error_message or None,
                "stack_trace": stack_trace or None,
            }
        )


@dataclass
class FeedbackValue:
    """What feedback says, or why it says nothing."""

    value: Any
    error: AssessmentError | None = None

    def to_dictionary(self) -> dict[str, Any]:
        """Give the value as in MLflow's JSON."""
        d = {"value": self.value}
        return d | {"error": self.error._sent()} if self.error else d

    @classmethod
    def from_dictionary(cls, d: dict[str, Any]) -> Self:
        """Read what `to_dictionary` gave."""
        error = d.get("error")
        return cls(d.get("value"), AssessmentError.from_dictionary(error) if error else None)


@dataclass
class ExpectationValue:
    """What was expected."""

    value: Any

    def to_dictionary(self) -> dict[str, Any]:
        """Give the value as in MLflow's JSON; a container as JSON text."""
        if self.value is None or isinstance(self.value, (int, float, bool, str)):
            return {"value": self.value}
        try:
            text = json.dumps(self.value)
        except (TypeError, ValueError) as error:
            message = "an expectation must be a value that JSON can hold"
            raise InvalidArgumentError(message) from error
        return {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": text}}

    @classmethod
    def from_dictionary(cls, d: dict[str, Any]) -> Self:
        """Read what `to_dictionary` gave."""
        if "serialized_value" in d:
            return cls(json.loads(d["serialized_value"]["value"]))
        return cls(d["value"])


@dataclass
class IssueReferenceValue:
    """Which issue is meant."""

    issue_name: str

    def to_dictionary(self) -> dict[str, Any]:
        """Give the value as in MLflow's JSON."""
        return asdict(self)

    @classmethod
    def from_dictionary(cls, d: dict[str, Any]) -> Self:
        """Read what `to_dictionary` gave."""
        return cls(d["issue_name"])


@dataclass
class Assessment:
    """Feedback, an expectation or an issue; make one as `Feedback` or `Expectation`."""

    name: str
    source: AssessmentSource
    trace_id: str | None = None
    run_id: str | None = None
    rationale: str | None = None
    metadata: dict[str, str] | None = None
    span_id: str | None = None
    create_time_ms: int | None = None
    last_update_time_ms: int | None = None
    assessment_id: str | None = None
    error: AssessmentError | None = None
    expectation: ExpectationValue | None = None
    feedback: FeedbackValue | None = None
    overrides: str | None = None
    valid: bool | None = None
    issue: IssueReferenceValue | None = None

    def __post_init__(self) -> None:
        values = (self.expectation, self.feedback, self.issue)
        if sum(value is not None for value in values) != 1:
            message = "Exactly one of `expectation`, `feedback`, or `issue` should be specified."
            raise InvalidArgumentError(message)
        if not isinstance(self.source, AssessmentSource):
            message = (
                "`source` must be an instance of `AssessmentSource`. "
                f"Got {type(self.source)} instead."
            )
            raise InvalidArgumentError(message)
        if self.error is not None:
            if self.feedback is None:
                message = "Cannot set `error` when `expectation` is specified."
                raise InvalidArgumentError(message)
            self.feedback.error = self.error
        now = int(time.time() * 1000)
        self.create_time_ms = now if self.create_time_ms is None else self.create_time_ms
        if self.last_update_time_ms is None:
            self.last_update_time_ms = now
        if self.run_id is None and self.metadata:
            self.run_id = self.metadata.get(_SOURCE_RUN)

    def to_dictionary(self) -> dict[str, Any]:
        """Give the assessment as in MLflow's JSON; what is not set is left out."""
        assert self.create_time_ms is not None and self.last_update_time_ms is not None  # noqa: S101
        metadata = {key: str(value) for key, value in (self.metadata or {}).items()}
        return _present(
            {
                "assessment_id": self.assessment_id,
                "assessment_name": self.name,
                "trace_id": self.trace_id or None,
                "span_id": self.span_id,
                "source": _present(self.source.to_dictionary()),
                "create_time": to_rfc3339(self.create_time_ms),
                "last_update_time": to_rfc3339(self.last_update_time_ms),
                "feedback": self.feedback and self.feedback.to_dictionary(),
                "expectation": self.expectation and self.expectation.to_dictionary(),
                "issue": self.issue and self.issue.to_dictionary(),
                "rationale": self.rationale,
                "metadata": metadata or None,
                "overrides": self.overrides or None,
                "valid": self.valid,
            }
        )

    @classmethod
    def from_dictionary(cls, d: dict[str, Any]) -> Assessment:
        """Read what `to_dictionary` gave, here or in MLflow.

        Raises:
            InvalidArgumentError: For what is neither feedback nor an expectation nor an issue.

        """
        assessment: Assessment
        if "feedback" in d:
            feedback = FeedbackValue.from_dictionary(d["feedback"])
            assessment = Feedback(
                **_common(d),
                value=feedback.value,
                error=feedback.error,
                rationale=d.get("rationale"),
                overrides=d.get("overrides"),
                valid=d.get("valid", True),
            )
        elif "expectation" in d:
            expectation = ExpectationValue.from_dictionary(d["expectation"])
            assessment = Expectation(**_common(d), value=expectation.value)
        elif "issue" in d:
            common = _common(d)
            assessment = IssueReference(
                issue_id=common.pop("name"),
                issue_name=IssueReferenceValue.from_dictionary(d["issue"]).issue_name,
                rationale=d.get("rationale"),
                **common,
            )
        else:
            message = f"Unknown assessment type: {d.get('assessment_name')}"
            raise InvalidArgumentError(message)
        assessment.assessment_id = d.get("assessment_id") or None
        return assessment


class Feedback(Assessment):
    """A judgement about what was done, by default of a program."""

    def __init__(
        self,
        name: str = "feedback",
        value: Any = None,
        error: Exception | AssessmentError | str | None = None,
        source: AssessmentSource | None = None,
        trace_id: str | None = None,
        metadata: dict[str, str] | None = None,
        span_id: str | None = None,
        create_time_ms: int | None = None,
        last_update_time_ms: int | None = None,
        rationale: str | None = None,
        overrides: str | None = None,
        valid: bool = True,
    ) -> None:
        """Take the value, or the error because of which there is none."""
        failure = _failure(error)
        super().__init__(
            name=name,
            source=source or AssessmentSource(AssessmentSourceType.CODE),
            trace_id=trace_id,
            metadata=metadata,
            span_id=span_id,
            create_time_ms=create_time_ms,
            last_update_time_ms=last_update_time_ms,
            feedback=FeedbackValue(value, failure),
            rationale=rationale,
            overrides=overrides,
            valid=valid,
        )
        self.error = failure

    @property
    def value(self) -> Any:
        """What the feedback says."""
        return self.feedback.value if self.feedback else None

    @value.setter
    def value(self, value: Any) -> None:
        self.feedback = FeedbackValue(value, self.error)

    @property
    def error_code(self) -> str | None:
        """The code of the error, if there is one."""
        return self.error.error_code if self.error else None

    @property
    def error_message(self) -> str | None:
        """The message of the error, if there is one."""
        return self.error.error_message if self.error else None


class Expectation(Assessment):
    """What should have been done, by default by a person's word."""

    def __init__(
        self,
        name: str,
        value: Any,
        source: AssessmentSource | None = None,
        trace_id: str | None = None,
        metadata: dict[str, str] | None = None,
        span_id: str | None = None,
        create_time_ms: int | None = None,
        last_update_time_ms: int | None = None,
    ) -> None:
        """Take the value, anything that JSON can hold but None."""
        if value is None:
            message = "The `value` field must be specified."
            raise InvalidArgumentError(message)
        super().__init__(
            name=name,
            source=source or AssessmentSource(AssessmentSourceType.HUMAN),
            trace_id=trace_id,
            metadata=metadata,
            span_id=span_id,
            create_time_ms=create_time_ms,
            last_update_time_ms=last_update_time_ms,
            expectation=ExpectationValue(value),
        )

    @property
    def value(self) -> Any:
        """What is expected."""
        return self.expectation.value if self.expectation else None

    @value.setter
    def value(self, value: Any) -> None:
        self.expectation = ExpectationValue(value)


class IssueReference(Assessment):
    """That a trace shows an issue of the server, by default by a model's word."""

    def __init__(
        self,
        issue_id: str,
        issue_name: str,
        source: AssessmentSource | None = None,
        trace_id: str | None = None,
        run_id: str | None = None,
        rationale: str | None = None,
        metadata: dict[str, str] | None = None,
        span_id: str | None = None,
        create_time_ms: int | None = None,
        last_update_time_ms: int | None = None,
    ) -> None:
        """Take id and name of the issue."""
        super().__init__(
            name=issue_id,
            source=source or AssessmentSource(AssessmentSourceType.LLM_JUDGE),
            trace_id=trace_id,
            run_id=run_id,
            rationale=rationale,
            metadata=metadata,
            span_id=span_id,
            create_time_ms=create_time_ms,
            last_update_time_ms=last_update_time_ms,
            issue=IssueReferenceValue(issue_name),
        )

    @property
    def issue_id(self) -> str:
        """The id of the issue."""
        return self.name

    @property
    def issue_name(self) -> str:
        """The name of the issue."""
        return self.issue.issue_name if self.issue else ""


def _failure(error: Exception | AssessmentError | str | None) -> AssessmentError | None:
    if error is None or isinstance(error, AssessmentError):
        return error
    if isinstance(error, Exception):
        # MLflow puts the exception before its traceback.
        stack_trace = (repr(error) + "".join(traceback.format_exception(error))).strip()
        return AssessmentError(type(error).__name__, str(error), stack_trace)
    if isinstance(error, str):
        return AssessmentError("ASSESSMENT_ERROR", error)
    message = f"'error' must be an Exception, AssessmentError, or string. Got: {type(error)}"
    raise InvalidArgumentError(message)


def _common(d: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": d["assessment_name"],
        "source": AssessmentSource.from_dictionary(d["source"]),
        "trace_id": d.get("trace_id"),
        "metadata": d.get("metadata"),
        "span_id": d.get("span_id"),
        "create_time_ms": from_rfc3339(d["create_time"]),
        "last_update_time_ms": from_rfc3339(d["last_update_time"]),
    }


def _present(d: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in d.items() if value is not None}
