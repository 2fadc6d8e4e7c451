"""The span that stands for one that is not recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_trace.entities.span_parts import (
        Link,
        SpanEvent,
        SpanLogLevel,
        SpanStatus,
        SpanStatusCode,
    )

__all__ = ["NO_OP_SPAN_TRACE_ID", "NoOpSpan"]

NO_OP_SPAN_TRACE_ID = "MLFLOW_NO_OP_SPAN_TRACE_ID"


class NoOpSpan:
    """Stands for a span that is not recorded. Every call is accepted and does nothing."""

    trace_id = request_id = NO_OP_SPAN_TRACE_ID
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

    def _returned(self, result: Any) -> None:
        pass

    def _order(self) -> int | None:
        return None

    def _record_chunk(self, index: int, chunk: Any) -> None:
        pass
