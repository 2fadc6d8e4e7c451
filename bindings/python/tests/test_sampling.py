"""Traces that are not sampled, and recording switched off for the whole process."""

from __future__ import annotations

import asyncio
import contextvars
import re

import pytest

import mlflow_trace
from mlflow_trace import tracing
from mlflow_trace.entities import NoOpSpan, SpanEvent
from mlflow_trace.exceptions import InvalidConfigError

TRACE, SPAN = "a" * 32, "b" * 16
headers_of_now = tracing.get_tracing_context_headers_for_http_request


@pytest.fixture
def none_sampled(recording):
    mlflow_trace.configure(sampling_ratio=0)
    yield recording
    mlflow_trace.configure(sampling_ratio=None)


def test_a_ratio_of_zero_records_nothing(none_sampled):
    created = mlflow_trace.stats()["created"]

    @mlflow_trace.trace
    def call():
        with mlflow_trace.start_span("child"):
            return mlflow_trace.start_span_no_context("detached")

    assert isinstance(call(), NoOpSpan)
    with mlflow_trace.start_span("root") as root:
        child = mlflow_trace.start_span_no_context("child", parent_span=root)
    assert isinstance(root, NoOpSpan)
    assert isinstance(child, NoOpSpan)
    assert none_sampled.traces() == []
    assert mlflow_trace.stats()["created"] == created


def test_a_share_of_the_traces_is_recorded(recording):
    mlflow_trace.configure(sampling_ratio=0.5)
    for _ in range(200):
        with mlflow_trace.start_span("root"), mlflow_trace.start_span("child"):
            pass
    mlflow_trace.configure(sampling_ratio=None)
    traces = recording.traces()
    assert 50 < len(traces) < 150
    assert all(len(trace.spans) == 2 for trace in traces)


def test_the_decorator_overrides_the_ratio_for_roots(none_sampled):
    @mlflow_trace.trace(sampling_ratio_override=1.0)
    def always():
        return never()

    @mlflow_trace.trace(sampling_ratio_override=0.0)
    def never():
        return mlflow_trace.get_current_active_span()

    assert always().name == "never"
    assert none_sampled.trace().tree() == {"always": None, "never": "always"}
    mlflow_trace.configure(sampling_ratio=1)
    assert never() is None
    assert none_sampled.traces() == []


@pytest.mark.parametrize("ratio", [0.0, 0.3])
def test_the_override_is_a_share(recording, ratio):
    root = mlflow_trace.trace(lambda: None, name="root", sampling_ratio_override=ratio)
    for _ in range(200):
        root()
    assert ratio * 100 <= len(recording.traces()) <= ratio * 350


def test_inside_an_unsampled_trace(none_sampled, caplog):
    last = mlflow_trace.get_last_active_trace_id(thread_local=True)
    with mlflow_trace.start_span("root"):
        assert mlflow_trace.get_current_active_span() is None
        assert mlflow_trace.get_active_trace_id() is None
        mlflow_trace.update_current_trace(tags={"a": "b"})
        assert "no active trace" in caplog.text
    assert mlflow_trace.get_last_active_trace_id(thread_local=True) == last


def test_headers_of_an_unsampled_trace_say_so(none_sampled):
    with mlflow_trace.start_span("root"):
        headers = headers_of_now()
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-02", headers["traceparent"])
        with mlflow_trace.start_span("child"):
            # All of it is one trace.
            assert headers_of_now()["traceparent"][:35] == headers["traceparent"][:35]
            with tracing.context(tags={"a": "b"}):
                assert headers_of_now() == headers
    assert headers_of_now() == {}
    mlflow_trace.configure(sampling_ratio=1)
    with tracing.set_tracing_context_from_http_request_headers(headers):
        with mlflow_trace.start_span("receiver") as span:
            assert isinstance(span, NoOpSpan)
    assert none_sampled.traces() == []


def test_an_unsampled_remote_parent_is_passed_on(recording):
    incoming = {"traceparent": f"00-{TRACE}-{SPAN}-00", "tracestate": "vendor=1"}
    with tracing.set_tracing_context_from_http_request_headers(incoming):
        assert headers_of_now() == incoming
        with mlflow_trace.start_span("server") as span:
            assert isinstance(span, NoOpSpan)
            assert mlflow_trace.get_current_active_span() is None
            outgoing = headers_of_now()
            assert outgoing["traceparent"].startswith(f"00-{TRACE}-")
            assert outgoing["traceparent"].endswith("-00")
            assert outgoing["tracestate"] == "vendor=1"
            with mlflow_trace.start_span("child") as child:
                assert isinstance(child, NoOpSpan)
    assert recording.traces() == []


