"""Spans of OpenTelemetry's SDK: alone, and in one trace with ours."""

from __future__ import annotations

import asyncio
import base64
import json
import threading

import pytest

import mlflow_trace
from mlflow_trace import _native, tracing

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from mlflow_trace.otel import MlflowSpanExporter, MlflowSpanProcessor


@pytest.fixture
def tracer(recording):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(MlflowSpanProcessor())
    return provider.get_tracer("test", "1.0")


def test_both_kinds_are_parents_of_each_other(recording, tracer):
    with mlflow_trace.start_span("a") as a:
        with tracer.start_as_current_span("b"):
            with mlflow_trace.start_span("c") as c:
                assert c.trace_id == a.trace_id
                with tracer.start_as_current_span("d"), mlflow_trace.start_span("e"):
                    pass
            with mlflow_trace.start_span("f"):
                pass
    found = recording.trace()
    assert found.info is not None
    assert found.tree() == {"a": None, "b": "a", "c": "b", "d": "c", "e": "d", "f": "b"}
    assert json.loads(found.metadata["mlflow.trace.sizeStats"])["num_spans"] == 6


def test_a_root_of_theirs_has_the_information_of_a_trace(recording, tracer):
    with tracer.start_as_current_span("root") as root:
        root.set_attribute("mlflow.spanInputs", '{"q": 1}')
        with mlflow_trace.start_span("child") as child:
            child.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 1, "total_tokens": 3})
            mlflow_trace.update_current_trace(tags={"inside": "ours"})
        assert mlflow_trace.get_active_trace_id() == child.trace_id
        mlflow_trace.update_current_trace(session_id="s")
    found = recording.trace()
    assert found.tree() == {"root": None, "child": "root"}
    assert found.info["request_preview"] == '{"q": 1}'
    assert found.tags["inside"] == "ours"
    assert found.tags["mlflow.traceName"] == "root"
    assert found.metadata["mlflow.trace.session"] == "s"
    assert json.loads(found.metadata["mlflow.trace.tokenUsage"])["total_tokens"] == 3


def test_spans_are_those_of_the_sdk(recording, tracer):
    other = trace.SpanContext(0xABC, 0xDEF, is_remote=True)
    with tracer.start_as_current_span(
        "root",
        kind=SpanKind.CLIENT,
        links=[Link(other, {"n": [1, 2]})],
        attributes={
            "s": "é",
            "i": 1,
            "f": 1.5,
            "b": True,
            "l": ["x", "y"],
            "n": (1, 2),
            "gen_ai.operation.name": "chat",
        },
    ) as span:
        span.add_event("happened", {"k": (1, 2)}, timestamp=1_700_000_000_000_000_000)
        span.set_status(Status(StatusCode.ERROR, "bad"))
    found = recording.span()
    assert found.name == "root"
    assert found.own == {
        "s": "é",
        "i": 1,
        "f": 1.5,
        "b": True,
        "l": ["x", "y"],
        "n": [1, 2],
        "gen_ai.operation.name": "chat",
        "otel.scope.name": "test",
        "otel.scope.version": "1.0",
    }
    assert found.attributes["mlflow.spanType"] == "CHAT_MODEL"
    assert found.status == ("ERROR", "bad")
    assert found.events == [("happened", {"k": [1, 2]})]
    assert found.json["events"][0]["time_unix_nano"] == 1_700_000_000_000_000_000
    (link,) = found.json["links"]
    assert link["span_id"] == "0000000000000def"
    assert link["attributes"] == {"n": [1, 2]}
    assert found.json["start_time_unix_nano"] == span.start_time
    assert found.json["end_time_unix_nano"] == span.end_time


def test_exceptions_of_theirs(recording, tracer):
    with pytest.raises(ValueError, match="no"), tracer.start_as_current_span("root"):
        raise ValueError("no")
    found = recording.span()
    assert found.status == ("ERROR", "ValueError: no")
    ((name, attributes),) = found.events
    assert name == "exception"
    assert attributes["exception.type"] == "ValueError"


def test_spans_of_mlflows_sdk_are_as_mlflow_sends_them(recording, tracer):
    texts = {
        "mlflow.traceRequestId": '"tr-0"',
        "mlflow.spanType": '"LLM"',
        "mlflow.spanInputs": '{"q": [1, "x"]}',
        "mlflow.spanOutputs": '"text"',
        "n": "5",
        "none": "null",
    }
    with tracer.start_as_current_span("llm", attributes=texts):
        pass
    found = recording.span()
    assert found.attributes["mlflow.spanType"] == "LLM"
    assert found.inputs == {"q": [1, "x"]}
    assert found.outputs == "text"
    assert (found.own["n"], found.own["none"]) == (5, None)


