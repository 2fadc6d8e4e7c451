"""The current span over threads, tasks and processes, and settings for whole traces."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import mlflow_trace
from mlflow_trace import tracing
from mlflow_trace.entities import NoOpSpan, TraceState

TRACE, SPAN = "a" * 32, "b" * 16


def test_the_active_span(recording):
    assert mlflow_trace.get_current_active_span() is None
    assert mlflow_trace.get_active_trace_id() is None
    with mlflow_trace.start_span("outer") as outer:
        assert mlflow_trace.get_current_active_span() is outer
        with mlflow_trace.start_span("inner") as inner:
            assert mlflow_trace.get_current_active_span() is inner
        assert mlflow_trace.get_current_active_span() is outer
        assert mlflow_trace.get_active_trace_id() == outer.trace_id
    assert mlflow_trace.get_current_active_span() is None


def test_a_new_thread_begins_a_trace_of_its_own(recording):
    def work():
        with mlflow_trace.start_span("worker"):
            pass

    with mlflow_trace.start_span("main"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert sorted(trace.root.name for trace in recording.traces()) == ["main", "worker"]


def test_copied_contexts_make_one_trace_over_threads(recording):
    @mlflow_trace.trace
    def worker(i):
        return i

    @mlflow_trace.trace
    def main():
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(contextvars.copy_context().run, worker, i) for i in range(8)]
            return sum(job.result() for job in jobs)

    assert main() == 28
    trace = recording.trace()
    workers = [span for span in trace.spans if span.name == "worker"]
    assert len(workers) == 8
    assert {span.parent for span in workers} == {trace.root.id}


def test_an_executor_that_carries_the_context(recording):
    from mlflow_trace.tracing.executor import ContextThreadPoolExecutor

    def work(n, *, more=0):
        with mlflow_trace.start_span(f"{n}"):
            return n + more

    with ContextThreadPoolExecutor(max_workers=2) as executor:
        with mlflow_trace.start_span("root"):
            futures = [executor.submit(work, n, more=1) for n in range(3)]
            mapped = list(executor.map(work, [3, 4]))
        alone = executor.submit(work, 5)
    assert ([future.result() for future in futures], mapped) == ([1, 2, 3], [3, 4])
    assert alone.result() == 5
    trees = sorted((trace.tree() for trace in recording.traces()), key=len)
    assert trees == [{"5": None}, {"root": None} | {f"{n}": "root" for n in range(5)}]


def test_threads_of_asyncio_continue_the_trace(recording):
    async def main():
        with mlflow_trace.start_span("root"):
            await asyncio.to_thread(lambda: mlflow_trace.start_span_no_context("child").end())

    asyncio.run(main())
    assert recording.trace().tree() == {"root": None, "child": "root"}


def test_many_threads_share_a_span_and_record_their_own(recording):
    shared = mlflow_trace.start_span_no_context("shared")
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        for i in range(100):
            shared.set_attribute(f"{number}-{i}", [i])
            with mlflow_trace.start_span("root"), mlflow_trace.start_span("child") as span:
                span.set_inputs({"thread": number})
            assert shared.get_attribute(f"{number}-{i}") == [i]

    with ThreadPoolExecutor(8) as pool:
        for job in [pool.submit(work, number) for number in range(8)]:
            job.result()
        for job in [pool.submit(shared.end) for _ in range(8)]:
            job.result()
    traces = recording.traces()
    assert len(traces) == 8 * 100 + 1
    assert sorted(len(trace.spans) for trace in traces) == [1] + [2] * 800


def test_tasks_do_not_see_each_other(recording):
    async def task(name):
        with mlflow_trace.start_span(name):
            await asyncio.sleep(0.01)
            assert mlflow_trace.get_current_active_span().name == name

    async def main():
        await asyncio.gather(task("a"), task("b"))
        assert mlflow_trace.get_current_active_span() is None

    asyncio.run(main())
    assert sorted(trace.root.name for trace in recording.traces()) == ["a", "b"]


def test_a_task_that_outlives_its_parent_stays_in_the_trace(recording):
    async def background():
        await asyncio.sleep(0.02)
        with mlflow_trace.start_span("late"):
            pass

    async def main():
        with mlflow_trace.start_span("request") as span:
            task = asyncio.create_task(background())
            await asyncio.sleep(0)
        await task
        return span.trace_id

    trace_id = asyncio.run(main())
    request, late = recording.traces()
    assert request.info["trace_id"] == trace_id
    assert late.spans[0].json["trace_id"] == request.root.json["trace_id"]
    assert late.spans[0].parent == request.root.id


def test_a_span_left_in_another_context_disturbs_neither(recording):
    scope = mlflow_trace.start_span("moved")
    contextvars.copy_context().run(scope.__enter__)
    with mlflow_trace.start_span("here") as here:
        scope.__exit__(None, None, None)
        assert mlflow_trace.get_current_active_span() is here
    assert mlflow_trace.get_current_active_span() is None


def test_a_generator_left_open_does_not_catch_later_traces(recording):
    def generator():
        with mlflow_trace.start_span("inside"):
            yield

    with mlflow_trace.start_span("consumer"):
        kept = generator()
        next(kept)
    kept.close()
    assert mlflow_trace.get_current_active_span() is None
    with mlflow_trace.start_span("later"):
        pass
    assert [trace.tree() for trace in recording.traces()] == [
        {"inside": "consumer", "consumer": None},
        {"later": None},
    ]


def test_the_last_trace_of_the_process_and_of_the_context(recording):
    def work():
        assert mlflow_trace.get_last_active_trace_id(thread_local=True) is None
        with mlflow_trace.start_span() as span:
            pass
        assert mlflow_trace.get_last_active_trace_id(thread_local=True) == span.trace_id
        return span.trace_id

    def main():
        with mlflow_trace.start_span() as mine:
            assert mlflow_trace.get_last_active_trace_id() != mine.trace_id
            with mlflow_trace.start_span():
                pass
            assert mlflow_trace.get_last_active_trace_id(thread_local=True) is None
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(work).result()
        assert mlflow_trace.get_last_active_trace_id() == other
        assert mlflow_trace.get_last_active_trace_id(thread_local=True) == mine.trace_id
        with tracing.context(tags={"a": "b"}):
            with mlflow_trace.start_span() as second:
                pass
            assert mlflow_trace.get_last_active_trace_id(thread_local=True) == second.trace_id
        assert mlflow_trace.get_last_active_trace_id(thread_local=True) == second.trace_id
        third = mlflow_trace.start_span_no_context("third")
        third.end()
        assert mlflow_trace.get_last_active_trace_id(thread_local=True) == third.trace_id

    contextvars.Context().run(main)


def test_update_current_trace(recording, caplog):
    with mlflow_trace.start_span("root"):
        mlflow_trace.update_current_trace(tags={"env": "old", "n": 1}, metadata={"m": "x"})
        with mlflow_trace.start_span("child"):
            mlflow_trace.update_current_trace(
                tags={"env": "new"},
                client_request_id=7,
                request_preview="asked",
                response_preview="answered",
                state=TraceState.ERROR,
                model_id="m-1",
                session_id="session",
                user="someone",
            )
    trace = recording.trace()
    assert trace.tags == {"env": "new", "n": "1", "mlflow.traceName": "root"}
    assert trace.metadata["m"] == "x"
    assert trace.metadata["mlflow.modelId"] == "m-1"
    assert trace.metadata["mlflow.trace.session"] == "session"
    assert trace.metadata["mlflow.trace.user"] == "someone"
    assert trace.info["client_request_id"] == "7"
    assert trace.info["request_preview"] == "asked"
    assert trace.info["response_preview"] == "answered"
    assert trace.info["state"] == "ERROR"
    assert trace.root.status == ("OK", "")
    assert "no string" in caplog.text


def test_update_without_a_trace_warns(recording, caplog):
    mlflow_trace.update_current_trace(tags={"a": "b"})
    assert "no active trace" in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"state": "FINE"}, {"request_preview": 1}, {"response_preview": {}}]
)
def test_update_says_what_is_wrong(recording, wrong):
    (name,) = wrong
    with mlflow_trace.start_span(), pytest.raises(ValueError, match=name):
        mlflow_trace.update_current_trace(**wrong)


def test_settings_of_a_scope_reach_the_traces_started_inside(recording):
    with tracing.context(tags={"a": "1", "b": "1"}, metadata={"m": "1"}, session_id="s"):
        with tracing.context(tags={"b": "2"}, user="u"):
            with mlflow_trace.start_span("first"):
                pass
        mlflow_trace.start_span_no_context("second", tags={"a": "own"}).end()
    with mlflow_trace.start_span("third"):
        pass
    first, second, third = recording.traces()
    assert first.tags == {"a": "1", "b": "2", "mlflow.traceName": "first"}
    assert first.metadata["m"] == "1"
    assert first.metadata["mlflow.trace.session"] == "s"
    assert first.metadata["mlflow.trace.user"] == "u"
    assert second.tags == {"a": "own", "b": "1", "mlflow.traceName": "second"}
    assert "mlflow.trace.user" not in second.metadata
    assert third.tags == {"mlflow.traceName": "third"}


def test_a_scope_may_switch_recording_off(recording):
    with mlflow_trace.start_span("root") as root:
        with tracing.context(enabled=False):
            with mlflow_trace.start_span("hidden") as span:
                assert isinstance(span, NoOpSpan)
            assert isinstance(mlflow_trace.start_span_no_context("hidden"), NoOpSpan)
            assert mlflow_trace.get_current_active_span() is root
            with tracing.context(enabled=True), mlflow_trace.start_span("shown"):
                pass
    assert recording.trace().tree() == {"root": None, "shown": "root"}


def test_headers_carry_the_span(recording, caplog):
    with mlflow_trace.start_span() as span:
        headers = tracing.get_tracing_context_headers_for_http_request()
    assert headers == {"traceparent": f"00-{span.trace_id[3:]}-{span.span_id}-03"}
    assert tracing.get_tracing_context_headers_for_http_request() == {}
    assert "no active span" in caplog.text


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT"])
def test_headers_continue_the_trace(recording, name):
    headers = {name: f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
    with tracing.set_tracing_context_from_http_request_headers(headers):
        assert mlflow_trace.get_current_active_span() is None
        outgoing = tracing.get_tracing_context_headers_for_http_request()
        assert outgoing == {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
        with mlflow_trace.start_span("server") as span:
            assert span.trace_id == f"tr-{TRACE}"
            assert span.parent_id == SPAN
            outgoing = tracing.get_tracing_context_headers_for_http_request()
            assert outgoing["tracestate"] == "vendor=1"
            with mlflow_trace.start_span("child"):
                pass
    trace = recording.trace()
    assert trace.info is None  # its information is the business of the trace's root
    assert [span.name for span in trace.spans] == ["child", "server"]


def test_continuing_in_the_same_process_joins_the_trace(recording):
    with mlflow_trace.start_span("client"):
        headers = tracing.get_tracing_context_headers_for_http_request()
        with tracing.set_tracing_context_from_http_request_headers(headers):
            with mlflow_trace.start_span("server"):
                pass
    assert recording.trace().tree() == {"client": None, "server": "client"}


def test_headers_without_a_trace_are_an_error(recording):
    with pytest.raises(ValueError, match="traceparent"):
        with tracing.set_tracing_context_from_http_request_headers({"Host": "x"}):
            pass


@pytest.mark.parametrize("value", ["", "nonsense", f"00-{TRACE}-{SPAN}-0\udcff", None, 5])
def test_malformed_headers_are_ignored(recording, value):
    with tracing.set_tracing_context_from_http_request_headers({"traceparent": value}):
        with mlflow_trace.start_span("root") as span:
            assert span.parent_id is None
    assert recording.trace().root.name == "root"


def test_a_scope_belongs_where_it_is_entered(recording):
    late = tracing.context(tags={"late": "1"})
    with tracing.context(tags={"outer": "1"}), late, mlflow_trace.start_span("root"):
        with late, mlflow_trace.start_span("child"):
            pass
    with mlflow_trace.start_span("outside"):
        pass
    trace, outside = recording.traces()
    assert outside.tags == {"mlflow.traceName": "outside"}
    assert trace.tree() == {"root": None, "child": "root"}
    assert trace.tags == {"outer": "1", "late": "1", "mlflow.traceName": "root"}
