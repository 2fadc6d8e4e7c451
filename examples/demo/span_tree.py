"""Spans of one trace as a tree: what every one must fulfil, and how it is printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MINIMUM_SPANS = 8
LANGUAGES = {"JavaScript", "Python", "C++"}


@dataclass(frozen=True)
class SpanRecord:
    """A finished span, wherever it was read from. Identifiers are lower-case hex, times Unix ns."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    span_type: str
    status: str
    start_ns: int
    end_ns: int
    inputs: Any
    outputs: Any
    attributes: dict[str, Any]


class SpanTree:
    def __init__(self, spans: list[SpanRecord]) -> None:
        self.spans = sorted(spans, key=lambda span: span.start_ns)
        self._by_id = {span.span_id: span for span in self.spans}

    def roots(self) -> list[SpanRecord]:
        return [span for span in self.spans if span.parent_id is None]

    def children(self, span: SpanRecord) -> list[SpanRecord]:
        return [child for child in self.spans if child.parent_id == span.span_id]

    def inherited(self, span: SpanRecord | None, key: str) -> str:
        """An attribute that each service sets on its first span holds for the spans below it."""
        while span is not None:
            if key in span.attributes:
                return str(span.attributes[key])
            span = self._by_id.get(span.parent_id or "")
        return "?"

    def problems(self) -> list[str]:
        """What is wrong with the trace; empty for a sound one."""
        found = []
        if len(self.spans) < MINIMUM_SPANS:
            found.append(f"{len(self.spans)} spans where at least {MINIMUM_SPANS} were expected")
        if len(self._by_id) != len(self.spans):
            found.append("a span id occurs twice")
        if len({span.trace_id for span in self.spans}) > 1:
            found.append("the spans belong to several traces")
        if len(self.roots()) != 1:
            found.append(f"{len(self.roots())} roots where one was expected")
        missing = LANGUAGES - {self.inherited(span, "service.language") for span in self.spans}
        if missing:
            found.append(f"no span from {', '.join(sorted(missing))}")
        for span in self.spans:
            if span.parent_id is not None and span.parent_id not in self._by_id:
                found.append(f"the parent of '{span.name}' is missing")
            if span.status != "OK":
                found.append(f"'{span.name}' has status {span.status}")
            if span.end_ns < span.start_ns:
                found.append(f"'{span.name}' ends before it starts")
            if span.span_type == "UNKNOWN":
                found.append(f"'{span.name}' has no span type")
            if span.inputs is None or span.outputs is None:
                found.append(f"'{span.name}' lacks inputs or outputs")
        return found

    def render(self) -> str:
        rows = [
            (
                branch + span.name,
                span.span_type,
                self.inherited(span, "service.name"),
                self.inherited(span, "service.language"),
                f"{(span.end_ns - span.start_ns) / 1e6:9.2f} ms",
            )
            for branch, span in self._lines()
        ]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(5)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _lines(self) -> Iterator[tuple[str, SpanRecord]]:
        for root in self.roots():
            yield "", root
            yield from self._below(root, "")

    def _below(self, span: SpanRecord, indent: str) -> Iterator[tuple[str, SpanRecord]]:
        children = self.children(span)
        for child in children:
            last = child is children[-1]
            yield indent + ("└─ " if last else "├─ "), child
            yield from self._below(child, indent + ("   " if last else "│  "))
