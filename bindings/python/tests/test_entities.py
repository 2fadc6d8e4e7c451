"""Spans and traces that are read, and traces that are made of others."""

from __future__ import annotations

import json
import re

import pytest

import mlflow_trace
from mlflow_trace import _native, entities
from mlflow_trace.entities import (
    Assessment,
    AssessmentError,
    AssessmentSource,
    Expectation,
    Feedback,
    LiveSpan,
    MlflowExperimentLocation,
    NoOpSpan,
    Span,
    SpanEvent,
    SpanStatusCode,
    Trace,
    TraceInfo,
    TraceLocation,
    TraceState,
)
from mlflow_trace.exceptions import InvalidArgumentError

TRACE = "00112233445566778899aabbccddeeff"


def recorded(recording) -> Trace:
    """Record a trace and read it as an entity."""
    with mlflow_trace.start_span("root", span_type="CHAIN") as root:
        root.set_inputs({"q": "é"})
        root.set_outputs([1])
        with mlflow_trace.start_span("step") as step:
            step.set_outputs("a")
            step.add_event(SpanEvent("e", 5, {"k": [1, 2]}))
        with pytest.raises(ValueError), mlflow_trace.start_span("step") as step:
            step.set_outputs("b")
            raise ValueError("no")
        mlflow_trace.update_current_trace(
            tags={"t": "1", "mine": "root"}, metadata={"m": "1"}, session_id="s"
        )
    mlflow_trace.flush()
    (text,) = _native.memory_traces()
    found = json.loads(text)
    # As a server gives them.
    found["spans"].sort(key=lambda span: span["start_time_unix_nano"])
    info = found["info"]
    milliseconds = round(float(info.pop("execution_duration").rstrip("s")) * 1000)
    info["execution_duration_ms"] = milliseconds
    return Trace.from_dict({"info": info, "data": {"spans": found["spans"]}})


def test_a_trace_comes_back_as_it_was(recording):
    trace = recorded(recording)
    assert Trace.from_json(trace.to_json()) == trace
    assert Trace.from_json(trace.to_json(pretty=True)) == trace
    assert repr(trace) == f"Trace(trace_id='{trace.trace_id}')"
    assert trace.info.state is TraceState.OK
    assert trace.info.status == TraceState.OK
    assert trace.info.experiment_id == "0"
    assert trace.info.request_preview == '{"q": "é"}'
    assert trace.info.timestamp_ms == trace.data.spans[0].start_time_ns // 1_000_000
    assert trace.data.request == '{"q": "é"}'
    assert trace.data.response == "[1]"
    assert trace.data.intermediate_outputs == {"step_1": "a", "step_2": "b"}
    assert trace.info.token_usage is None
    row = trace.to_pandas_dataframe_row()
    assert list(row) == Trace.pandas_dataframe_columns()
    assert (row["request"], row["response"]) == ({"q": "é"}, [1])


def test_spans_of_a_trace(recording):
    trace = recorded(recording)
    root, first, second = trace.data.spans
    assert (root.name, root.parent_id, root.span_type) == ("root", None, "CHAIN")
    assert first.parent_id == root.span_id
    assert first.trace_id == first.request_id == trace.trace_id
    assert (root.inputs, root.outputs) == ({"q": "é"}, [1])
    assert root.start_time_ns <= first.start_time_ns <= first.end_time_ns <= root.end_time_ns
    assert first.events == [SpanEvent("e", 5, {"k": [1, 2]})]
    assert second.status.status_code is SpanStatusCode.ERROR
    assert second.status.description == "ValueError: no"
    assert second.log_level == 40
    assert second.get_attribute("nothing") is None
    assert trace.search_spans(name="step") == [first, second]
    assert trace.search_spans(name=re.compile("^s")) == [first, second]
    assert trace.search_spans(span_type="CHAIN") == [root]
    assert trace.search_spans(span_id=first.span_id, name="root") == []
    with pytest.raises(InvalidArgumentError, match="name"):
        trace.search_spans(name=3)
    with pytest.raises(InvalidArgumentError, match="span_type"):
        trace.search_spans(span_type=3)


def test_live_spans_are_spans(recording):
    with mlflow_trace.start_span("x") as span:
        assert isinstance(span, Span)
        assert isinstance(span, LiveSpan)
    read = Span.from_dict(span.to_dict())
    for name in ("trace_id", "span_id", "name", "start_time_ns", "end_time_ns", "attributes"):
        assert getattr(read, name) == getattr(span, name)
    assert isinstance(NoOpSpan(), Span)


def span_json(**changes):
    return {
        "trace_id": "ABEiM0RVZneImaq7zN3u/w==",
        "span_id": "AAAAAAAAAAE=",
        "parent_span_id": None,
        "name": "n",
        "start_time_unix_nano": 1,
        "end_time_unix_nano": 2,
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {"mlflow.traceRequestId": f'"tr-{TRACE}"'},
        "links": [],
    } | changes


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"parent_span_id": ""},
        {"trace_id": TRACE, "span_id": "0000000000000001"},
        {"trace_id": f"tr-{TRACE}", "span_id": "0000000000000001"},
        {"status": {"code": "OK"}},
        {"start_time_unix_nano": "1", "end_time_unix_nano": "2"},
        {"links": None, "events": None},
    ],
)
def test_every_form_of_a_span(changes):
    data = span_json(**changes)
    assert Span.from_dict(data).to_dict() == span_json()


