"""Spans of frameworks that announce start and end by ids of their own."""

from __future__ import annotations

import contextvars
import logging
import threading

import pytest

import mlflow_trace
from mlflow_trace import _native
from mlflow_trace.integrations import guard
from mlflow_trace.integrations.runs import Runs

RUNNING = contextvars.ContextVar("running", default=None)


@pytest.fixture
def runs(recording):
    """Runs of a framework that keeps the id of what is running in a variable of its own."""
    found = Runs(lambda: [RUNNING.get()])
    found.follow()
    yield found
    found.unfollow()


@pytest.fixture
def running():
    """Enter a run, as the framework would: in a context that nobody else sees."""

    def enter(run, function):
        def inside():
            RUNNING.set(run)
            return function()

        return contextvars.copy_context().run(inside)

    return enter


def only(recording):
    (trace,) = recording.traces()
    return trace


def test_runs_belong_to_the_runs_that_are_their_parents(runs, recording):
    runs.start("a", None, "a", "CHAIN", {"x": 1}, {"key": "value"})
    runs.start("b", "a", "b", "TOOL")
    runs.end("b", "done")
    runs.end("a", {"y": 2}, {"more": 3})
    trace = only(recording)
    assert trace.tree() == {"a": None, "b": "a"}
    assert trace.root.inputs == {"x": 1}
    assert trace.root.outputs == {"y": 2}
    assert trace.root.own["key"] == "value"
    assert trace.root.own["more"] == 3
    assert trace.span("b").outputs == "done"


def test_a_run_without_an_open_parent_belongs_to_the_current_span(runs, recording):
    with mlflow_trace.start_span("outer"):
        runs.start("a", "never heard of", "a", "CHAIN")
        runs.start("b", None, "b", "CHAIN")
        runs.end("a")
        runs.start("c", "a", "c", "CHAIN")
        runs.end("b")
        runs.end("c")
    assert only(recording).tree() == {"outer": None, "a": "outer", "b": "outer", "c": "outer"}


def test_spans_of_the_program_belong_to_the_run_that_is_executing(runs, running, recording):
    def inside():
        with mlflow_trace.start_span("mine"):
            runs.start("b", "a", "b", "CHAIN")
            runs.end("b")
            with mlflow_trace.start_span("deeper"):
                pass
        runs.start("c", "a", "c", "CHAIN")
        runs.end("c")

    with mlflow_trace.start_span("outer"):
        runs.start("a", None, "a", "CHAIN")
        running("a", inside)
        with mlflow_trace.start_span("beside"):
            pass
        runs.end("a")
    assert only(recording).tree() == {
        "outer": None,
        "a": "outer",
        "mine": "a",
        "b": "mine",
        "deeper": "mine",
        "c": "a",
        "beside": "outer",
    }


def test_a_span_around_the_runs_own_is_not_taken_for_one_inside(runs, running, recording):
    """As where a stream is read after the span is left in which it was made."""

    def inside():
        runs.start("b", "a", "b", "CHAIN")
        with mlflow_trace.start_span("mine"):
            pass
        runs.end("b")

    with mlflow_trace.start_span("outermost"):
        with mlflow_trace.start_span("outer"):
            runs.start("a", None, "a", "CHAIN")
        running("a", inside)
        runs.end("a")
    tree = only(recording).tree()
    assert tree == {"outermost": None, "outer": "outermost", "a": "outer", "b": "a", "mine": "a"}


def test_a_span_that_was_begun_before_anybody_followed_is_around(recording, running):
    runs = Runs(lambda: [RUNNING.get()])
    with mlflow_trace.start_span("outer"):
        runs.follow()
        runs.start("a", None, "a", "CHAIN")
        running("a", lambda: mlflow_trace.start_span("mine").__enter__().end())
        runs.end("a")
    runs.unfollow()
    assert only(recording).tree() == {"outer": None, "a": "outer", "mine": "a"}