def test_a_sampled_remote_parent_wins_over_the_ratio(none_sampled):
    with mlflow_trace.start_span("dropped"):
        incoming = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        with tracing.set_tracing_context_from_http_request_headers(incoming):
            with mlflow_trace.start_span("server") as span:
                assert span.trace_id == f"tr-{TRACE}"
    assert none_sampled.trace().spans[0].name == "server"


def test_tasks_and_copied_contexts_follow_the_root(none_sampled):
    async def task():
        with mlflow_trace.start_span("task") as span:
            await asyncio.sleep(0)
            return span

    async def main():
        with mlflow_trace.start_span("root"):
            mlflow_trace.configure(sampling_ratio=1)
            copied = contextvars.copy_context().run(mlflow_trace.start_span_no_context, "copied")
            return [copied, *await asyncio.gather(task(), task())]

    assert all(isinstance(span, NoOpSpan) for span in asyncio.run(main()))
    assert none_sampled.traces() == []


def test_generators_follow_the_root(none_sampled):
    @mlflow_trace.trace
    def numbers():
        for i in range(2):
            with mlflow_trace.start_span("inside") as span:
                assert isinstance(span, NoOpSpan)
            yield i

    @mlflow_trace.trace
    async def later():
        for i in range(2):
            assert mlflow_trace.get_current_active_span() is None
            yield i

    async def collect():
        return [i async for i in later()]

    stream = numbers()
    assert next(stream) == 0
    assert asyncio.run(collect()) == [0, 1]
    # Its own code stays unsampled, wherever the next item is asked for.
    mlflow_trace.configure(sampling_ratio=1)
    with mlflow_trace.start_span("consumer"):
        assert list(stream) == [1]
    assert none_sampled.span().name == "consumer"


def test_a_scope_may_be_entered_again(recording):
    scope = mlflow_trace.start_span("again")
    with scope as outer:
        mlflow_trace.tracing.disable()
        with scope as inner:
            assert isinstance(inner, NoOpSpan)
        mlflow_trace.tracing.enable()
        assert outer.end_time_ns is None
        mlflow_trace.configure(sampling_ratio=0)
    mlflow_trace.configure(sampling_ratio=None)
    assert recording.span().name == "again"


def test_every_call_of_a_span_that_is_not_recorded_is_accepted(none_sampled):
    with mlflow_trace.start_span("root") as span:
        span.set_inputs(1)
        span.set_outputs(1)
        span.set_attribute("a", 1)
        span.set_attributes({"a": 1})
        span.set_span_type("LLM")
        span.set_status("ERROR")
        span.set_log_level("INFO")
        span.set_description("d")
        span.add_event(SpanEvent("e"))
        span.add_link(None)
        span.record_exception(ValueError("v"))
        span.end(outputs=1, attributes={}, status="OK", end_time_ns=1)
    assert span.trace_id == span.request_id == "MLFLOW_NO_OP_SPAN_TRACE_ID"
    for name in ("span_id", "parent_id", "name", "span_type", "inputs", "outputs", "status"):
        assert getattr(span, name) is None
    for name in ("start_time_ns", "end_time_ns", "log_level", "description", "context"):
        assert getattr(span, name) is None
    assert (span.model_name, span.llm_cost, span.to_dict()) == (None, None, None)
    assert (span.attributes, span.events, span.links) == ({}, [], [])
    assert span.get_attribute("a") is None
    assert repr(span).startswith("NoOpSpan(name=None, trace_id='MLFLOW_NO_OP_SPAN_TRACE_ID'")


def test_an_exception_passes_an_unsampled_span(none_sampled):
    with pytest.raises(KeyError), mlflow_trace.start_span("root"):
        raise KeyError("k")
    assert headers_of_now() == {}


def test_errors_may_be_kept(none_sampled):
    mlflow_trace.configure(sampling_keep_errors=True)
    try:
        with mlflow_trace.start_span("fine") as fine:
            assert fine.trace_id.startswith("tr-")
        with pytest.raises(KeyError), mlflow_trace.start_span("fails"):
            assert mlflow_trace.get_current_active_span().name == "fails"
            with mlflow_trace.start_span("child"):
                raise KeyError("k")
        assert none_sampled.trace().tree() == {"child": "fails", "fails": None}
        assert mlflow_trace.stats()["dropped"]["unsampled"] >= 1
    finally:
        mlflow_trace.configure(sampling_keep_errors=None)


