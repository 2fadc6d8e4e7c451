"""Spans of frameworks that announce by ids of their own what starts and what ends.

A run may start in one thread or task and end in another, so nothing is attached to a context. What
runs where is asked of the framework when a span needs a parent, see `Runs.follow`.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from mlflow_trace import _native
from mlflow_trace.entities import NoOpSpan, SpanEvent, SpanStatus, SpanStatusCode
from mlflow_trace.integrations.guard import report

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from mlflow_trace._native import LiveSpan

    Span: TypeAlias = LiveSpan | NoOpSpan

# Open runs at a time. Beyond it, the oldest are ended: frameworks forget to announce some ends.
LIMIT = 65_536
_TOO_MANY = SpanStatus(SpanStatusCode.ERROR, "no end announced; too many runs are open")


class Runs:
    """The open runs of one framework, by id."""

    def __init__(
        self,
        running: Callable[[], Iterable[Hashable | None]] = tuple,
        *,
        limit: int = LIMIT,
    ) -> None:
        """Begin without runs.

        Args:
            running: Tells the ids of the runs whose code is executing in the present context, as
                far as the framework knows. What it names may have ended.
            limit: Open runs at a time.

        """
        self._running = running
        self._limit = limit
        self._open: dict[Hashable, Span] = {}
        self._own: set[int] = set()
        self._entered: set[Hashable] = set()
        self._latest: ContextVar[Hashable | None] = ContextVar("mlflow_trace_run", default=None)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, run: Hashable | None) -> Span | None:
        """Return the span of an open run."""
        return self._open.get(run)

    def start(
        self,
        run: Hashable,
        parent: Hashable | None,
        name: str,
        span_type: str,
        inputs: Any = None,
        attributes: dict[str, Any] | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Span:
        """Start the span of a run.

        It belongs below its parent's, or below the span that the program itself has started inside
        that one; without an open parent below the current span.

        Args:
            run: The framework's id; it ends by the same.
            parent: Id of the run that it belongs to.
            name: Name of the span.
            span_type: Type of the span.
            inputs: Inputs of the span.
            attributes: Attributes of the span.
            metadata: Metadata of the trace.

        """
        above = self.get(parent)
        if above is not None:
            above = self._inside(above)
        span = _native.start_span_no_context(
            name, span_type, above, inputs, attributes, metadata=metadata
        )
        with self._lock:
            self._own.add(id(span))
            self._open[run] = span
            oldest = next(iter(self._open)) if len(self._open) > self._limit else None
        if oldest is not None and (forgotten := self._take(oldest)) is not None:
            forgotten.end(status=_TOO_MANY)
        return span

    def _inside(self, above: Span) -> Span:
        here = _native.get_current_active_span()
        if here is None or id(here) in self._own or _order(here) <= _order(above):
            return above
        return here

    def enter(self, run: Hashable) -> None:
        """Note that a run is executing in the present context, which `running` does not tell.

        It ends with the run, or with `leave`, from any context.
        """
        with self._lock:
            if run in self._open:
                self._entered.add(run)
                self._latest.set(run)

    def leave(self, run: Hashable) -> None:
        """Note that a run waits for its consumer, whose code is none of its own."""
        if run in self._entered:
            with self._lock:
                self._entered.discard(run)

    def event(self, run: Hashable, name: str, attributes: dict[str, Any]) -> None:
        """Add an event to the span of an open run."""
        if (span := self.get(run)) is not None:
            span.add_event(SpanEvent(name, attributes=attributes))

    def end(
        self,
        run: Hashable,
        outputs: Any = None,
        attributes: dict[str, Any] | None = None,
        error: BaseException | None = None,
    ) -> None:
        """End the span of a run; nothing happens if it has ended or was never started.

        Args:
            run: The id by which it started.
            outputs: Outputs of the span.
            attributes: More attributes.
            error: What made it fail.

        """
        if (span := self._take(run)) is None:
            return
        status = None
        if error is not None:
            span.add_event(SpanEvent.from_exception(error))
            status = SpanStatus(SpanStatusCode.ERROR, _text(error))
        span.end(outputs=outputs, attributes=attributes, status=status)

    def _take(self, run: Hashable) -> Span | None:
        with self._lock:
            span = self._open.pop(run, None)
            self._entered.discard(run)
            self._own.discard(id(span))
        return span

    def follow(self) -> None:
        """Let what starts inside a run find its span, though it is not in any context."""
        with _lock:
            if self not in _followed:
                _followed.append(self)
            _native.set_span_finder(_find)

    def unfollow(self) -> None:
        """Undo `follow`."""
        with _lock:
            if self in _followed:
                _followed.remove(self)
            _native.set_span_finder(_find if _followed else None)

    def nearest(self) -> Span | None:
        """Return the innermost span whose run is executing in the present context."""
        running = list(self._running())
        if (latest := self._latest.get()) in self._entered:
            running.append(latest)
        spans = [span for run in running if (span := self.get(run)) is not None]
        return max(spans, key=_order, default=None)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the exception's own code failed
        return type(error).__name__


def _order(span: Span) -> float:
    # Nothing is recorded inside what is not, so that is innermost. What has ended is no parent.
    return float("inf") if isinstance(span, NoOpSpan) else span._order() or 0


_followed: list[Runs] = []
_lock = threading.Lock()


def _find(active: LiveSpan | None) -> Span | None:
    try:
        found: Span | None = active
        for runs in tuple(_followed):
            span = runs.nearest()
            if span is not None and (found is None or _order(span) > _order(found)):
                found = span
    except Exception as error:  # noqa: BLE001 - the program's own spans go on without it
        report("runs: parents", error)
        return None
    return found