def test_a_run_that_was_entered_is_current_until_it_is_left(runs, recording):
    def spans(*names):
        for name in names:
            with mlflow_trace.start_span(name):
                pass

    runs.start("a", None, "a", "CHAT_MODEL")
    runs.enter("a")
    spans("first")
    runs.leave("a")
    spans("second")
    runs.end("a")
    runs.start("b", None, "b", "CHAT_MODEL")
    runs.enter("b")
    runs.end("b")
    spans("third")
    runs.enter("never heard of")
    spans("fourth")
    trees = [trace.tree() for trace in recording.traces()]
    assert {"a": None, "first": "a"} in trees
    assert [list(tree) for tree in trees if len(tree) == 1] == [
        ["second"],
        ["b"],
        ["third"],
        ["fourth"],
    ]


def test_what_asks_for_the_current_span_gets_that_of_the_run(runs, running, recording):
    span = runs.start("a", None, "a", "CHAIN")

    def inside():
        mlflow_trace.update_current_trace(tags={"who": "inside"})
        ((_, header), *_) = _native.headers()
        return mlflow_trace.get_current_active_span(), mlflow_trace.get_active_trace_id(), header

    active, trace_id, header = running("a", inside)
    runs.end("a")
    assert active is span
    assert trace_id == span.trace_id
    assert span.span_id in header
    assert mlflow_trace.get_current_active_span() is None
    assert only(recording).tags["who"] == "inside"


def test_scopes_inside_a_run_keep_it(runs, running, recording):
    def inside():
        with (
            mlflow_trace.tracing.context(tags={"who": "inside"}),
            mlflow_trace.start_span("mine"),
        ):
            pass
        with (
            mlflow_trace.tracing.context(enabled=False),
            mlflow_trace.start_span("not recorded"),
        ):
            pass

    runs.start("a", None, "a", "CHAIN")
    running("a", inside)
    runs.end("a")
    assert only(recording).tree() == {"a": None, "mine": "a"}


def test_errors(runs, recording):
    class Odd(Exception):
        def __str__(self):
            raise ValueError("no text")

    runs.start("a", None, "a", "CHAIN")
    runs.start("b", "a", "b", "CHAIN")
    runs.end("b", "partial", error=Odd())
    runs.end("a", error=ValueError("boom"))
    trace = only(recording)
    assert trace.root.status == ("ERROR", "boom")
    ((name, attributes),) = trace.root.events
    assert (name, attributes["exception.type"]) == ("exception", "ValueError")
    assert trace.span("b").status == ("ERROR", "Odd")
    assert trace.span("b").outputs == "partial"


def test_ends_that_come_twice_or_for_nothing(runs, recording):
    runs.end("never heard of")
    runs.event("never heard of", "event", {})
    runs.start("a", None, "a", "CHAIN")
    runs.event("a", "event", {"key": 1})
    runs.end("a", 1)
    runs.end("a", 2, error=ValueError("late"))
    assert only(recording).root.outputs == 1
    assert len(runs) == 0


def test_runs_that_are_never_announced_to_end_are_ended_beyond_the_limit(recording):
    runs = Runs(limit=2)
    for name in "abcd":
        runs.start(name, None, name, "CHAIN")
    assert len(runs) == 2
    assert runs.get("a") is None
    traces = recording.traces()
    assert sorted(trace.root.name for trace in traces) == ["a", "b"]
    assert {trace.root.status[0] for trace in traces} == {"ERROR"}
    runs.end("c")
    runs.end("d")
    assert len(recording.traces()) == 2


