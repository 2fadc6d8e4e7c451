"""What is known of a trace besides its spans."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlflow_trace.entities._times import from_rfc3339, to_rfc3339
from mlflow_trace.entities.assessment import Assessment
from mlflow_trace.entities.trace_location import TraceLocation
from mlflow_trace.entities.trace_state import TraceState

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["TraceInfo"]


@dataclass
class TraceInfo:
    """The information of a trace; times are in milliseconds, since the Unix epoch or long."""

    trace_id: str
    trace_location: TraceLocation
    request_time: int
    state: TraceState
    request_preview: str | None = None
    response_preview: str | None = None
    client_request_id: str | None = None
    execution_duration: int | None = None
    trace_metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    assessments: list[Assessment] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Give the information as in MLflow's trace JSON; what is not set is left out."""
        d: dict[str, Any] = {
            "trace_id": self.trace_id,
            "client_request_id": self.client_request_id,
            "trace_location": self.trace_location.to_dict(),
            "request_preview": self.request_preview,
            "response_preview": self.response_preview,
            "request_time": to_rfc3339(self.request_time),
            "state": TraceState(self.state).value,
            "trace_metadata": dict(self.trace_metadata) or None,
            "tags": dict(self.tags) or None,
            "assessments": [a.to_dictionary() for a in self.assessments] or None,
            "execution_duration_ms": self.execution_duration,
        }
        return {name: value for name, value in d.items() if value is not None}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Self:
        """Read what `to_dict` gave, here or in MLflow 3."""
        duration = d.get("execution_duration_ms")
        return cls(
            trace_id=d["trace_id"],
            trace_location=TraceLocation.from_dict(d["trace_location"]),
            request_time=from_rfc3339(d["request_time"]),
            state=TraceState(d.get("state", "STATE_UNSPECIFIED")),
            request_preview=d.get("request_preview"),
            response_preview=d.get("response_preview"),
            client_request_id=d.get("client_request_id"),
            execution_duration=None if duration is None else int(duration),
            trace_metadata=dict(d.get("trace_metadata") or {}),
            tags=dict(d.get("tags") or {}),
            assessments=[Assessment.from_dictionary(a) for a in d.get("assessments") or ()],
        )

    @property
    def request_id(self) -> str:
        """The old name of `trace_id`."""
        return self.trace_id

    @property
    def experiment_id(self) -> str | None:
        """The experiment, where the trace is in one."""
        return self.trace_location.experiment_id

    @property
    def request_metadata(self) -> dict[str, str]:
        """The old name of `trace_metadata`."""
        return self.trace_metadata

    @property
    def timestamp_ms(self) -> int:
        """The old name of `request_time`."""
        return self.request_time

    @timestamp_ms.setter
    def timestamp_ms(self, value: int) -> None:
        self.request_time = value

    @property
    def execution_time_ms(self) -> int | None:
        """The old name of `execution_duration`."""
        return self.execution_duration

    @execution_time_ms.setter
    def execution_time_ms(self, value: int | None) -> None:
        self.execution_duration = value

    @property
    def status(self) -> TraceState:
        """The old name of `state`."""
        return self.state

    @status.setter
    def status(self, value: TraceState) -> None:
        self.state = value

    @property
    def token_usage(self) -> dict[str, int] | None:
        """Tokens of all spans: `input_tokens`, `output_tokens`, `total_tokens`; None if unknown."""
        usage: dict[str, int] | None = self._decoded("mlflow.trace.tokenUsage")
        return usage

    @property
    def cost(self) -> dict[str, float] | None:
        """Cost of all spans in US dollars; None if unknown."""
        cost: dict[str, float] | None = self._decoded("mlflow.trace.cost")
        return cost

    def _decoded(self, key: str) -> Any:
        text = self.trace_metadata.get(key)
        return json.loads(text) if text else None
