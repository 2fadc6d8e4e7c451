"""Spans: `start_span`, `start_span_no_context` and the methods of a live span."""

from __future__ import annotations

import gc
import time
import weakref
from types import SimpleNamespace

import pytest

import mlflow_trace
from mlflow_trace.entities import (
    Link,
    LiveSpan,
    NoOpSpan,
    SpanEvent,
    SpanLogLevel,
    SpanStatus,
    SpanStatusCode,
    SpanType,
)


def test_nested_spans_make_one_trace(recording):
    with mlflow_trace.start_span("root") as root:
        with mlflow_trace.start_span("child") as child:
            with mlflow_trace.start_span("leaf"):
                pass
        with mlflow_trace.start_span("second"):
            pass
    trace = recording.trace()
    assert trace.tree() == {"root": None, "child": "root", "leaf": "child", "second": "root"}
    assert trace.info["trace_id"] == root.trace_id == child.trace_id
    assert root.parent_id is None
    assert child.parent_id == root.span_id
    assert len(root.span_id) == 16
    assert root.trace_id.startswith("tr-")


def test_attributes_of_all_kinds_keep_their_last_value(recording):
    with mlflow_trace.start_span("span") as span:
        span.set_attributes(
            {"a": 1, "b": {"x": [1]}, "c": "text", 3: "no text", "d\ud800": True, "e": "\ud800"}
        )
        span.set_attributes({"a": 2.5, "f": 2**70, "g": None, "h": False})
    own = recording.span().own
    assert own == {
        "a": 2.5,
        "b": {"x": [1]},
        "c": "text",
        "d?": True,
        "e": "?",
        "f": str(2**70),
        "g": None,
        "h": False,
    }


def test_defaults(recording):
    with mlflow_trace.start_span() as span:
        assert isinstance(span, LiveSpan)
    span = recording.span()
    assert span.name == "span"
    assert span.attributes["mlflow.spanType"] == "UNKNOWN"
    assert span.attributes["mlflow.spanLogLevel"] == 10
    assert span.status == ("OK", "")
    assert span.own == {}


def test_everything_given_at_the_start(recording):
    with mlflow_trace.start_span(
        "call",
        SpanType.LLM,
        {"a": 1, "b": "x"},
        log_level="warning",
        run_id="run-1",
        links=[Link("tr-" + "1" * 32, "2" * 16, {"why": "retry"})],
        description="what it does",
    ):
        pass
    trace = recording.trace()
    span = trace.root
    assert span.own == {"a": 1, "b": "x", "mlflow.spanDescription": "what it does"}
    assert span.attributes["mlflow.spanType"] == "LLM"
    assert span.attributes["mlflow.spanLogLevel"] == 30
    assert trace.metadata["mlflow.sourceRun"] == "run-1"
    assert span.json["links"] == [
        {"trace_id": "tr-" + "1" * 32, "span_id": "2" * 16, "attributes": {"why": "retry"}}
    ]


def test_the_methods_of_a_live_span(recording):
    with mlflow_trace.start_span("span") as span:
        span.set_inputs({"q": 1})
        span.set_outputs(["a"])
        span.set_attribute("one", 1)
        span.set_attribute("one", 2)
        span.set_attributes({"two": [1, 2], "three": None})
        span.set_span_type("TOOL")
        span.set_description("text")
        span.set_log_level(SpanLogLevel.CRITICAL)
        span.set_status(SpanStatus(SpanStatusCode.ERROR, "why"))
        span.add_event(SpanEvent("event", 5, {"n": 1, "list": [1, "a"], "text": "x"}))
        span.add_link(Link("3" * 32, "4" * 16))
    span = recording.span()
    assert span.inputs == {"q": 1}
    assert span.outputs == ["a"]
    assert span.own["one"] == 2
    assert span.own["two"] == [1, 2]
    assert span.own["three"] is None
    assert span.attributes["mlflow.spanType"] == "TOOL"
    assert span.own["mlflow.spanDescription"] == "text"
    assert span.attributes["mlflow.spanLogLevel"] == 50
    assert span.status == ("ERROR", "why")
    assert span.json["events"] == [
        {
            "name": "event",
            "time_unix_nano": 5,
            "attributes": {"n": 1, "list": [1, "a"], "text": "x"},
        }
    ]
    assert span.json["links"][0]["trace_id"] == "tr-" + "3" * 32


@pytest.mark.parametrize("status", ["ERROR", SpanStatusCode.ERROR, SpanStatus("ERROR")])
def test_status_forms(recording, status):
    with mlflow_trace.start_span() as span:
        span.set_status(status)
    assert recording.span().status == ("ERROR", "")


