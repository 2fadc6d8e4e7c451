"""What the memory exporter received, in a form that is easy to assert on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import mlflow_trace
from mlflow_trace import _native

# What the engine adds to every span by itself.
_STANDARD = ("mlflow.traceRequestId", "mlflow.spanType", "mlflow.spanLogLevel")


@dataclass
class Span:
    json: dict[str, Any]

    @property
    def name(self) -> str:
        return self.json["name"]

    @property
    def id(self) -> str:
        return self.json["span_id"]

    @property
    def parent(self) -> str | None:
        return self.json["parent_span_id"]

    @property
    def status(self) -> tuple[str, str]:
        status = self.json["status"]
        return status["code"].removeprefix("STATUS_CODE_"), status["message"]

    @property
    def attributes(self) -> dict[str, Any]:
        return {key: json.loads(text) for key, text in self.json["attributes"].items()}

    @property
    def own(self) -> dict[str, Any]:
        """The attributes that the test set."""
        return {key: value for key, value in self.attributes.items() if key not in _STANDARD}

    @property
    def inputs(self) -> Any:
        return self.attributes.get("mlflow.spanInputs")

    @property
    def outputs(self) -> Any:
        return self.attributes.get("mlflow.spanOutputs")

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        return [(event["name"], event["attributes"]) for event in self.json["events"]]


@dataclass
class Trace:
    info: dict[str, Any] | None
    spans: list[Span]

    def span(self, name: str) -> Span:
        (found,) = (span for span in self.spans if span.name == name)
        return found

    @property
    def root(self) -> Span:
        (found,) = (span for span in self.spans if span.parent is None)
        return found

    @property
    def tags(self) -> dict[str, str]:
        assert self.info
        return self.info["tags"]

    @property
    def metadata(self) -> dict[str, str]:
        assert self.info
        return self.info["trace_metadata"]

    def tree(self) -> dict[str, str | None]:
        """Give the parent's name of every span."""
        names = {span.id: span.name for span in self.spans}
        return {s.name: names[s.parent] if s.parent else None for s in self.spans}


class Recording:
    def traces(self) -> list[Trace]:
        assert mlflow_trace.flush(timeout=10) == 0
        traces = [json.loads(text) for text in _native.memory_traces()]
        return [Trace(trace["info"], [Span(span) for span in trace["spans"]]) for trace in traces]

    def trace(self) -> Trace:
        (trace,) = self.traces()
        return trace

    def span(self) -> Span:
        (span,) = self.trace().spans
        return span