def test_threads_and_tasks(recording, tracer):
    async def work(n):
        with tracer.start_as_current_span(f"t{n}"):
            await asyncio.sleep(0)
            with mlflow_trace.start_span(f"m{n}"):
                await asyncio.sleep(0)

    async def main():
        with mlflow_trace.start_span("root"):
            await asyncio.gather(*(work(n) for n in range(3)))

    asyncio.run(main())
    found = recording.trace()
    expected = {"root": None}
    for n in range(3):
        expected |= {f"t{n}": "root", f"m{n}": f"t{n}"}
    assert found.tree() == expected

    # A thread without a context begins anew, in both.
    with mlflow_trace.start_span("root"):
        thread = threading.Thread(target=lambda: tracer.start_span("alone").end())
        thread.start()
        thread.join()
    assert sorted(len(found.spans) for found in recording.traces()) == [1, 1]


def test_headers_carry_the_nearest_span(recording, tracer):
    with mlflow_trace.start_span("ours"), tracer.start_as_current_span("theirs") as theirs:
        headers = tracing.get_tracing_context_headers_for_http_request()
        assert headers["traceparent"].split("-")[2] == f"{theirs.get_span_context().span_id:016x}"
    recording.traces()
    with tracing.set_tracing_context_from_http_request_headers(headers):
        with tracer.start_as_current_span("b"), mlflow_trace.start_span("c"):
            carrier = {}
            propagate.inject(carrier)
    assert carrier["traceparent"].split("-")[1] == headers["traceparent"].split("-")[1]
    found = recording.trace()
    assert found.info is None
    assert [span.name for span in found.spans if span.parent == theirs_id(theirs)] == ["b"]


def theirs_id(span):
    return base64.b64encode(span.get_span_context().span_id.to_bytes(8, "big")).decode()


def test_a_context_that_came_with_their_propagator(recording, tracer):
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    token = context.attach(propagate.extract({"traceparent": header}))
    with mlflow_trace.start_span("ours") as span:
        assert span.trace_id == "tr-0af7651916cd43dd8448eb211c80319c"
        assert span.parent_id == "b7ad6b7169203331"
    context.detach(token)
    assert recording.trace().info is None


def test_unsampled_spans_of_theirs_have_no_children(recording):
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    provider.add_span_processor(MlflowSpanProcessor())
    with provider.get_tracer("test").start_as_current_span("dropped"):
        with mlflow_trace.start_span("child") as span:
            assert span.trace_id == "MLFLOW_NO_OP_SPAN_TRACE_ID"
    assert recording.traces() == []


def test_nothing_is_recorded_where_recording_is_off(recording, tracer):
    tracing.disable()
    try:
        tracer.start_span("off").end()
    finally:
        tracing.enable()
    with tracing.context(enabled=False):
        tracer.start_span("off").end()
    assert recording.traces() == []


def test_leaving_in_another_order(recording, tracer):
    first, second = mlflow_trace.start_span("a"), mlflow_trace.start_span("b")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with tracer.start_as_current_span("c"):
        pass
    second.__exit__(None, None, None)
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert recording.trace().tree() == {"a": None, "b": "a", "c": "b"}


def test_generators_keep_the_context_of_their_consumer(recording, tracer):
    @mlflow_trace.trace
    def items():
        with tracer.start_as_current_span("inside"):
            yield 1
        yield 2

    with mlflow_trace.start_span("consumer"):
        for _ in items():
            with mlflow_trace.start_span("step"):
                pass
    expected = {"consumer": None, "items": "consumer", "inside": "items"}
    tree = {name: parent for name, parent in recording.trace().tree().items() if name != "step"}
    assert tree == expected
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_content_that_processors_did_not_see_is_withheld(recording, tracer):
    with tracing.configure(span_processors=[lambda span: None]):
        with tracer.start_as_current_span("root", attributes={"secret": "x"}):
            with mlflow_trace.start_span("ours") as ours:
                ours.set_attribute("seen", 1)
    found = recording.trace()
    assert found.span("root").own["secret"] == "[redaction failed]"
    assert found.span("ours").own == {"seen": 1}


