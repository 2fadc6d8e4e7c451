"""A conversation: the traces of one session."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow_trace.entities.trace import Trace

__all__ = ["Session"]


class Session:
    """The traces that share a session id, in order of time."""

    def __init__(self, traces: list[Trace]) -> None:
        """Take the traces."""
        self._traces = traces

    @property
    def id(self) -> str | None:
        """The session id."""
        if not self._traces:
            return None
        return self._traces[0].info.trace_metadata.get("mlflow.trace.session")

    @property
    def traces(self) -> list[Trace]:
        """The traces."""
        return self._traces

    def __iter__(self) -> Iterator[Trace]:
        return iter(self._traces)

    def __len__(self) -> int:
        return len(self._traces)

    def __getitem__(self, index: int) -> Trace:
        return self._traces[index]

    def __repr__(self) -> str:
        return f"Session(id={self.id!r})"
