"""Makes entities of parts of the span JSON; the native span calls these by name."""

from __future__ import annotations

from typing import Any

from mlflow_trace.entities import Link, SpanEvent, SpanLogLevel, SpanStatus, SpanStatusCode


def status(part: dict[str, str] | None) -> SpanStatus | None:
    """Read a status such as `{"code": "STATUS_CODE_OK", "message": ""}`."""
    if part is None:
        return None
    code = SpanStatusCode(part["code"].removeprefix("STATUS_CODE_"))
    return SpanStatus(code, part.get("message") or "")


def events(part: list[dict[str, Any]] | None) -> list[SpanEvent]:
    """Read the events."""
    return [
        SpanEvent(event["name"], event["time_unix_nano"], event.get("attributes") or {})
        for event in part or ()
    ]


def links(part: list[dict[str, Any]] | None) -> list[Link]:
    """Read the links."""
    return [Link.from_dict(link) for link in part or ()]


def log_level(part: int | None) -> SpanLogLevel | None:
    """Read a severity."""
    return None if part is None else SpanLogLevel(part)
