"""The vectors of tests/vectors, which every language's suite reads."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import importlib.util
import threading
from pathlib import Path

import pytest

import mlflow_trace
from mlflow_trace import entities

common = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

FILES = Path(__file__).parents[3] / "tests" / "vectors"
spec = importlib.util.spec_from_file_location("describe", FILES / "describe.py")
describe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(describe)

MACHINE = ("mlflow.user", "mlflow.source.", "mlflow.trace.size")


def load(name):
    vectors = [v for v in describe.load(name) if describe.applies(v, "python")]
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


@pytest.mark.parametrize("vector", load("values.json"))
def test_attributes_are_stored_as_mlflow_stores_them(recording, vector):
    with mlflow_trace.start_span() as span:
        span.set_attribute("value", describe.build(vector["value"]))
    assert recording.span().json["attributes"]["value"] == vector["text"]


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes everything, and keeps the spans."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces":
            self.server.bodies.append(body)
        self.answer(b"" if self.path == "/v1/traces" else body)

    def do_GET(self):
        self.answer(b"3.17.2")

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def collector():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.daemon_threads = True
        server.bodies = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mlflow_trace.shutdown(timeout=5)
        uri = f"http://127.0.0.1:{server.server_port}"
        mlflow_trace.configure(exporter=None, tracking_uri=uri, experiment_id="0")
        yield server
        mlflow_trace.shutdown(timeout=5)
        mlflow_trace.configure(tracking_uri=None, experiment_id=None)
        server.shutdown()


def test_attributes_of_events_travel_as_mlflow_sends_them(collector):
    vectors = [parameter.values[0] for parameter in load("values.json")]
    with mlflow_trace.start_span() as span:
        for vector in vectors:
            value = describe.build(vector["value"])
            span.add_event(entities.SpanEvent(vector["name"], 1, {"value": value}))
    assert mlflow_trace.flush(timeout=10) == 0
    (body,) = collector.bodies
    request = common.ExportTraceServiceRequest.FromString(body)
    ((span,),) = (scope.spans for scope in request.resource_spans[0].scope_spans)
    sent = {event.name: event.attributes[0].value for event in span.events}
    for vector in vectors:
        if vector["otlp"] is not None:
            found = sent[vector["name"]].SerializeToString(deterministic=True).hex()
            assert found == vector["otlp"], vector["name"]


def members(content):
    described = content.get("attributes", {}).items()
    return {key: describe.build(value) for key, value in described}


def run(steps):
    spans, contexts = {}, {}
    with contextlib.ExitStack() as everything:
        for step in steps:
            ((kind, content),) = step.items()
            if kind == "open":
                name = content["name"]
                contexts[name] = everything.enter_context(contextlib.ExitStack())
                span = mlflow_trace.start_span(
                    name, span_type=content.get("type", "UNKNOWN"), attributes=members(content)
                )
                spans[name] = contexts[name].enter_context(span)
            elif kind == "close":
                contexts[content].close()
            elif kind == "start":
                inputs = content.get("inputs")
                spans[content["name"]] = mlflow_trace.start_span_no_context(
                    content["name"],
                    span_type=content.get("type", "UNKNOWN"),
                    parent_span=spans.get(content.get("parent")),
                    inputs=inputs and describe.build(inputs),
                    attributes=members(content),
                    tags=content.get("tags"),
                    metadata=content.get("metadata"),
                    start_time_ns=content.get("start_ns"),
                )
            elif kind == "update":
                mlflow_trace.update_current_trace(**content)
            else:
                record(spans[content.get("span") or content["name"]], kind, content)


def record(span, kind, content):
    value = content.get("value")
    match kind:
        case "end":
            outputs = content.get("outputs")
            span.end(
                outputs=outputs and describe.build(outputs),
                status=content.get("status"),
                end_time_ns=content.get("end_ns"),
            )
        case "attribute":
            span.set_attribute(content["key"], describe.build(value))
        case "inputs":
            span.set_inputs(describe.build(value))
        case "outputs":
            span.set_outputs(describe.build(value))
        case "type":
            span.set_span_type(value)
        case "level":
            span.set_log_level(value)
        case "event":
            event = entities.SpanEvent(content["name"], content["time_ns"], members(content))
            span.add_event(event)
        case "link":
            ids = content["trace_id"], content["span_id"]
            span.add_link(entities.Link(*ids, members(content)))
        case "status":
            span.set_status(entities.SpanStatus(content["code"], content.get("message", "")))
        case _:
            raise ValueError(kind)


def comparable(trace):
    """The trace without what two runs cannot have in common."""
    names = {span.id: span.name for span in trace.spans}
    spans = {}
    for span in trace.spans:
        attributes = dict(span.json["attributes"])
        del attributes["mlflow.traceRequestId"]
        same = {key: span.json[key] for key in ("events", "links", "status")}
        spans[span.name] = {"parent": names.get(span.parent), "attributes": attributes} | same
        if "mlflow.spanStartTimeNs" in attributes:
            spans[span.name]["start_ns"] = span.json["start_time_unix_nano"]
    texts = ("state", "client_request_id", "request_preview", "response_preview")
    return {key: trace.info.get(key) for key in texts} | {
        "tags": trace.tags,
        "metadata": {k: v for k, v in trace.metadata.items() if not k.startswith(MACHINE)},
        "spans": spans,
    }


@pytest.mark.parametrize("vector", load("programs.json"))
def test_programs_leave_the_traces_that_mlflow_leaves(recording, vector):
    run(vector["steps"])
    assert comparable(recording.trace()) == vector["trace"]


@pytest.mark.parametrize("vector", load("headers.json"))
def test_headers_carry_the_context_that_mlflow_reads(recording, vector):
    headers = {"traceparent": vector["traceparent"]}
    if vector.get("tracestate") is not None:
        headers["tracestate"] = vector["tracestate"]
    scope = mlflow_trace.tracing.set_tracing_context_from_http_request_headers
    found = None
    with contextlib.suppress(mlflow_trace.exceptions.MlflowException), scope(headers):
        with mlflow_trace.start_span("child") as span:
            onward = mlflow_trace.tracing.get_tracing_context_headers_for_http_request()
            _, trace_id, _, flags = onward["traceparent"].split("-")
            found = {
                "trace_id": trace_id,
                "span_id": span.parent_id,
                "flags": int(flags, 16),
                "tracestate": onward.get("tracestate"),
            }
            if isinstance(span, entities.NoOpSpan):
                # As with MLflow, a trace that is not sampled has no span that could be looked at.
                found["span_id"] = vector["context"]["span_id"]
            elif span.parent_id is None:
                found = None
    assert found == vector["context"]


@pytest.mark.parametrize("vector", load("previews.json"))
def test_previews_are_those_that_mlflow_makes(recording, vector):
    with mlflow_trace.start_span() as span:
        span.set_inputs(vector["inputs"])
        span.set_outputs(vector["outputs"])
    info = recording.trace().info
    assert [info.get("request_preview"), info.get("response_preview")] == vector["previews"]
