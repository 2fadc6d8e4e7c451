"""What traces a library from outside: switching, spans of calls, and that callers see nothing."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
import weakref

import pytest

import integration_library as library
import mlflow_trace
from mlflow_trace import _native
from mlflow_trace.integrations.calls import Spec, deferred, traced
from mlflow_trace.integrations.registry import Integration

PLAIN = ["create", "hidden", "future", "inherited", "stream", "of_class", "static"]
METHODS = [*PLAIN, "acreate", "astream", "generate", "agenerate"]


class StreamSpec(Spec):
    span_type = "LLM"

    def source(self, content):
        return "_iterator" if hasattr(content, "_iterator") else None


def build(spec=None, name="library"):
    integration = Integration(name)
    spec = spec or StreamSpec()
    module = library.__name__
    wrap = traced(integration, spec)
    integration.replace((f"{module}:Client.{method}" for method in METHODS), wrap)
    for method in ("manage", "amanage"):
        wrap = deferred(integration, spec, "_{}__request")
        integration.replace([f"{module}:Client.{method}"], wrap)
    return integration


@pytest.fixture
def traces(recording):
    integration = build()
    integration.enable()
    yield recording.traces
    integration.disable()


def test_switching_puts_back_exactly_what_was_there():
    before = dict(vars(library.Client))
    integration = build()
    for _ in range(2):
        integration.enable()
        integration.enable()
        assert vars(library.Client)["create"] is not before["create"]
        assert "inherited" in vars(library.Client)
        assert isinstance(vars(library.Client)["of_class"], classmethod)
        assert isinstance(vars(library.Client)["static"], staticmethod)
        integration.disable()
        integration.disable()
        assert dict(vars(library.Client)) == before


def test_functions_stay_what_frameworks_take_them_for(traces):
    assert inspect.iscoroutinefunction(library.Client.acreate)
    assert inspect.isgeneratorfunction(library.Client.generate)
    assert inspect.isasyncgenfunction(library.Client.agenerate)
    assert not inspect.iscoroutinefunction(library.Client.hidden)
    assert library.Client.create.__name__ == "create"
    assert str(inspect.signature(library.Client.create)).startswith("(self, text, *, fail=None")


def test_what_somebody_else_has_put_around_stays_and_nothing_is_recorded_twice(recording):
    integration = build()
    integration.enable()
    ours = library.Client.create

    def theirs(self, *args, **kwargs):
        return ours(self, *args, **kwargs)

    library.Client.create = theirs
    try:
        integration.disable()
        assert library.Client.create is theirs
        assert library.Client().create("off") == "off"
        integration.enable()
        assert library.Client().create("on") == "on"
        (trace,) = recording.traces()
        assert [span.outputs for span in trace.spans] == ["on"]
    finally:
        library.Client.create = ours
        integration.disable()
    assert "wrap" not in library.Client.create.__qualname__
    assert library.Client.create.__qualname__ == "Client.create"
    assert not hasattr(library.Client.create, "__mlflow_trace_patch__")


def test_a_class_that_turns_up_is_replaced_once_and_put_back():
    class Base:
        def ask(self): ...

    class Inheriting(Base): ...

    integration, before = Integration("library"), Base.ask
    for is_on in (False, True):
        for owner in (Base, Base, Inheriting):
            integration.replace_in(owner, "ask", traced(integration, Spec()))
        assert (Base.ask is not before) == is_on
        integration.enable()
    assert "ask" not in vars(Inheriting)
    integration.disable()
    assert Base.ask is before


def test_what_a_library_does_not_have_is_left_out(recording):
    integration = Integration("library")
    targets = ["Client.no_method", "Gone.method", "Client.create"]
    integration.replace(
        [f"{library.__name__}:{target}" for target in targets], traced(integration, Spec())
    )
    integration.enable()
    library.Client().create("x")
    integration.disable()
    assert [span.name for span in recording.traces()[0].spans] == ["Client.create"]


def test_a_value_with_the_arguments_by_name(traces):
    assert library.Client().create("text", temperature=1) == "text"
    (span,) = traces()[0].spans
    assert span.inputs == {"text": "text", "temperature": 1}
    assert span.outputs == "text"
    assert span.status == ("OK", "")


def test_arguments_that_were_not_given_are_none(traces):
    class Omit:
        pass

    library.Client().create(text="x", top_p=Omit())
    assert traces()[0].root.inputs == {"text": "x"}


@pytest.mark.parametrize("method", ["create", "acreate"])
def test_an_exception_passes_as_it_is(traces, method):
    error = LookupError("gone")

    async def run():
        result = getattr(library.Client(), method)("x", fail=error)
        return await result if inspect.isawaitable(result) else result

    with pytest.raises(LookupError) as caught:
        asyncio.run(run())
    assert caught.value is error
    (span,) = traces()[0].spans
    assert span.status == ("ERROR", "LookupError: gone")
    assert [name for name, _ in span.events] == ["exception"]


@pytest.mark.parametrize("method", ["acreate", "hidden", "future"])
def test_what_is_awaited(traces, method):
    async def run():
        result = getattr(library.Client(), method)("text")
        if method == "future":
            assert asyncio.isfuture(result)
        else:
            assert asyncio.iscoroutine(result)
        text = await result
        await asyncio.sleep(0)
        return text

    assert asyncio.run(run()) == "text"
    (span,) = traces()[0].spans
    assert (span.outputs, span.status[0]) == ("text", "OK")


def test_a_cancelled_call_is_an_error(traces):
    async def run():
        task = asyncio.ensure_future(library.Client().acreate("x"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert traces()[0].root.status[0] == "ERROR"


def test_a_generator_passes_on_everything(traces):
    generator = library.Client().generate([1, 2, 3, 4])
    assert inspect.isgenerator(generator)
    assert next(generator) == 1
    assert generator.send("sent") == 2
    assert generator.throw(LookupError("thrown")) == 3
    assert next(generator) == 4
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == ["sent", "thrown", None, None]
    assert traces()[0].root.outputs == [1, 2, 3, 4]


def test_a_generator_that_nobody_starts_is_no_call(traces):
    library.Client().generate([1])
    gc.collect()
    assert traces() == []


def test_a_generator_that_fails_has_what_came_before(traces):
    with pytest.raises(KeyError):
        list(library.Client().generate([1, KeyError("k"), 2]))
    root = traces()[0].root
    assert root.outputs == [1]
    assert root.status[0] == "ERROR"


def test_an_asynchronous_generator(traces):
    async def run():
        return [item async for item in library.Client().agenerate([1, 2])]

    assert asyncio.run(run()) == [1, 2]
    assert traces()[0].root.outputs == [1, 2]


def test_a_stream_keeps_its_type(traces):
    stream = library.Client().stream([1, 2])
    assert type(stream) is library.Stream
    assert list(stream) == [1, 2]
    assert traces()[0].root.outputs == [1, 2]


def test_a_stream_that_is_dropped_goes_at_once(traces):
    gc.disable()
    try:
        stream = library.Client().stream([1, 2])
        next(stream)
        gone = weakref.ref(stream)
        del stream
        assert gone() is None
        assert traces()[0].root.outputs == [1]
    finally:
        gc.enable()


def test_an_asynchronous_stream_keeps_its_type(traces):
    async def run():
        stream = await library.Client().astream([1, 2])
        assert type(stream) is library.AsyncStream
        assert inspect.iscoroutinefunction(stream.close)
        items = [item async for item in stream]
        await stream.close()
        return items, stream.closed

    assert asyncio.run(run()) == ([1, 2], True)
    assert traces()[0].root.outputs == [1, 2]


@pytest.mark.parametrize("way", ["close", "with", "drop", "unread"])
def test_an_abandoned_stream_has_what_was_received(traces, way):
    stream = library.Client().stream([1, 2, 3])
    if way == "with":
        with stream:
            next(stream)
        assert stream.closed
    elif way != "unread":
        next(stream)
    if way == "close":
        stream.close()
        assert stream.closed
    found = traces() if way in ("close", "with") else []
    del stream
    gc.collect()
    root = (found or traces())[0].root
    assert len(found) == (way in ("close", "with"))
    assert root.outputs == (None if way == "unread" else [1])
    assert root.status == ("OK", "")


def test_abandoned_generators_end(traces):
    generator = library.Client().generate([1, 2])
    next(generator)
    generator.close()

    async def leave():
        async for _item in library.Client().agenerate([1, 2]):
            break
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert [trace.root.outputs for trace in traces()] == [[1], [1]]


def test_a_stream_that_is_open_at_exit_is_recorded(run_python, tmp_path):
    done = run_python(
        """
        import sys
        sys.path.insert(0, sys.argv[0] or ".")
        import os; sys.path.insert(0, os.environ["LIBRARY"])
        import mlflow_trace, integration_library
        from mlflow_trace.integrations.calls import traced
        from mlflow_trace.integrations.registry import Integration
        from test_integrations import StreamSpec
        integration = Integration("library")
        integration.replace(
            ["integration_library:Client.stream"], traced(integration, StreamSpec())
        )
        integration.enable()
        kept = integration_library.Client().stream(["a", "b"])
        print(next(kept))
        """,
        LIBRARY=__file__.rpartition("/")[0],
        MLFLOW_TRACE_EXPORTER="file",
    )
    assert done.returncode == 0, done.stderr
    written = "".join(path.read_text() for path in tmp_path.rglob("*.json*"))
    assert "Client.stream" in written


def test_a_manager_begins_when_it_sends(traces):
    manager = library.Client().manage([1, 2])
    assert type(manager) is library.Manager
    assert traces() == []
    with manager as stream:
        assert list(stream) == [1, 2]
    assert traces()[0].root.outputs == [1, 2]


def test_an_asynchronous_manager_begins_when_it_sends(traces):
    async def run():
        async with library.Client().amanage([1, 2]) as stream:
            return [item async for item in stream]

    assert asyncio.run(run()) == [1, 2]
    assert traces()[0].root.name == "Client.amanage"
    assert traces()[0:] == []


def test_the_span_is_current_for_the_library_and_never_for_the_caller(traces):
    names = []

    def look():
        span = mlflow_trace.get_current_active_span()
        names.append(span and span.name)

    library.Client().create("x", inside=look)
    look()

    def source():
        for item in (1, 2):
            look()
            yield item

    async def read():
        async for _item in library.Client().agenerate(source()):
            look()

    for _item in library.Client().generate(source()):
        look()
    for _item in library.Client().stream(source()):
        look()
    asyncio.run(read())
    inside = ["Client.generate", "Client.stream", "Client.agenerate"]
    assert names == ["Client.create", None, *(name for each in inside for name in [each, None] * 2)]


def test_threads_and_tasks_have_traces_of_their_own(traces):
    def work(i):
        with mlflow_trace.start_span(f"thread {i}"):
            assert library.Client().create(i) == i

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def task(i):
        with mlflow_trace.start_span(f"task {i}"):
            assert await library.Client().acreate(i) == i

    async def tasks():
        await asyncio.gather(*map(task, range(8)))

    asyncio.run(tasks())
    found = traces()
    assert len(found) == 16
    for trace in found:
        (child,) = (span for span in trace.spans if span.parent)
        assert child.parent == trace.root.id
        assert trace.root.name.endswith(f" {child.outputs}")


def test_a_parent_that_the_context_lost(recording):
    class Below(Spec):
        def parent(self, call):
            return call.kwargs["options"]

    integration = build(Below())
    integration.enable()
    with mlflow_trace.start_span("parent") as parent:
        contextvars.Context().run(library.Client().create, "x", options=parent)
    integration.disable()
    (trace,) = recording.traces()
    assert trace.span("Client.create").parent == trace.root.id


@pytest.mark.parametrize("works", [True, False])
def test_a_tap_gives_the_items_as_they_were_read_if_it_gives_any(recording, works):
    class Tapping(StreamSpec):
        def tap(self, content, kept):
            if works:
                source = content._iterator
                content._iterator = (
                    kept.append(f"raw {i}") or item for i, item in enumerate(source)
                )
            return True

    integration = build(Tapping())
    integration.enable()
    items = list(library.Client().stream([1, 2]))
    integration.disable()
    assert items == [1, 2]
    assert recording.traces()[0].root.outputs == (["raw 0", "raw 1"] if works else [1, 2])


@pytest.mark.parametrize("chunk_events", [False, True])
@pytest.mark.parametrize("end", ["exhausted", "dropped", "failed"])
def test_a_tapped_stream_ends_as_any_other(recording, end, chunk_events):
    class Tapping(StreamSpec):
        active_while_reading = False

        def tap(self, content, kept):
            content._iterator = _native.Tap(content._iterator, "real", kept)
            return True

    def numbers():
        yield from (1, 2, 3)
        if end == "failed":
            raise ValueError("cut")

    integration = build(Tapping())
    integration.autolog(disable=False, log_traces=True, silent=False, chunk_events=chunk_events)
    stream = library.Client().stream(numbers())
    assert [next(stream), next(stream)] == [1, 2]
    if end == "failed":
        with pytest.raises(ValueError, match="cut"):
            list(stream)
    elif end == "exhausted":
        assert list(stream) == [3]
    del stream
    integration.disable()
    root = recording.traces()[0].root
    assert root.outputs == ([1, 2] if end == "dropped" else [1, 2, 3])
    assert root.status[0] == ("ERROR" if end == "failed" else "OK")
    assert sum(name.startswith("mlflow.chunk") for name, _ in root.events) == (
        len(root.outputs) if chunk_events else 0
    )


def test_a_tap_passes_on_what_it_cannot_keep():
    def numbers():
        try:
            yield from (1, "no number")
        finally:
            closed.append(True)

    closed, kept = [], []
    tap = _native.Tap(numbers(), "real", kept)
    assert [next(tap), next(tap)] == [1, "no number"]
    assert kept == [1]
    tap.close()
    assert closed == [True]
    assert list(tap) == []


def test_chunk_events_are_a_switch(recording):
    integration = build()
    for chunk_events in (False, True):
        integration.autolog(disable=False, log_traces=True, silent=False, chunk_events=chunk_events)
        assert list(library.Client().stream([{"a": 1}, 2])) == [{"a": 1}, 2]
        events = [name for name, _ in recording.traces()[0].root.events]
        expected = ["mlflow.chunk.item.0", "mlflow.chunk.item.1"] if chunk_events else []
        assert events == expected
    integration.disable()


class Broken(StreamSpec):
    """Raises in one of its methods."""

    def __init__(self, method):
        def fail(*args):
            raise RuntimeError(f"in {method}")

        setattr(self, method, fail)


@pytest.mark.parametrize(
    "method",
    ["name", "parent", "begin", "content", "source", "result", "item", "items", "is_failure"],
)
def test_callers_do_not_notice_a_hook_that_raises(recording, reports, method):
    integration = build(Broken(method), name=f"broken {method}")
    integration.enable()
    client = library.Client()

    async def asynchronous():
        assert await client.acreate("x") == "x"
        assert await client.hidden("x") == "x"
        assert [item async for item in await client.astream([1, 2])] == [1, 2]
        assert [item async for item in client.agenerate([1, 2])] == [1, 2]

    for _ in range(2):
        assert client.create("x") == "x"
        assert list(client.stream([1, 2])) == [1, 2]
        assert list(client.generate([1, 2])) == [1, 2]
        with pytest.raises(LookupError):
            client.create("x", fail=LookupError("gone"))
        asyncio.run(asynchronous())
    integration.disable()
    for trace in recording.traces():
        assert all(span.json["end_time_unix_nano"] for span in trace.spans)
    # Each way of failing is told once, not each call.
    assert len(reports()) == len(set(reports())) >= 1


def test_silent_integrations_report_nothing(recording, reports):
    integration = build(Broken("begin"), name="silent one")
    integration.autolog(disable=False, log_traces=True, silent=True)
    library.Client().create("x")
    integration.autolog(disable=True, log_traces=True, silent=False)
    assert reports() == []


def test_nothing_is_recorded_where_tracing_is_disabled(traces):
    mlflow_trace.tracing.disable()
    try:
        assert library.Client().create("x") == "x"
        assert list(library.Client().stream([1])) == [1]
        assert asyncio.run(library.Client().acreate("x")) == "x"
    finally:
        mlflow_trace.tracing.enable()
    assert traces() == []
