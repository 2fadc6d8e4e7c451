"""A span that has ended, as it was recorded or read."""

from __future__ import annotations

import abc
import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from mlflow_trace._native import LiveSpan
from mlflow_trace.entities.no_op_span import NoOpSpan
from mlflow_trace.entities.span_parts import (
    Link,
    SpanEvent,
    SpanLogLevel,
    SpanStatus,
    SpanStatusCode,
)
from mlflow_trace.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Span"]

_TRACE_ID = "mlflow.traceRequestId"
_STATUS_PREFIX = "STATUS_CODE_"


class Span(abc.ABC):  # noqa: B024 - abstract for its subclasses, which are registered below
    """A span that does not change any more. `LiveSpan` and `NoOpSpan` count as subclasses."""

    def __init__(self, data: dict[str, Any]) -> None:
        """Take MLflow's span JSON; `from_dict` takes every form of it."""
        self._data = data
        self._attributes: dict[str, Any] | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `to_dict` gave, here or in MLflow since 2.14.

        Raises:
            InvalidArgumentError: For anything else.

        """
        try:
            return cls(_normalized(data))
        except Exception as error:
            message = f"Failed to create a Span object from the given dictionary: {error!r}"
            raise InvalidArgumentError(message) from error

    def to_dict(self) -> dict[str, Any]:
        """Give the span as MLflow's span JSON: ids in base64, attribute values as JSON texts."""
        return {
            **self._data,
            "events": [dict(event) for event in self._data["events"]],
            "status": dict(self._data["status"]),
            "attributes": dict(self._data["attributes"]),
            "links": [dict(link) for link in self._data["links"]],
        }

    @property
    def trace_id(self) -> str:
        """The id of the trace, `tr-` and 32 hexadecimal digits."""
        recorded = self.get_attribute(_TRACE_ID)
        return recorded if isinstance(recorded, str) else f"tr-{_hex(self._data['trace_id'])}"

    @property
    def request_id(self) -> str:
        """The old name of `trace_id`."""
        return self.trace_id

    @property
    def span_id(self) -> str:
        """The id of the span, 16 hexadecimal digits."""
        return _hex(self._data["span_id"])

    @property
    def parent_id(self) -> str | None:
        """The id of the parent span, if there is one."""
        parent = self._data["parent_span_id"]
        return _hex(parent) if parent else None

    @property
    def name(self) -> str:
        """The name of the span."""
        return str(self._data["name"])

    @property
    def start_time_ns(self) -> int:
        """The start in nanoseconds since the Unix epoch."""
        return int(self._data["start_time_unix_nano"])

    @property
    def end_time_ns(self) -> int | None:
        """The end in nanoseconds since the Unix epoch; None for a span that was not finished."""
        end = self._data["end_time_unix_nano"]
        return int(end) if end else None

    @property
    def status(self) -> SpanStatus:
        """Outcome of the span."""
        status = self._data["status"]
        code = SpanStatusCode(status["code"].removeprefix(_STATUS_PREFIX))
        return SpanStatus(code, status.get("message") or "")

    @property
    def inputs(self) -> Any:
        """The inputs."""
        return self.get_attribute("mlflow.spanInputs")

    @property
    def outputs(self) -> Any:
        """The outputs."""
        return self.get_attribute("mlflow.spanOutputs")

    @property
    def span_type(self) -> str | None:
        """The type of the span, for instance `LLM`."""
        span_type: str | None = self.get_attribute("mlflow.spanType")
        return span_type

    @property
    def log_level(self) -> SpanLogLevel | None:
        """Severity of the span."""
        level = self.get_attribute("mlflow.spanLogLevel")
        return None if level is None else SpanLogLevel(level)

    @property
    def description(self) -> str | None:
        """The description for people."""
        description: str | None = self.get_attribute("mlflow.spanDescription")
        return description

    @property
    def model_name(self) -> str | None:
        """The model that was called."""
        model: str | None = self.get_attribute("mlflow.llm.model")
        return model

    @property
    def llm_cost(self) -> dict[str, float] | None:
        """The cost in US dollars: `input_cost`, `output_cost`, `total_cost`."""
        cost: dict[str, float] | None = self.get_attribute("mlflow.llm.cost")
        return cost

    @property
    def attributes(self) -> dict[str, Any]:
        """All attributes."""
        return dict(self._decoded())

    @property
    def events(self) -> list[SpanEvent]:
        """The events."""
        return [
            SpanEvent(event["name"], int(event["time_unix_nano"]), dict(event["attributes"]))
            for event in self._data["events"]
        ]

    @property
    def links(self) -> list[Link]:
        """The links to other spans."""
        return [Link.from_dict(link) for link in self._data["links"]]

    def get_attribute(self, key: str) -> Any:
        """Return the value of an attribute, or None."""
        return self._decoded().get(key)

    def _decoded(self) -> dict[str, Any]:
        if self._attributes is None:
            texts = self._data["attributes"]
            self._attributes = {key: _value(text) for key, text in texts.items()}
        return self._attributes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._data == other._data

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name={self.name!r}, trace_id={self.trace_id!r}, "
            f"span_id={self.span_id!r}, parent_id={self.parent_id!r})"
        )


