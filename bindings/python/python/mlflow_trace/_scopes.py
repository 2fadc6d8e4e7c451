"""Context managers around spans that the decorator shares between its forms."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

from mlflow_trace._native import ContextScope, LiveSpan, has_parent, trace_scope
from mlflow_trace.entities import NoOpSpan

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Scope(Protocol):
    """What `start_span` returns."""

    def __enter__(self) -> LiveSpan | NoOpSpan: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def detached(self) -> tuple[LiveSpan | NoOpSpan, ContextScope]: ...


class DroppedScope:
    """Stands for the scope of a root span that is not sampled; nothing inside is recorded."""

    def __init__(self) -> None:
        self._inside = trace_scope(enabled=False)

    def __enter__(self) -> NoOpSpan:
        self._inside.__enter__()
        return NoOpSpan()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self._inside.__exit__(exc_type, exc_value, traceback)

    def detached(self) -> tuple[NoOpSpan, ContextScope]:
        """Give the span, and the scope in which it is current."""
        return NoOpSpan(), self._inside


def sampled(scope: Callable[[], Scope], ratio: float) -> Callable[[], Scope]:
    """Let through this share of the root spans; children follow their parent."""

    def choose() -> Scope:
        if has_parent() or random.random() < ratio:  # noqa: S311 - statistics, no secret
            return scope()
        return DroppedScope()

    return choose