def test_threads(runs, running, recording):
    """Runs start in one thread, execute in another, and end in a third."""

    def each(action):
        threads = [threading.Thread(target=action, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def start(number):
        for step in range(50):
            runs.start((number, step), None, f"run {number} {step}", "CHAIN")

    def execute(number):
        for step in range(50):
            running((number, step), lambda: mlflow_trace.start_span("mine").__enter__().end())

    def end(number):
        for step in range(50):
            runs.end((number, step))

    for action in (start, execute, end):
        each(action)
    trees = [trace.tree() for trace in recording.traces()]
    assert len(trees) == 400
    assert all(tree["mine"] in tree and tree["mine"] != "mine" for tree in trees)
    assert len(runs) == 0


def test_nothing_inside_a_run_that_is_not_sampled_is_recorded(runs, running, recording):
    mlflow_trace.configure(**{"sampling.ratio": 0.0})
    try:
        runs.start("a", None, "a", "CHAIN")
    finally:
        mlflow_trace.configure(**{"sampling.ratio": None})

    def inside():
        with mlflow_trace.start_span("mine"):
            runs.start("b", "a", "b", "CHAIN")
            runs.end("b")

    running("a", inside)
    runs.end("a")
    assert recording.traces() == []


def test_a_framework_that_fails_leaves_the_programs_spans_alone(recording, caplog):
    def fail():
        raise RuntimeError("another version")

    guard._reported.clear()
    runs = Runs(fail)
    runs.follow()
    try:
        with caplog.at_level(logging.WARNING, "mlflow_trace"):
            for _ in range(2):
                with mlflow_trace.start_span("mine"):
                    pass
    finally:
        runs.unfollow()
    assert [trace.tree() for trace in recording.traces()] == [{"mine": None}] * 2
    assert len(caplog.records) == 1


def test_several_frameworks(runs, recording):
    other = Runs()
    other.follow()
    try:
        runs.start("a", None, "a", "CHAIN")
        runs.enter("a")
        other.start("b", None, "b", "CHAIN")
        other.enter("b")
        runs.start("c", "a", "c", "CHAIN")
        for run, of in (("c", runs), ("b", other), ("a", runs)):
            of.end(run)
    finally:
        other.unfollow()
    assert only(recording).tree() == {"a": None, "b": "a", "c": "b"}


def test_once_nobody_follows_runs_are_not_found(runs, running, recording):
    runs.unfollow()
    runs.start("a", None, "a", "CHAIN")
    running("a", lambda: mlflow_trace.start_span("mine").__enter__().end())
    runs.end("a")
    assert sorted(list(trace.tree()) for trace in recording.traces()) == [["a"], ["mine"]]


def test_what_is_announced_from_elsewhere_belongs_to_its_parent(runs, recording):
    """As by a thread that runs callbacks in the context of whoever began."""
    with mlflow_trace.start_span("outer"):
        runs.start("a", None, "a", "CHAIN")
        runs.start("b", "a", "b", "CHAIN")
        runs.end("b")
        runs.end("a")
    assert only(recording).tree() == {"outer": None, "a": "outer", "b": "a"}


def test_a_sibling_that_is_executing_is_no_parent(runs, recording):
    for run, parent in (("a", None), ("b", "a"), ("c", "a")):
        runs.start(run, parent, run, "CHAIN")
        runs.enter(run)
    for run in "cba":
        runs.end(run)
    assert only(recording).tree() == {"a": None, "b": "a", "c": "a"}


def test_of_several_runs_the_innermost_is_nearest(recording):
    runs = Runs(lambda: ["b", "a", "never heard of", None])
    runs.follow()
    runs.start("a", None, "a", "CHAIN")
    runs.start("b", "a", "b", "CHAIN")
    with mlflow_trace.start_span("mine"):
        pass
    runs.end("b")
    with mlflow_trace.start_span("later"):
        pass
    runs.end("a")
    runs.unfollow()
    assert only(recording).tree() == {"a": None, "b": "a", "mine": "b", "later": "a"}


def test_inside_a_run_that_is_not_recorded_nothing_is(runs, running, recording):
    with mlflow_trace.start_span("outer"):
        with mlflow_trace.tracing.context(enabled=False):
            runs.start("a", None, "a", "CHAIN")

        def inside():
            with mlflow_trace.start_span("mine"):
                runs.start("b", "a", "b", "CHAIN")
                runs.end("b")

        running("a", inside)
        runs.end("a")
    assert only(recording).tree() == {"outer": None}
