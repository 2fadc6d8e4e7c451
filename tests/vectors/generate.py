"""Writes what MLflow's own SDK and server make of the vectors into them.

Runs where MLFLOW_TRACE_TEST_SERVER holds the address of an MLflow 3.17.2 server.

Usage: generate.py [--check]
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import uuid
from collections.abc import Callable
from typing import Any

from describe import HERE, Vector, build, load

os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    "MLFLOW_MODEL_CATALOG_URI": "",
}

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Link, SpanEvent, SpanStatus, Trace
from mlflow.tracing.utils.otlp import _set_otel_proto_anyvalue
from opentelemetry import trace as otel
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.trace.propagation.tracecontext import (
    TraceContextTextMapPropagator,
)

SERVER = os.environ.get("MLFLOW_TRACE_TEST_SERVER", "")

# What every span has, whoever records it.
OWN = "mlflow.traceRequestId"
# What depends on the machine, the program and the times.
MACHINE = ("mlflow.user", "mlflow.source.", "mlflow.trace.size", "mlflow.trace.info")


def stored(trace_id: str) -> Trace:
    """A trace as MLflow's client reads it from the server."""
    trace: Trace = MlflowClient(SERVER).get_trace(trace_id)
    return trace


def attribute_texts(trace: Trace, name: str) -> dict[str, str]:
    (span,) = (span for span in trace.data.spans if span.name == name)
    texts: dict[str, str] = span.to_dict()["attributes"]
    return texts


def write_nulls(value: AnyValue) -> None:
    """A null member may be left out or be empty; MLflow leaves it out, and here it is empty."""
    for member in value.kvlist_value.values if value.HasField("kvlist_value") else ():
        member.value.SetInParent()
        write_nulls(member.value)
    for item in value.array_value.values if value.HasField("array_value") else ():
        write_nulls(item)


def any_value(value: Any) -> str:
    encoded = AnyValue()
    _set_otel_proto_anyvalue(encoded, value)
    write_nulls(encoded)
    return str(encoded.SerializeToString(deterministic=True).hex())


def values(vectors: list[Vector]) -> None:
    agreed = [vector for vector in vectors if "difference" not in vector]
    with mlflow.start_span("values") as span:
        for vector in agreed:
            span.set_attribute(vector["name"], build(vector["value"]))
    texts = attribute_texts(stored(span.trace_id), "values")
    for vector in agreed:
        vector["text"] = texts[vector["name"]]
        if vector.get("otlp", "") is not None:
            vector["otlp"] = any_value(build(vector["value"]))


def run_steps(steps: list[Vector]) -> str:
    """Run a program with MLflow's SDK; return the id of its trace."""
    spans: dict[str, Any] = {}
    with contextlib.ExitStack() as everything:
        contexts: dict[str, contextlib.ExitStack] = {}
        for step in steps:
            ((kind, content),) = step.items()
            if kind == "open":
                context = everything.enter_context(contextlib.ExitStack())
                spans[content["name"]] = context.enter_context(
                    mlflow.start_span(
                        content["name"],
                        span_type=content.get("type", "UNKNOWN"),
                        attributes=members(content),
                    )
                )
                contexts[content["name"]] = context
            elif kind == "close":
                contexts[content].close()
            elif kind == "start":
                inputs = content.get("inputs")
                spans[content["name"]] = mlflow.start_span_no_context(
                    content["name"],
                    span_type=content.get("type", "UNKNOWN"),
                    parent_span=spans.get(content.get("parent")),
                    inputs=build(inputs) if inputs else None,
                    attributes=members(content),
                    tags=content.get("tags"),
                    metadata=content.get("metadata"),
                    start_time_ns=content.get("start_ns"),
                )
            elif kind == "update":
                mlflow.update_current_trace(**content)
            else:
                record(spans[content.get("span") or content["name"]], kind, content)
    (root,) = (span for span in spans.values() if span.parent_id is None)
    return str(root.trace_id)


def members(content: Vector) -> dict[str, Any] | None:
    attributes = content.get("attributes")
    return {key: build(value) for key, value in attributes.items()} if attributes else None