@pytest.mark.parametrize("ratio", ["1.5", "-1", "half", "nan"])
def test_a_faulty_ratio_of_the_environment_samples_everything(run_python, ratio):
    code = """
        import mlflow_trace
        from mlflow_trace import _native
        with mlflow_trace.start_span("before"):
            pass
        mlflow_trace.set_tracking_uri("")
        mlflow_trace.set_experiment("other")
        for _ in range(20):
            with mlflow_trace.start_span("span"):
                pass
        mlflow_trace.flush()
        assert len(_native.memory_traces()) == 21
        mlflow_trace.configure(sampling_ratio=0)
        mlflow_trace.configure(service_name="s")
        assert _native.get_option("sampling.ratio") == "0"
    """
    faulty = {"MLFLOW_TRACE_SAMPLING_RATIO": ratio, "MLFLOW_TRACE_EXPORTER": "memory"}
    done = run_python(code, **faulty)
    assert done.returncode == 0, done.stderr
    assert "MLFLOW_TRACE_SAMPLING_RATIO" in done.stderr
    assert done.stderr.count("ignored") <= 2


def test_the_ratio_of_the_environment(run_python):
    code = """
        import mlflow_trace
        with mlflow_trace.start_span("span") as span:
            print(span.trace_id)
        mlflow_trace.trace(print, sampling_ratio_override=1.0)(mlflow_trace.stats()["created"])
        print(mlflow_trace.stats()["created"])
    """
    done = run_python(code, MLFLOW_TRACE_SAMPLING_RATIO="0.0", MLFLOW_TRACE_EXPORTER="none")
    assert done.stdout.split() == ["MLFLOW_NO_OP_SPAN_TRACE_ID", "0", "1"]
    assert done.stderr == ""


def test_a_faulty_ratio_of_the_program_is_an_error(recording):
    with pytest.raises(InvalidConfigError, match=r"sampling\.ratio"):
        mlflow_trace.configure(sampling_ratio=1.5)


def test_disable_and_enable(recording):
    assert tracing.is_tracing_enabled()
    with mlflow_trace.start_span("open") as span:
        tracing.disable()
        tracing.disable()
        assert not tracing.is_tracing_enabled()
        with mlflow_trace.start_span("hidden") as hidden:
            assert isinstance(hidden, NoOpSpan)
        with tracing.context(enabled=True), mlflow_trace.start_span("hidden") as hidden:
            assert isinstance(hidden, NoOpSpan)
        span.set_outputs("recorded")
        tracing.enable()
        tracing.enable()
        assert tracing.is_tracing_enabled()
        with mlflow_trace.start_span("shown"):
            pass
    trace = recording.trace()
    assert trace.tree() == {"shown": "open", "open": None}
    assert trace.root.outputs == "recorded"


def test_reset_enables_and_forgets_processors(recording):
    tracing.configure(span_processors=[lambda span: span.set_outputs("changed")])
    tracing.disable()
    tracing.reset()
    assert tracing.is_tracing_enabled()
    with mlflow_trace.start_span("span"):
        pass
    assert recording.span().outputs is None


def test_a_disabled_sdk_records_nothing_at_all(run_python):
    code = f"""
        import mlflow_trace
        from mlflow_trace import tracing
        incoming = {{"traceparent": "00-{TRACE}-{SPAN}-01"}}
        with tracing.set_tracing_context_from_http_request_headers(incoming):
            with mlflow_trace.start_span("continued") as span:
                pass
            assert tracing.get_tracing_context_headers_for_http_request() == incoming
        always = mlflow_trace.trace(lambda: mlflow_trace.get_current_active_span(),
                                    name="always", sampling_ratio_override=1.0)
        assert always() is None
        tracing.enable()
        assert not tracing.is_tracing_enabled()
        assert mlflow_trace.stats()["created"] == 0
        mlflow_trace.configure(sdk_disabled=False)
        assert tracing.is_tracing_enabled()
        assert always() is not None
        print(span.trace_id)
    """
    done = run_python(code, OTEL_SDK_DISABLED="TRUE", MLFLOW_TRACE_EXPORTER="none")
    assert done.stdout == "MLFLOW_NO_OP_SPAN_TRACE_ID\n", done.stderr


def test_an_option_disables_the_sdk_while_spans_are_open(recording):
    with mlflow_trace.start_span("open"):
        mlflow_trace.configure(sdk_disabled=True)
        with mlflow_trace.start_span("hidden") as hidden:
            assert isinstance(hidden, NoOpSpan)
        mlflow_trace.configure(sdk_disabled=None)
    assert recording.span().name == "open"