def test_a_span_is_readable_while_it_is_open_and_afterwards(recording):
    before = time.time_ns()
    with mlflow_trace.start_span("span", "TOOL", {"a": {"b": 1}}) as span:
        span.set_inputs({"q": "é"})
        assert span.inputs == {"q": "é"}
        assert span.outputs is None
        assert span.status == SpanStatus(SpanStatusCode.UNSET)
        assert span.end_time_ns is None
        span.set_outputs(3)
        span.add_event(SpanEvent("event", 7, {"k": "v"}))
        span.add_link(Link("tr-" + "1" * 32, "2" * 16))
    assert span.name == "span"
    assert span.inputs == {"q": "é"}
    assert span.outputs == 3
    assert span.span_type == "TOOL"
    assert span.get_attribute("a") == {"b": 1}
    assert span.get_attribute("missing") is None
    assert span.attributes["mlflow.traceRequestId"] == span.trace_id == span.request_id
    assert span.status == SpanStatus(SpanStatusCode.OK)
    assert span.log_level is SpanLogLevel.INFO
    assert span.events == [SpanEvent("event", 7, {"k": "v"})]
    assert span.links == [Link("tr-" + "1" * 32, "2" * 16)]
    assert before <= span.start_time_ns <= span.end_time_ns <= time.time_ns()
    assert span.description is None
    assert span.model_name is None
    assert span.llm_cost is None
    assert span.to_dict() == recording.span().json


def test_repr_names_the_span(recording):
    with mlflow_trace.start_span("it's") as span:
        pass
    assert repr(span) == (
        f'LiveSpan(name="it\'s", trace_id={span.trace_id!r}, '
        f"span_id={span.span_id!r}, parent_id=None)"
    )


def test_nothing_changes_after_the_end(recording):
    with mlflow_trace.start_span() as span:
        span.set_outputs(1)
        span.end(outputs=2)
        span.set_outputs(3)
        span.set_attribute("late", True)
    span.end()
    recorded = recording.span()
    assert recorded.outputs == 2
    assert "late" not in recorded.own
    assert mlflow_trace.stats()["ignored"] >= 3


def test_end_takes_outputs_attributes_status_and_time(recording):
    span = mlflow_trace.start_span_no_context("span", start_time_ns=1_000)
    span.end(outputs="o", attributes={"a": 1}, status="ERROR", end_time_ns=5_000)
    recorded = recording.span()
    assert recorded.outputs == "o"
    assert recorded.own["a"] == 1
    assert recorded.status == ("ERROR", "")
    assert (recorded.json["start_time_unix_nano"], recorded.json["end_time_unix_nano"]) == (
        1_000,
        5_000,
    )
    assert recorded.own["mlflow.spanStartTimeNs"] == 1_000
    assert (span.start_time_ns, span.end_time_ns) == (1_000, 5_000)


def test_no_context_spans_are_linked_by_hand(recording):
    with mlflow_trace.start_span("current"):
        below = mlflow_trace.start_span_no_context("below", tags={"late": "yes"})
        assert mlflow_trace.get_current_active_span().name == "current"
        below.end()
    root = mlflow_trace.start_span_no_context(
        "root",
        "CHAIN",
        inputs={"x": 1},
        attributes={"a": "b"},
        tags={"env": "test", "mlflow.user": "not mine to set"},
        metadata={"m": "1"},
        experiment_id="7",
    )
    assert mlflow_trace.get_current_active_span() is None
    child = mlflow_trace.start_span_no_context("child", parent_span=root, tags={"late": "yes"})
    child.end()
    root.end()
    by_name = {trace.root.name: trace for trace in recording.traces()}
    trace = by_name["root"]
    assert trace.tree() == {"root": None, "child": "root"}
    assert trace.root.inputs == {"x": 1}
    assert trace.root.own["a"] == "b"
    assert trace.tags == {"env": "test", "late": "yes", "mlflow.traceName": "root"}
    assert trace.metadata["m"] == "1"
    assert trace.info["trace_location"]["mlflow_experiment"]["experiment_id"] == "7"
    assert by_name["current"].tree() == {"current": None, "below": "current"}
    assert by_name["current"].tags["late"] == "yes"


def test_a_span_may_be_ended_by_another_thread(recording):
    from concurrent.futures import ThreadPoolExecutor

    span = mlflow_trace.start_span_no_context("span")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(span.set_outputs, 1).result()
        pool.submit(span.end).result()
    assert recording.span().outputs == 1


def test_the_destination_of_one_trace(recording):
    with mlflow_trace.start_span("root", trace_destination=SimpleNamespace(experiment_id="42")):
        pass
    location = recording.trace().info["trace_location"]
    assert location["mlflow_experiment"]["experiment_id"] == "42"


def test_root_only_arguments_are_ignored_on_children(recording, caplog):
    with mlflow_trace.start_span("root"), mlflow_trace.start_span("child", run_id="run"):
        pass
    assert "mlflow.sourceRun" not in recording.trace().metadata
    assert "run_id" in caplog.text


def test_a_scope_may_be_entered_again(recording):
    scope = mlflow_trace.start_span("again")
    with scope, scope, mlflow_trace.start_span("inside"):
        pass
    with scope:
        pass
    names = [sorted(span.name for span in trace.spans) for trace in recording.traces()]
    assert sorted(names) == [["again"], ["again", "again", "inside"]]


