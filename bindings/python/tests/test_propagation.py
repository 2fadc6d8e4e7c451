"""The W3C headers of a request: the cases of `tests/w3c/cases.json`, and the shapes of headers."""

from __future__ import annotations

import json
from email.message import Message
from pathlib import Path

import pytest

import mlflow_trace
from mlflow_trace import tracing
from mlflow_trace.exceptions import InvalidArgumentError

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
SHARED = json.loads((Path(__file__).parents[3] / "tests" / "w3c" / "cases.json").read_text())


@pytest.mark.parametrize("case", SHARED["cases"], ids=lambda case: case["name"])
def test_headers_follow_the_w3c_recommendation(recording, case):
    parent = case["parent"]
    try:
        with tracing.set_tracing_context_from_http_request_headers(case["headers"]):
            with mlflow_trace.start_span() as span:
                outgoing = tracing.get_tracing_context_headers_for_http_request()
    except InvalidArgumentError:
        assert parent is None
        assert not any(name.lower() == "traceparent" for name, _ in case["headers"])
        return
    if parent is None:
        assert span.parent_id is None
        assert span.trace_id != f"tr-{SHARED['trace_id']}"
        assert "tracestate" not in outgoing
    else:
        _, trace_id, span_id, flags = outgoing["traceparent"].split("-")
        assert (trace_id, flags) == (SHARED["trace_id"], f"{parent['flags']:02x}")
        assert span_id != SHARED["span_id"]
        # In a trace that is not sampled, the span is none that can be looked at, as with MLflow.
        if parent["flags"] & 1:
            assert (span.trace_id, span.span_id) == (f"tr-{trace_id}", span_id)
            assert span.parent_id == SHARED["span_id"]
        assert outgoing.get("tracestate") == parent["tracestate"]


def test_headers_that_came_several_times_are_one_list(recording):
    headers = Message()
    for name, value in [("traceparent", PARENT), ("TraceState", "b=2"), ("tracestate", "a=1")]:
        headers[name] = value
    with tracing.set_tracing_context_from_http_request_headers(headers):
        outgoing = tracing.get_tracing_context_headers_for_http_request()
    assert outgoing == {"traceparent": PARENT, "tracestate": "b=2,a=1"}


@pytest.mark.parametrize("state", [None, 5, "a=\udcff", "a=\xe9"])
def test_a_malformed_tracestate_is_ignored_alone(recording, state):
    headers = {"traceparent": PARENT, "tracestate": state}
    with tracing.set_tracing_context_from_http_request_headers(headers):
        outgoing = tracing.get_tracing_context_headers_for_http_request()
    assert outgoing == {"traceparent": PARENT}