def record(span: Any, kind: str, content: Vector) -> None:
    match kind:
        case "end":
            outputs = content.get("outputs")
            span.end(
                outputs=build(outputs) if outputs else None,
                status=content.get("status"),
                end_time_ns=content.get("end_ns"),
            )
        case "attribute":
            span.set_attribute(content["key"], build(content["value"]))
        case "inputs":
            span.set_inputs(build(content["value"]))
        case "outputs":
            span.set_outputs(build(content["value"]))
        case "type":
            span.set_span_type(content["value"])
        case "level":
            span.set_log_level(content["value"])
        case "event":
            attributes = members(content) or {}
            event: Any = SpanEvent
            span.add_event(event(content["name"], content["time_ns"], attributes))
        case "link":
            link: Any = Link
            span.add_link(link(content["trace_id"], content["span_id"], members(content)))
        case "status":
            span.set_status(SpanStatus(content["code"], content.get("message", "")))
        case _:
            raise ValueError(kind)


def comparable(trace: Trace) -> Vector:
    """The trace without what two runs cannot have in common."""
    info = trace.info.to_dict()
    names = {span.span_id: span.name for span in trace.data.spans}
    spans = {}
    for span in trace.data.spans:
        stored_span = span.to_dict()
        attributes = stored_span["attributes"]
        spans[span.name] = {
            "parent": names[span.parent_id] if span.parent_id else None,
            "attributes": {key: attributes[key] for key in sorted(attributes) if key != OWN},
            "events": stored_span["events"],
            "links": stored_span["links"],
            "status": stored_span["status"],
        }
        if "mlflow.spanStartTimeNs" in attributes:
            spans[span.name]["start_ns"] = span.start_time_ns
    metadata = {
        key: value
        for key, value in sorted(info["trace_metadata"].items())
        if not key.startswith(MACHINE)
    }
    tags = {key: value for key, value in sorted(info["tags"].items()) if "rtifact" not in key}
    tags.pop("mlflow.trace.spansLocation", None)
    return {
        "state": info["state"],
        "client_request_id": info.get("client_request_id"),
        "request_preview": info.get("request_preview"),
        "response_preview": info.get("response_preview"),
        "tags": tags,
        "metadata": metadata,
        "spans": dict(sorted(spans.items())),
    }


def programs(vectors: list[Vector]) -> None:
    for vector in vectors:
        vector["trace"] = comparable(stored(run_steps(vector["steps"])))


def headers(vectors: list[Vector]) -> None:
    for vector in vectors:
        carrier = {"traceparent": vector["traceparent"]}
        if vector.get("tracestate") is not None:
            carrier["tracestate"] = vector["tracestate"]
        context = otel.get_current_span(
            TraceContextTextMapPropagator().extract(carrier)
        ).get_span_context()
        found = context.is_valid and {
            "trace_id": f"{context.trace_id:032x}",
            "span_id": f"{context.span_id:016x}",
            "flags": int(context.trace_flags),
            "tracestate": context.trace_state.to_header() or None,
        }
        vector["mlflow" if "difference" in vector else "context"] = found or None


def previews(vectors: list[Vector]) -> None:
    for vector in vectors:
        with mlflow.start_span("preview") as span:
            span.set_inputs(vector["inputs"])
            span.set_outputs(vector["outputs"])
        info = stored(span.trace_id).info
        vector["previews"] = [info.request_preview, info.response_preview]


FILES: dict[str, Callable[[list[Vector]], None]] = {
    "values.json": values,
    "programs.json": programs,
    "headers.json": headers,
    "previews.json": previews,
}


def main() -> int:
    mlflow.set_tracking_uri(SERVER)
    mlflow.set_experiment(f"vectors-{uuid.uuid4().hex}")
    stale = []
    for name, expect in FILES.items():
        vectors = load(name)
        expect(vectors)
        lines = ",\n".join(json.dumps(vector) for vector in vectors)
        text = f"[\n{lines}\n]\n"
        if text == (HERE / name).read_text():
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            (HERE / name).write_text(text)
    print(f"not as MLflow gives them: {', '.join(stale) or 'none'}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
