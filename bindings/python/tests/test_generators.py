"""`trace` on generators and asynchronous generators."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json

import pytest

import mlflow_trace
from mlflow_trace.entities import NoOpSpan


def chunks(span):
    return [
        (name, attributes)
        for name, attributes in span.events
        if name.startswith("mlflow.chunk.item.")
    ]


def test_items_are_outputs_and_events(recording):
    @mlflow_trace.trace
    def stream(n):
        yield from ({"é": i} for i in range(n))

    assert inspect.isgeneratorfunction(stream)
    generator = stream(2)
    assert recording.traces() == []  # nothing starts before the first item is asked for
    assert list(generator) == [{"é": 0}, {"é": 1}]
    span = recording.span()
    assert span.name == "stream"
    assert span.inputs == {"n": 2}
    assert span.outputs == [{"é": 0}, {"é": 1}]
    assert span.status == ("OK", "")
    # json.dumps as MLflow calls it for chunks: non-ASCII escaped.
    assert chunks(span) == [
        (f"mlflow.chunk.item.{i}", {"mlflow.chunk.value": json.dumps({"é": i})}) for i in range(2)
    ]
    assert "mlflow.spanFunctionName" not in span.own


def test_a_reducer_makes_the_outputs(recording):
    @mlflow_trace.trace(output_reducer=",".join)
    def words():
        yield "a"
        yield "b"

    assert list(words()) == ["a", "b"]
    assert recording.span().outputs == "a,b"


def test_a_failing_reducer_leaves_the_items(recording):
    @mlflow_trace.trace(output_reducer=lambda _: 1 / 0)
    def words():
        yield "a"

    assert list(words()) == ["a"]
    assert recording.span().outputs == ["a"]


def test_the_span_is_active_inside_only(recording):
    @mlflow_trace.trace
    def stream():
        with mlflow_trace.start_span("inside 0"):
            pass
        yield mlflow_trace.get_current_active_span().name
        with mlflow_trace.start_span("inside 1"):
            pass

    with mlflow_trace.start_span("consumer"):
        for name in stream():
            assert name == "stream"
            assert mlflow_trace.get_current_active_span().name == "consumer"
            with mlflow_trace.start_span("between"):
                pass
    assert recording.trace().tree() == {
        "consumer": None,
        "stream": "consumer",
        "inside 0": "stream",
        "between": "consumer",
        "inside 1": "stream",
    }


def test_an_error_ends_the_span(recording):
    @mlflow_trace.trace
    def stream():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(stream())
    span = recording.span()
    assert span.status == ("ERROR", "")
    assert span.outputs is None
    assert len(chunks(span)) == 1
    (event,) = (attributes for name, attributes in span.events if name == "exception")
    assert (event["exception.type"], event["exception.message"]) == ("ValueError", "broken")
    assert span.attributes["mlflow.spanLogLevel"] == 40


@pytest.mark.parametrize("how", ["close", "break", "garbage"])
def test_a_generator_that_is_not_exhausted_still_ends_its_span(recording, how):
    cleaned = []

    @mlflow_trace.trace
    def stream():
        try:
            yield 1
            yield 2
        finally:
            with mlflow_trace.start_span("cleanup"):
                cleaned.append(True)

    if how == "close":
        generator = stream()
        next(generator)
        generator.close()
    elif how == "break":
        for _ in stream():
            break
    else:
        generator = stream()
        next(generator)
        del generator
        gc.collect()
    assert cleaned == [True]
    trace = recording.trace()
    assert trace.tree() == {"cleanup": "stream", "stream": None}
    assert trace.root.outputs == [1]
    assert trace.root.status == ("OK", "")


def test_send_throw_and_return_reach_the_generator(recording):
    @mlflow_trace.trace
    def echo():
        received = yield "ready"
        try:
            yield received
        except KeyError as error:
            yield str(error)
        return "done"

    generator = echo()
    assert next(generator) == "ready"
    assert generator.send("hello") == "hello"
    assert generator.throw(KeyError("k")) == "'k'"
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "done"
    assert recording.span().outputs == ["ready", "hello", "'k'"]


def test_yield_from_gets_the_return_value(recording):
    @mlflow_trace.trace
    def inner():
        yield 1
        return "result"

    def outer():
        value = yield from inner()
        yield value

    assert list(outer()) == [1, "result"]


def test_parallel_streams_do_not_mix(recording):
    @mlflow_trace.trace
    def stream(name):
        for i in range(2):
            with mlflow_trace.start_span(f"{name} {i}"):
                pass
            yield name

    assert list(zip(stream("a"), stream("b"), strict=True)) == [("a", "b")] * 2
    trees = [trace.tree() for trace in recording.traces()]
    assert {"stream": None, "a 0": "stream", "a 1": "stream"} in trees
    assert {"stream": None, "b 0": "stream", "b 1": "stream"} in trees


def test_unsampled_generators_record_nothing(recording):
    @mlflow_trace.trace(sampling_ratio_override=0.0)
    def stream():
        with mlflow_trace.start_span() as span:
            yield isinstance(span, NoOpSpan)

    assert list(stream()) == [True]
    with mlflow_trace.start_span("afterwards"):
        pass
    assert recording.span().name == "afterwards"


def test_asynchronous_generators(recording):
    @mlflow_trace.trace(span_type="LLM", output_reducer="".join)
    async def stream(n):
        for i in range(n):
            await asyncio.sleep(0)
            with mlflow_trace.start_span(f"inside {i}"):
                pass
            yield str(i)

    async def consume():
        items = []
        with mlflow_trace.start_span("consumer"):
            async for item in stream(2):
                assert mlflow_trace.get_current_active_span().name == "consumer"
                items.append(item)
        return items

    assert inspect.isasyncgenfunction(stream)
    assert asyncio.run(consume()) == ["0", "1"]
    trace = recording.trace()
    assert trace.tree() == {
        "consumer": None,
        "stream": "consumer",
        "inside 0": "stream",
        "inside 1": "stream",
    }
    span = trace.span("stream")
    assert (span.inputs, span.outputs) == ({"n": 2}, "01")
    assert len(chunks(span)) == 2


def test_an_asynchronous_generator_that_fails_or_is_closed_ends_its_span(recording):
    @mlflow_trace.trace
    async def stream(fail):
        yield 1
        if fail:
            raise RuntimeError("broken")
        yield 2

    async def failing():
        with pytest.raises(RuntimeError, match="broken"):
            async for _ in stream(True):
                pass

    async def closed():
        generator = stream(False)
        assert await anext(generator) == 1
        await generator.aclose()

    async def abandoned():
        async for _ in stream(False):
            break
        gc.collect()
        await asyncio.sleep(0.01)  # the loop closes what was abandoned

    asyncio.run(failing())
    assert recording.span().status == ("ERROR", "")
    for leave in (closed, abandoned):
        asyncio.run(leave())
        span = recording.span()
        assert (span.status, span.outputs) == (("OK", ""), [1])


def test_a_cancelled_stream_is_an_error(recording):
    @mlflow_trace.trace
    async def stream():
        yield 1
        await asyncio.sleep(60)

    async def consume():
        async for _ in stream():
            pass

    async def main():
        task = asyncio.create_task(consume())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    span = recording.span()
    assert span.status == ("ERROR", "")
    assert [a["exception.type"] for n, a in span.events if n == "exception"] == ["CancelledError"]


def test_asend_and_athrow_reach_the_generator(recording):
    @mlflow_trace.trace
    async def echo():
        received = yield "ready"
        try:
            yield received
        except KeyError:
            yield "caught"

    async def main():
        generator = echo()
        assert await anext(generator) == "ready"
        assert await generator.asend("hello") == "hello"
        assert await generator.athrow(KeyError()) == "caught"
        with pytest.raises(StopAsyncIteration):
            await anext(generator)

    asyncio.run(main())
    assert recording.span().outputs == ["ready", "hello", "caught"]
