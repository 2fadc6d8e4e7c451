"""Reads a trace back from an MLflow server with MLflow's own client."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Trace
from span_tree import SpanRecord

EXPERIMENT = "polyglot-demo"
TAGS = {"application": "polyglot-demo", "languages": "JavaScript, Python, C++"}
METADATA = {"mlflow.trace.session": "demo-session", "mlflow.trace.user": "demo-user"}


class ServerStore:
    def __init__(self, url: str) -> None:
        self._url = url
        self._client = MlflowClient(tracking_uri=url)
        known = self._client.get_experiment_by_name(EXPERIMENT)
        self.experiment_id: str = (
            known.experiment_id if known else self._client.create_experiment(EXPERIMENT)
        )

    def read(self, trace_id: str) -> Trace:
        trace: Trace = self._client.get_trace(trace_id)
        return trace

    def link(self, trace_id: str) -> str:
        """The trace's page in MLflow's user interface."""
        traces = f"{self._url}/#/experiments/{self.experiment_id}/traces"
        return f"{traces}?selectedEvaluationId={trace_id}"


def records(trace: Trace) -> list[SpanRecord]:
    return [
        SpanRecord(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_id=span.parent_id,
            name=span.name,
            span_type=span.span_type,
            status=span.status.status_code.value,
            start_ns=span.start_time_ns,
            end_ns=span.end_time_ns or 0,
            inputs=span.inputs,
            outputs=span.outputs,
            attributes=span.attributes,
        )
        for span in trace.data.spans
    ]


def problems(trace: Trace, question: str, answer: dict[str, Any]) -> list[str]:
    """Where the trace's own fields differ from what the front end recorded."""
    info = trace.info
    expected: list[tuple[str, object, object]] = [
        ("state", info.state.value, "OK"),
        ("request preview", info.request_preview, question),
        ("response preview", info.response_preview, answer["answer"]),
        ("tag mlflow.traceName", info.tags.get("mlflow.traceName"), "POST /ask"),
    ]
    expected += [(f"tag {key}", info.tags.get(key), value) for key, value in TAGS.items()]
    expected += [(key, info.trace_metadata.get(key), value) for key, value in METADATA.items()]
    for root in (span for span in trace.data.spans if span.parent_id is None):
        expected.append(("inputs of the root", root.inputs, {"question": question}))
        expected.append(("outputs of the root", root.outputs, answer))
    return [f"{what} is {got!r}, not {want!r}" for what, got, want in expected if got != want]


def describe(trace: Trace) -> str:
    """State, previews and the tags that the demo set, a line each."""
    info = trace.info
    lines = [f"state            {info.state.value}"]
    lines.append(f"request preview  {info.request_preview}")
    lines.append(f"response preview {info.response_preview}")
    lines += [f"tag              {key} = {info.tags.get(key)}" for key in TAGS]
    lines += [f"metadata         {key} = {info.trace_metadata.get(key)}" for key in METADATA]
    return "\n".join(lines)
