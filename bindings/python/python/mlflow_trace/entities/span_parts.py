"""What a span is made of."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, Final

__all__ = [
    "Link",
    "SpanEvent",
    "SpanLogLevel",
    "SpanStatus",
    "SpanStatusCode",
    "SpanType",
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


@dataclass
class SpanEvent:
    """Something that happened during a span; `timestamp` is in nanoseconds since the Unix epoch."""

    name: str
    timestamp: int = field(default_factory=time.time_ns)
    attributes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_exception(cls, exception: BaseException) -> SpanEvent:
        """Describe an exception, by OpenTelemetry's conventions."""
        import traceback

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