def test_leaving_out_of_order_keeps_what_is_current(recording):
    outer, inner = mlflow_trace.start_span("outer"), mlflow_trace.start_span("inner")
    outer.__enter__()
    inside = inner.__enter__()
    outer.__exit__(None, None, None)
    assert mlflow_trace.get_current_active_span().span_id == inside.span_id
    inner.__exit__(None, None, None)
    inner.__exit__(None, None, None)
    assert mlflow_trace.get_current_active_span() is None
    assert recording.trace().tree() == {"outer": None, "inner": "outer"}


def test_a_child_of_an_ended_span_stays_in_its_trace(recording):
    root = mlflow_trace.start_span_no_context("root")
    open_child = mlflow_trace.start_span_no_context("open", parent_span=root)
    root.end()
    late = mlflow_trace.start_span_no_context("late", parent_span=root)
    late.end()
    open_child.end()
    assert late.trace_id == root.trace_id
    assert recording.trace().tree() == {"root": None, "open": "root", "late": "root"}


def test_spans_are_weakly_referable_and_freed(recording):
    with mlflow_trace.start_span() as span:
        reference = weakref.ref(span)
        assert reference() is span
    del span
    gc.collect()
    assert reference() is None


def enter(scope):
    with scope:
        pass


WRONG_CALLS = [
    lambda span: span.set_attribute(1, "x"),
    lambda span: span.set_attribute(None, None),
    lambda span: span.set_attributes([("a", 1)]),
    lambda span: span.set_attributes({1: 2, "fine": 3}),
    lambda span: span.set_span_type(object()),
    lambda span: span.set_status("FINE"),
    lambda span: span.set_status(3),
    lambda span: span.set_log_level("LOUD"),
    lambda span: span.set_log_level(11),
    lambda span: span.add_event("text"),
    lambda span: span.add_event(SimpleNamespace(name="n", timestamp=-1, attributes={})),
    lambda span: span.add_event(SpanEvent("n", 1, ["no", "dict"])),
    lambda span: span.add_link("text"),
    lambda span: span.add_link(Link("tr-nonsense", "zz")),
    lambda span: span.record_exception(42),
    lambda span: span.end(attributes=7, status=object(), end_time_ns="soon"),
    lambda span: enter(mlflow_trace.start_span(7, 8, 9, 10, 11, 12, 13, 14)),
    lambda span: mlflow_trace.start_span_no_context(None, parent_span="text"),
    lambda span: mlflow_trace.start_span_no_context(
        1, 2, tags=3, metadata=4, experiment_id=5.5, start_time_ns=-6, log_level=7, links=8
    ),
]


@pytest.mark.parametrize("call", WRONG_CALLS, ids=range(len(WRONG_CALLS)))
def test_wrong_arguments_never_raise(recording, call):
    span = mlflow_trace.start_span_no_context("span", attributes={"kept": 1})
    call(span)
    span.end()
    (recorded,) = (s for t in recording.traces() for s in t.spans if s.name == "span")
    assert recorded.own["kept"] == 1


def test_no_op_spans_accept_everything():
    span = NoOpSpan()
    members = {name for name in dir(LiveSpan) if not name.startswith("__")}
    assert members <= set(dir(span))
    span.set_inputs(1)
    span.set_outputs(1)
    span.set_attribute("a", 1)
    span.set_attributes({})
    span.set_span_type("LLM")
    span.set_status("OK")
    span.set_log_level("INFO")
    span.set_description("")
    span.add_event(SpanEvent("e"))
    span.add_link(Link("", ""))
    span.record_exception("x")
    span.end()
    assert span.trace_id == "MLFLOW_NO_OP_SPAN_TRACE_ID"
    assert (span.attributes, span.events, span.links, span.status) == ({}, [], [], None)
    assert span.get_attribute("a") is None
    assert span.to_dict() is None


def test_the_child_of_a_no_op_span_is_no_op(recording):
    assert isinstance(mlflow_trace.start_span_no_context("child", parent_span=NoOpSpan()), NoOpSpan)
    assert recording.traces() == []


def test_switched_off_nothing_is_recorded(recording):
    from mlflow_trace import tracing

    tracing.disable()
    try:
        with mlflow_trace.start_span() as span:
            assert isinstance(span, NoOpSpan)
            assert mlflow_trace.get_current_active_span() is None
    finally:
        tracing.enable()
    with mlflow_trace.start_span("on"):
        pass
    assert recording.span().name == "on"


def test_after_shutdown_recording_is_a_no_op(recording):
    mlflow_trace.shutdown(timeout=5)
    with mlflow_trace.start_span() as span:
        span.set_inputs(1)
    assert isinstance(span, NoOpSpan)
    mlflow_trace.configure()
    with mlflow_trace.start_span("again"):
        pass
    assert recording.span().name == "again"