def test_a_span_of_mlflow_2():
    old = {
        "name": "n",
        "context": {"trace_id": "0x" + TRACE, "span_id": "0x0000000000000001"},
        "parent_id": None,
        "start_time": 1,
        "end_time": 2,
        "status_code": "OK",
        "status_message": "",
        "attributes": {"mlflow.traceRequestId": f'"tr-{TRACE}"'},
        "events": [],
    }
    assert Span.from_dict(old).to_dict() == span_json()


def test_attributes_that_are_no_json_stay_as_they_are():
    span = Span.from_dict(span_json(attributes={"a": "{bad", "b": {"c": 1}, "d": "3"}))
    assert span.attributes == {"a": "{bad", "b": {"c": 1}, "d": 3}
    assert span.trace_id == f"tr-{TRACE}"
    span.attributes["a"] = 1
    assert span.get_attribute("a") == "{bad"


@pytest.mark.parametrize("data", [{}, {"name": "x"}, span_json(trace_id="??"), None, []])
def test_what_is_no_span_or_trace_is_refused(data):
    with pytest.raises(InvalidArgumentError):
        Span.from_dict(data)
    with pytest.raises(InvalidArgumentError):
        Trace.from_dict({"info": {}, "data": {"spans": [data]}})
    with pytest.raises(InvalidArgumentError):
        Trace.from_json("{")


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T22:13:20.1Z", 1_700_000_000_100),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123),
        ("2023-11-15T00:13:20.5+02:00", 1_700_000_000_500),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_times(text, milliseconds):
    location = TraceLocation.from_experiment_id("1").to_dict()
    info = TraceInfo.from_dict({"trace_id": "t", "trace_location": location, "request_time": text})
    assert info.request_time == milliseconds
    assert TraceInfo.from_dict(info.to_dict()) == info


def test_assessments():
    source = AssessmentSource("human", "me")
    given = [
        Feedback(value=True, source=source, trace_id="t", rationale="r", metadata={"k": 1}),
        Feedback("f", value=[1, "x"], span_id="s", valid=False),
        Feedback("e", error=ValueError("no")),
        Feedback("e", error="text"),
        Feedback("e", error=AssessmentError("CODE", "m", "x" * 20_000)),
        Expectation("x", {"a": [1]}),
        Expectation("y", "text", source=source),
    ]
    for one in given:
        back = Assessment.from_dictionary(one.to_dictionary())
        assert type(back) is type(one)
        assert back.value == one.value
        assert back.to_dictionary() == one.to_dictionary()
    assert given[0].source.source_type == "HUMAN"
    assert given[2].error_code == "ValueError"
    assert given[5].to_dictionary()["expectation"]["serialized_value"]["value"] == '{"a": [1]}'
    assert AssessmentSource("ai_judge").source_type == "LLM_JUDGE"
    for wrong in (
        lambda: AssessmentSource("nobody"),
        lambda: Expectation("x", None),
        lambda: Feedback(error=3),
        lambda: Feedback(source="me"),
        lambda: Assessment.from_dictionary({"assessment_name": "x"}),
    ):
        with pytest.raises(InvalidArgumentError):
            wrong()


def test_assessments_of_a_trace(recording):
    trace = recorded(recording)
    valid, old = Feedback("f", value=1), Feedback("f", value=0, valid=False)
    expected = Expectation("e", 1, span_id="0000000000000001")
    trace.info.assessments += [valid, old, expected]
    assert trace.search_assessments() == [valid, expected]
    assert trace.search_assessments("f", all=True) == [valid, old]
    assert trace.search_assessments(type="expectation") == [expected]
    assert trace.search_assessments(span_id="0000000000000001", type="feedback") == []


def test_a_trace_becomes_part_of_another(recording):
    trace = recorded(recording)
    with mlflow_trace.start_span("outer") as outer:
        mlflow_trace.update_current_trace(tags={"mine": "outer"})
        mlflow_trace.add_trace(trace.to_dict())
    found = recording.trace()
    assert sorted(span.name for span in found.spans) == ["outer", "root", "step", "step"]
    added = {span.id: span for span in found.spans}
    root = trace.data.spans[0].to_dict()
    merged = added[root["span_id"]].json
    assert merged["parent_span_id"] == Span.from_dict(outer.to_dict()).to_dict()["span_id"]
    for name in ("name", "start_time_unix_nano", "end_time_unix_nano", "events", "status"):
        assert merged[name] == root[name]
    assert added[root["span_id"]].inputs == {"q": "é"}
    assert (found.tags["t"], found.tags["mine"]) == ("1", "outer")
    assert found.tags["mlflow.traceName"] == "outer"
    assert found.metadata["m"] == "1"
    assert found.metadata["mlflow.trace.session"] == "s"
    assert json.loads(found.metadata["mlflow.trace.sizeStats"])["num_spans"] == 4


