"""The outcome of a trace."""

from __future__ import annotations

from enum import Enum

__all__ = ["TraceState"]


class TraceState(str, Enum):
    """State of a trace."""

    STATE_UNSPECIFIED = "STATE_UNSPECIFIED"
    OK = "OK"
    ERROR = "ERROR"
    IN_PROGRESS = "IN_PROGRESS"

    def __str__(self) -> str:
        return self.value
