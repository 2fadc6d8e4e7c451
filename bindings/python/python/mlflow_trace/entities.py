"""The objects of a trace, named as MLflow names them."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, Final

from mlflow_trace._native import LiveSpan

__all__ = [
    "Experiment",
    "Link",
    "LiveSpan",
    "NoOpSpan",
    "SpanEvent",
    "SpanLogLevel",
    "SpanStatus",
    "SpanStatusCode",
    "SpanType",
    "TraceState",
]


class SpanType:
    """The predefined span types; any other text is a type as well."""

    LLM: Final = "LLM"
    CHAIN: Final = "CHAIN"
    AGENT: Final = "AGENT"
    TOOL: Final = "TOOL"
    CHAT_MODEL: Final = "CHAT_MODEL"
    RETRIEVER: Final = "RETRIEVER"
    PARSER: Final = "PARSER"
    EMBEDDING: Final = "EMBEDDING"
    RERANKER: Final = "RERANKER"
    MEMORY: Final = "MEMORY"
    UNKNOWN: Final = "UNKNOWN"
    WORKFLOW: Final = "WORKFLOW"
    TASK: Final = "TASK"
    GUARDRAIL: Final = "GUARDRAIL"
    EVALUATOR: Final = "EVALUATOR"


class SpanStatusCode(str, Enum):
    """Outcome of a span. A span that ends with UNSET becomes OK."""

    UNSET = "UNSET"
    OK = "OK"
    ERROR = "ERROR"


@dataclass
class SpanStatus:
    """Outcome of a span, with a description where it failed."""

    status_code: SpanStatusCode
    description: str = ""

    def __post_init__(self) -> None:
        self.status_code = SpanStatusCode(self.status_code)


class SpanLogLevel(IntEnum):
    """Severity of a span."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


class TraceState(str, Enum):
    """State of a trace."""

    STATE_UNSPECIFIED = "STATE_UNSPECIFIED"
    OK = "OK"
    ERROR = "ERROR"
    IN_PROGRESS = "IN_PROGRESS"

    def __str__(self) -> str:
        return self.value


@dataclass
class SpanEvent:
    """Something that happened during a span; `timestamp` is in nanoseconds since the Unix epoch."""

    name: str
    timestamp: int = field(default_factory=time.time_ns)
    attributes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_exception(cls, exception: BaseException) -> SpanEvent:
        """Describe an exception, by OpenTelemetry's conventions."""
        try:
            message = str(exception)
            stacktrace = "".join(traceback.format_exception(exception)).strip()
        except Exception:  # noqa: BLE001 - the exception's own code failed
            message = stacktrace = f"<unserializable {type(exception).__name__}>"
        return cls(
            name="exception",
            attributes={
                "exception.message": message,
                "exception.type": type(exception).__name__,
                "exception.stacktrace": stacktrace,
            },
        )


@dataclass
class Link:
    """A reference to a span of another trace."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the link as in MLflow's span JSON."""
        return {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "attributes": self.attributes,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Link:
        """Read what `to_dict` gave."""
        return cls(data["trace_id"], data["span_id"], data.get("attributes"))


@dataclass(frozen=True)
class Experiment:
    """An experiment; one that no server has confirmed lacks its id or its name."""

    experiment_id: str | None
    name: str | None


class NoOpSpan:
    """Stands for a span that is not recorded. Every call is accepted and does nothing."""

    trace_id = request_id = "MLFLOW_NO_OP_SPAN_TRACE_ID"
    span_id: str | None = None
    parent_id: str | None = None
    name: str | None = None
    span_type: str | None = None
    inputs: Any = None
    outputs: Any = None
    status: SpanStatus | None = None
    start_time_ns: int | None = None
    end_time_ns: int | None = None
    log_level: SpanLogLevel | None = None
    description: str | None = None
    model_name: str | None = None
    llm_cost: dict[str, float] | None = None
    context: None = None

    def __repr__(self) -> str:
        return f"NoOpSpan(name=None, trace_id={self.trace_id!r}, span_id=None, parent_id=None)"

    @property
    def attributes(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @property
    def events(self) -> list[SpanEvent]:
        """Nothing."""
        return []

    @property
    def links(self) -> list[Link]:
        """Nothing."""
        return []

    def get_attribute(self, key: str) -> Any:  # noqa: ARG002
        """Return None."""
        return None

    def to_dict(self) -> dict[str, Any] | None:
        """Return None."""
        return None

    def set_inputs(self, inputs: Any) -> None:
        """Do nothing."""

    def set_outputs(self, outputs: Any) -> None:
        """Do nothing."""

    def set_attribute(self, key: str, value: Any) -> None:
        """Do nothing."""

    def set_attributes(self, attributes: dict[str, Any]) -> None:
        """Do nothing."""

    def set_span_type(self, span_type: str) -> None:
        """Do nothing."""

    def set_status(self, status: SpanStatus | SpanStatusCode | str) -> None:
        """Do nothing."""

    def set_log_level(self, level: SpanLogLevel | str) -> None:
        """Do nothing."""

    def set_description(self, description: str) -> None:
        """Do nothing."""

    def add_event(self, event: SpanEvent) -> None:
        """Do nothing."""

    def add_link(self, link: Link) -> None:
        """Do nothing."""

    def record_exception(self, exception: str | BaseException) -> None:
        """Do nothing."""

    def end(
        self,
        outputs: Any = None,
        attributes: dict[str, Any] | None = None,
        status: SpanStatus | SpanStatusCode | str | None = None,
        end_time_ns: int | None = None,
    ) -> None:
        """Do nothing."""

    def _has_outputs(self) -> bool:
        return True

    def _record_chunk(self, index: int, chunk: Any) -> None:
        pass