def test_a_trace_without_a_target_gets_a_root(recording):
    trace = recorded(recording)
    trace.data.spans.reverse()
    mlflow_trace.add_trace(trace)
    found = recording.trace()
    root = found.root
    trace.data.spans.reverse()
    assert root.name == "Remote Trace <root>"
    assert (root.inputs, root.outputs) == ({"q": "é"}, [1])
    assert root.json["start_time_unix_nano"] == trace.data.spans[0].start_time_ns - 1
    assert root.json["end_time_unix_nano"] == trace.data.spans[0].end_time_ns


def test_what_cannot_be_added_is_refused(recording):
    trace = recorded(recording)
    trace.info.state = TraceState.IN_PROGRESS
    with pytest.raises(InvalidArgumentError, match="must be ended"):
        mlflow_trace.add_trace(trace)
    for wrong in (3, None, {}, {"info": {}, "data": {}}):
        with pytest.raises(InvalidArgumentError):
            mlflow_trace.add_trace(wrong)
    trace.info.state = TraceState.OK
    with mlflow_trace.tracing.context(enabled=False), mlflow_trace.start_span("off") as span:
        mlflow_trace.add_trace(trace, target=span)
    assert recording.traces() == []


def test_a_trace_after_the_fact(recording):
    trace_id = mlflow_trace.log_trace(
        "later",
        request={"q": 1},
        response="a",
        intermediate_outputs={"docs": [1]},
        attributes={"k": 1},
        tags={"t": "1"},
        start_time_ms=1_700_000_000_000,
        execution_time_ms=250,
    )
    found = recording.trace()
    assert found.info["trace_id"] == trace_id
    assert found.info["request_time"] == "2023-11-14T22:13:20Z"
    assert found.info["execution_duration"] == "0.250s"
    assert found.tags["t"] == "1"
    assert found.root.own["mlflow.trace.intermediate_outputs"] == {"docs": [1]}
    assert (found.root.inputs, found.root.outputs, found.root.own["k"]) == ({"q": 1}, "a", 1)
    mlflow_trace.log_trace()
    assert recording.span().name == "Task"


def test_notebooks_show_a_waterfall(recording):
    trace = recorded(recording)
    trace.data.spans[1]._data["name"] = "<script>"
    shown = trace._repr_html_()
    assert shown.count("<tr>") == 3
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    mlflow_trace.tracing.disable_notebook_display()
    try:
        assert trace._repr_html_() is None
    finally:
        mlflow_trace.tracing.enable_notebook_display()
    empty = Trace(trace.info, entities.TraceData())
    assert empty._repr_html_().count("<tr>") == 0


def test_destinations(recording):
    def experiment():
        with mlflow_trace.start_span("x"), mlflow_trace.start_span("y"):
            pass
        info = recording.trace().info
        return info["trace_location"]["mlflow_experiment"]["experiment_id"]

    tracing = mlflow_trace.tracing
    assert experiment() == "0"
    tracing.set_destination(MlflowExperimentLocation("7"))
    assert experiment() == "7"
    tracing.set_destination(MlflowExperimentLocation("8"), context_local=True)
    assert experiment() == "8"
    import threading

    found = []
    thread = threading.Thread(target=lambda: found.append(experiment()))
    thread.start()
    thread.join()
    assert found == ["7"]
    mlflow_trace.start_span_no_context("z").end()
    info = recording.trace().info
    assert info["trace_location"]["mlflow_experiment"]["experiment_id"] == "8"
    explicit = mlflow_trace.start_span("x", trace_destination=MlflowExperimentLocation("9"))
    with explicit:
        pass
    info = recording.trace().info
    assert info["trace_location"]["mlflow_experiment"]["experiment_id"] == "9"
    tracing.reset()
    assert experiment() == "0"
    for wrong in (None, "7", 7):
        with pytest.raises(InvalidArgumentError, match="destination"):
            tracing.set_destination(wrong)
    with pytest.raises(mlflow_trace.exceptions.UnsupportedError):
        tracing.set_destination(entities.UCSchemaLocation("c", "s"))


def test_chat_tools(recording):
    tool = {"type": "function", "function": {"name": "add"}}
    with mlflow_trace.start_span("x") as span:
        mlflow_trace.tracing.set_span_chat_tools(span, [tool])
        for wrong in (tool, [1], [{}]):
            with pytest.raises(InvalidArgumentError):
                mlflow_trace.tracing.set_span_chat_tools(span, wrong)
    assert recording.span().own == {"mlflow.chat.tools": [tool]}


def test_health(recording):
    with mlflow_trace.start_span("x"):
        pass
    recording.traces()
    health = mlflow_trace.health()
    assert health["recording"] is True
    assert health["pending"] == 0
    assert health["dropped"] == mlflow_trace.stats()["dropped"]
    assert health["circuit"] == "closed"
    assert health["last_success_ms"] > 0
    assert health["last_error"] is None
    mlflow_trace.tracing.disable()
    try:
        assert mlflow_trace.health()["recording"] is False
    finally:
        mlflow_trace.tracing.enable()