Span.register(LiveSpan)
Span.register(NoOpSpan)


def _value(text: Any) -> Any:
    # MLflow's TypeScript SDK writes decoded values.
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _normalized(data: dict[str, Any]) -> dict[str, Any]:
    """Bring any version of the span JSON into the current one."""
    if "context" in data:
        data = _of_version_2(data)
    status = data.get("status") or {}
    code = str(status.get("code") or "UNSET").removeprefix(_STATUS_PREFIX)
    end = data.get("end_time_unix_nano")
    parent = data.get("parent_span_id")
    return {
        "trace_id": _base64(data["trace_id"], 16),
        "span_id": _base64(data["span_id"], 8),
        "parent_span_id": _base64(parent, 8) if parent else None,
        "name": data["name"],
        "start_time_unix_nano": int(data["start_time_unix_nano"]),
        "end_time_unix_nano": int(end) if end else None,
        "events": [
            {
                "name": event["name"],
                "time_unix_nano": int(event["time_unix_nano"]),
                "attributes": event.get("attributes") or {},
            }
            for event in data.get("events") or ()
        ],
        "status": {
            "code": _STATUS_PREFIX + SpanStatusCode(code).value,
            "message": status.get("message") or "",
        },
        "attributes": dict(data.get("attributes") or {}),
        "links": [Link.from_dict(link).to_dict() for link in data.get("links") or ()],
    }


def _of_version_2(data: dict[str, Any]) -> dict[str, Any]:
    """Rename the members of the schema of MLflow 2."""
    events = data.get("events") or ()
    return {
        "trace_id": data["context"]["trace_id"].removeprefix("0x"),
        "span_id": data["context"]["span_id"].removeprefix("0x"),
        "parent_span_id": (data.get("parent_id") or "").removeprefix("0x"),
        "name": data["name"],
        "start_time_unix_nano": data["start_time"],
        "end_time_unix_nano": data.get("end_time"),
        "events": [{**event, "time_unix_nano": event["timestamp"]} for event in events],
        "status": {"code": data["status_code"], "message": data.get("status_message")},
        "attributes": data.get("attributes"),
        "links": data.get("links"),
    }


def _base64(text: str, length: int) -> str:
    """Give an id in base64 whether it is in base64 or in hexadecimal, as MLflow 3.5.0 wrote it."""
    digits = text.rsplit("/", 1)[-1].removeprefix("tr-")
    if len(digits) == 2 * length:
        try:
            return base64.b64encode(bytes.fromhex(digits)).decode()
        except ValueError:
            pass
    if len(base64.b64decode(text, validate=True)) != length:
        message = f"{text!r} is no id of {length} bytes"
        raise binascii.Error(message)
    return text


def _hex(text: str) -> str:
    return base64.b64decode(text).hex()
