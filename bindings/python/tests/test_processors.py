"""Functions of the program that see every span before it ends."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading

import pytest

import mlflow_trace
from mlflow_trace import _native, tracing
from mlflow_trace.entities import NoOpSpan, SpanStatusCode
from mlflow_trace.exceptions import InvalidArgumentError

WITHHELD = "[redaction failed]"


@pytest.fixture(autouse=True)
def no_processors():
    yield
    tracing.configure(span_processors=[])


def mask(span):
    if span.outputs is not None:
        span.set_outputs("masked")


def fail(span):
    raise ValueError("a secret")


def test_processors_run_in_order_and_change_what_is_sent(recording):
    def first(span):
        span.set_attribute("seen", [span.outputs])

    def second(span):
        span.set_attribute("seen", [*span.get_attribute("seen"), "second"])
        span.set_outputs({"length": len(span.outputs)})

    tracing.configure(span_processors=[first, second])
    with mlflow_trace.start_span("root") as span:
        span.set_outputs("secret")
    assert span.outputs == {"length": 6}
    trace = recording.trace()
    assert trace.root.outputs == {"length": 6}
    assert trace.root.own["seen"] == ["secret", "second"]
    assert "secret" not in trace.info["response_preview"]


def test_processors_see_the_span_as_it_will_be(recording):
    seen = []

    def look(span):
        level = span.log_level and span.log_level.name
        seen.append((span.name, span.status.status_code, level, span.end_time_ns, span.span_type))

    tracing.configure(span_processors=[look])
    with mlflow_trace.start_span("fine"), pytest.raises(KeyError):
        with mlflow_trace.start_span("fails", span_type="LLM"):
            raise KeyError("k")
    with mlflow_trace.start_span("model", span_type="LLM"):
        pass
    with mlflow_trace.start_span("given", log_level="CRITICAL"):
        pass
    ok, error = SpanStatusCode.OK, SpanStatusCode.ERROR
    assert seen == [
        ("fails", error, "ERROR", None, "LLM"),
        ("fine", ok, "DEBUG", None, "UNKNOWN"),
        ("model", ok, "INFO", None, "LLM"),
        ("given", ok, "CRITICAL", None, "UNKNOWN"),
    ]
    levels = {
        span.name: span.attributes["mlflow.spanLogLevel"]
        for trace in recording.traces()
        for span in trace.spans
    }
    assert levels == {"fails": 40, "fine": 10, "model": 20, "given": 50}


def test_spans_of_every_origin_are_seen(recording):
    @mlflow_trace.trace
    def function():
        return "secret"

    @mlflow_trace.trace
    async def coroutine():
        return "secret"

    @mlflow_trace.trace
    def generator():
        yield "secret"

    @mlflow_trace.trace
    async def asynchronous():
        yield "secret"

    @mlflow_trace.trace
    def failing():
        yield "secret"
        raise KeyError("k")

    async def consume():
        await coroutine()
        async for _ in asynchronous():
            pass

    tracing.configure(span_processors=[lambda span: span.set_outputs(f"by {span.name}")])
    function()
    list(generator())
    asyncio.run(consume())
    with pytest.raises(KeyError):
        list(failing())
    closed = generator()
    next(closed)
    closed.close()
    with mlflow_trace.start_span("scope") as span:
        span.set_outputs("secret")
    mlflow_trace.start_span_no_context("detached").end(outputs="secret")
    traces = recording.traces()
    assert len(traces) == 8
    for trace in traces:
        assert trace.root.outputs == f"by {trace.root.name}"


def test_a_failing_processor_withholds_the_span(recording, caplog):
    failed = mlflow_trace.stats()["redaction_failed"]
    tracing.configure(span_processors=[fail, mask])
    with mlflow_trace.start_span("private", attributes={"a": "b"}) as span:
        span.set_inputs("secret")
        span.set_outputs("secret")
    tracing.configure(span_processors=[])
    with mlflow_trace.start_span("public") as span:
        span.set_outputs("open")
    withheld, public = recording.traces()
    assert withheld.root.name == "private"
    assert withheld.root.own == dict.fromkeys(
        ["a", "mlflow.spanInputs", "mlflow.spanOutputs"], WITHHELD
    )
    assert "secret" not in str(withheld)
    assert public.root.outputs == "open"
    assert mlflow_trace.stats()["redaction_failed"] == failed + 1
    assert "span processor fail failed with ValueError" in caplog.text
    assert "a secret" not in caplog.text


def test_the_traceback_is_for_who_debugs(recording, caplog):
    caplog.set_level(logging.DEBUG, "mlflow_trace")
    tracing.configure(span_processors=[fail])
    with mlflow_trace.start_span("private"):
        pass
    assert "a secret" in caplog.text


def test_processors_after_one_that_failed_are_called(recording):
    seen = []
    tracing.configure(span_processors=[fail, lambda span: seen.append(span.name)])
    with mlflow_trace.start_span("root"):
        pass
    assert seen == ["root"]


def test_an_interrupt_passes_and_the_span_is_withheld(recording):
    def interrupt(span):
        raise KeyboardInterrupt

    tracing.configure(span_processors=[interrupt])
    with pytest.raises(KeyboardInterrupt), mlflow_trace.start_span("scope") as span:
        span.set_outputs("secret")
    detached = mlflow_trace.start_span_no_context("detached")
    with pytest.raises(KeyboardInterrupt):
        detached.end(outputs="secret")
    assert [trace.root.outputs for trace in recording.traces()] == [WITHHELD, WITHHELD]


def test_an_exit_does_not_pass(recording):
    def leave(span):
        raise SystemExit

    tracing.configure(span_processors=[leave])
    with mlflow_trace.start_span("scope") as span:
        span.set_outputs("secret")
    assert recording.span().outputs == WITHHELD


def test_spans_that_nobody_ends_are_withheld(recording):
    tracing.configure(span_processors=[mask])
    mlflow_trace.configure(trace_timeout_s=1)
    try:
        abandoned = mlflow_trace.stats()["abandoned"]
        with mlflow_trace.start_span("too long") as span:
            span.set_outputs("secret")
            deadline = threading.Event()
            for _ in range(100):
                if mlflow_trace.stats()["abandoned"] > abandoned:
                    break
                deadline.wait(0.1)
        withheld = recording.trace()
        assert withheld.root.outputs == WITHHELD
        assert "secret" not in str(withheld)
        assert mlflow_trace.stats()["abandoned"] == abandoned + 1
    finally:
        mlflow_trace.configure(trace_timeout_s=None)


def test_what_a_processor_returns_is_ignored(recording, caplog):
    tracing.configure(span_processors=[lambda span: span, functools.partial(lambda a, b: b, 1)])
    with mlflow_trace.start_span("root"):
        pass
    assert recording.span().name == "root"
    assert "should not return a value; ignored: ['<lambda>', 'partial']" in caplog.text


def test_settings_hold_for_a_block_or_for_good(recording):
    def note(name):
        return lambda span: span.set_attribute("by", name)

    tracing.configure(span_processors=[note("a")])
    with tracing.configure(span_processors=[note("b")]):
        mlflow_trace.start_span_no_context("1").end()
        with tracing.configure():
            mlflow_trace.start_span_no_context("2").end()
        with tracing.configure(span_processors=[]):
            mlflow_trace.start_span_no_context("3").end()
        tracing.configure(span_processors=None)
        mlflow_trace.start_span_no_context("4").end()
    mlflow_trace.start_span_no_context("5").end()
    by = {trace.root.name: trace.root.own.get("by") for trace in recording.traces()}
    assert by == {"1": "b", "2": "b", "3": None, "4": "b", "5": "a"}


def test_the_block_of_a_span_may_end_before_it_does(recording):
    with tracing.configure(span_processors=[fail]):
        span = mlflow_trace.start_span_no_context("root")
    span.end(outputs="open")
    assert recording.span().outputs == "open"


def test_a_span_of_before_is_seen_as_well(recording):
    span = mlflow_trace.start_span_no_context("root")
    tracing.configure(span_processors=[mask])
    span.end(outputs="secret")
    span.end(outputs="again")
    assert recording.span().outputs == "masked"


def test_a_processor_cannot_end_or_start_spans(recording):
    def meddle(span):
        span.end(outputs="by the processor")
        with mlflow_trace.start_span("more") as more:
            assert isinstance(more, NoOpSpan)
        assert isinstance(mlflow_trace.start_span_no_context("more"), NoOpSpan)
        span.set_attribute("after", True)

    tracing.configure(span_processors=[meddle])
    with mlflow_trace.start_span("root"), mlflow_trace.start_span("child"):
        pass
    with mlflow_trace.start_span("later"):
        pass
    first, later = recording.traces()
    assert first.tree() == {"child": "root", "root": None}
    for span in (*first.spans, later.root):
        assert span.outputs == "by the processor"
        assert span.own["after"] is True


def test_the_current_span_is_that_around_the_one_that_ends(recording):
    seen = []

    def look(span):
        active = mlflow_trace.get_current_active_span()
        seen.append((span.name, active and active.name))

    tracing.configure(span_processors=[look])
    with mlflow_trace.start_span("root"), mlflow_trace.start_span("child"):
        pass
    assert seen == [("child", "root"), ("root", None)]


def test_threads_that_end_the_same_span(recording):
    calls = []

    def slow(span):
        calls.append(span.name)
        threading.Event().wait(0.05)
        span.set_outputs("masked")

    tracing.configure(span_processors=[slow])
    span = mlflow_trace.start_span_no_context("root")
    threads = [threading.Thread(target=span.end, args=("secret",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == ["root"]
    assert recording.span().outputs == "masked"


def test_spans_that_are_not_recorded_are_not_seen(recording):
    seen = []
    tracing.configure(span_processors=[lambda span: seen.append(span)])
    mlflow_trace.trace(int, name="dropped", sampling_ratio_override=0.0)()
    with tracing.context(enabled=False), mlflow_trace.start_span("off"):
        pass
    assert seen == []


def test_redaction_comes_after_processors(recording):
    mlflow_trace.configure(redact_patterns=["secret"])
    try:
        tracing.configure(span_processors=[lambda span: span.set_outputs(f"{span.outputs} secret")])
        mlflow_trace.start_span_no_context("root").end(outputs="no")
        assert recording.span().outputs == "no [redacted]"
    finally:
        mlflow_trace.configure(redact_patterns=None)


class Processor:
    def method(self, span):
        span.set_attribute("by", "method")

    def __call__(self, span):
        span.set_attribute("by", "call")


def two(span, other):
    """Take too much."""


def none():
    """Take nothing."""


def optional(span, other=None, *more, key=None):
    span.set_attribute("by", "optional")


@pytest.mark.parametrize(
    "processor", [Processor().method, Processor(), optional, functools.partial(two, None), print]
)
def test_what_can_be_called_with_a_span_is_a_processor(recording, processor):
    tracing.configure(span_processors=[processor])
    with mlflow_trace.start_span("root"):
        pass
    assert recording.span().name == "root"


@pytest.mark.parametrize("wrong", [[mask, two], [none], [5], ["mask"], [None], 5, mask])
def test_after_anything_else_is_refused_spans_are_withheld(recording, wrong):
    open_before = mlflow_trace.start_span_no_context("before")
    with pytest.raises(InvalidArgumentError, match=r"(?i)span.processor"):
        tracing.configure(span_processors=wrong)
    open_before.end(outputs="secret")
    mlflow_trace.start_span_no_context("after").end(outputs="secret")
    open_until_then = mlflow_trace.start_span_no_context("until then")
    tracing.configure(span_processors=[mask])
    open_until_then.end(outputs="secret")
    mlflow_trace.start_span_no_context("then").end(outputs="secret")
    outputs = {trace.root.name: trace.root.outputs for trace in recording.traces()}
    assert outputs == {
        "before": WITHHELD,
        "after": WITHHELD,
        "until then": WITHHELD,
        "then": "masked",
    }


def test_without_processors_nothing_is_withheld(recording):
    tracing.configure(span_processors=[])
    with mlflow_trace.start_span("root") as span:
        span.set_outputs("open")
    assert recording.span().outputs == "open"
    assert _native.is_enabled()