@pytest.mark.parametrize("processor", [SimpleSpanProcessor, BatchSpanProcessor])
def test_the_exporter_gathers_traces(recording, processor):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor(MlflowSpanExporter()))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("root"):
        for n in range(3):
            tracer.start_span(f"child {n}").end()
    assert provider.force_flush()
    found = recording.trace()
    assert found.info is not None
    assert len(found.spans) == 4
    provider.shutdown()


def test_the_exporter_does_not_wait_for_roots_of_ours(recording):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(MlflowSpanExporter()))
    with mlflow_trace.start_span("root"):
        with provider.get_tracer("test").start_as_current_span("child"):
            pass
    found = recording.trace()
    assert found.tree() == {"root": None, "child": "root"}


def test_the_exporter_follows_the_configuration(recording):
    exporter = MlflowSpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    tracer.start_span("before").end()
    mlflow_trace.configure(batch_delay_ms=1)
    tracer.start_span("after").end()
    assert sorted(found.root.name for found in recording.traces()) == ["after", "before"]
    with pytest.raises(ValueError, match="root_wait"):
        MlflowSpanExporter(root_wait=-1)


def test_counts_are_conserved(recording, tracer):
    before = mlflow_trace.stats()
    with tracer.start_as_current_span("a"), mlflow_trace.start_span("b"):
        tracer.start_span("c").end()
    recording.traces()
    after = mlflow_trace.stats()
    assert after["created"] - before["created"] == 3
    assert after["delivered"] - before["delivered"] == 3
    assert after["pending"] == 0


def test_limits_of_the_sdk_are_told(recording):
    provider = TracerProvider(
        shutdown_on_exit=False, span_limits=SpanLimits(max_attributes=1, max_events=1)
    )
    provider.add_span_processor(MlflowSpanProcessor())
    with provider.get_tracer("t").start_as_current_span("x", attributes={"a": 1, "b": 2}) as span:
        span.add_event("1")
        span.add_event("2")
    assert len(recording.span().events) == 1


def test_the_bridged_provider_leaves_the_global_one_alone(recording):
    provider = tracing.get_bridged_tracer_provider()
    assert provider is tracing.get_bridged_tracer_provider()
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
    with mlflow_trace.start_span("a"), provider.get_tracer("x").start_as_current_span("b"):
        pass
    assert recording.trace().tree() == {"a": None, "b": "a"}


UNIFIED = """
import os
os.environ["MLFLOW_USE_DEFAULT_TRACER_PROVIDER"] = "false"
import mlflow_trace as mlflow
from mlflow_trace import _native
mlflow.configure(exporter="memory")
from opentelemetry import trace
{set_up}

@mlflow.trace
def handler():
    return 1

tracer = trace.get_tracer("t")
with tracer.start_as_current_span("server"):
    handler()
handler()
with tracer.start_as_current_span("again"):
    pass
mlflow.flush()
import json
for text in _native.memory_traces():
    print(sorted(span["name"] for span in json.loads(text)["spans"]))
"""


def test_one_provider_for_all(run_python):
    """What was set as the global provider before the decorator counts."""
    set_up = (
        "from opentelemetry.sdk.trace import TracerProvider as T; trace.set_tracer_provider(T())"
    )
    done = run_python(UNIFIED.format(set_up=set_up))
    assert done.stdout.splitlines() == ["['handler', 'server']", "['handler']", "['again']"]
    # Without a provider there is one from the first span of ours on.
    done = run_python(UNIFIED.format(set_up=""))
    assert done.stdout.splitlines() == ["['handler']", "['handler']", "['again']"], done.stderr


def test_without_opentelemetry_the_package_works(run_python):
    done = run_python("""
        import sys
        sys.modules["opentelemetry"] = None
        import mlflow_trace
        mlflow_trace.configure(exporter="memory")
        with mlflow_trace.start_span("x"):
            pass
        try:
            import mlflow_trace.otel
        except mlflow_trace.exceptions.UnsupportedError as error:
            print(error)
    """)
    assert "opentelemetry-sdk" in done.stdout, done.stderr


def test_hostile_spans_do_not_raise(recording):
    class Bad:
        def __getattr__(self, name):
            raise RuntimeError(name)

    _native.otel_start(Bad())
    _native.otel_end(Bad())
    assert _native.OtelExporter(1.0).export([Bad(), None]) is False
    assert recording.traces() == []
