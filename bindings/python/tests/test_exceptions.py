"""Exceptions that leave a span, and the exceptions of the package."""

from __future__ import annotations

import asyncio
import inspect

import pytest

import mlflow_trace
from mlflow_trace import _native, exceptions


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def event_of(span):
    ((name, attributes),) = span.events
    assert name == "exception"
    return attributes


def test_an_exception_is_recorded_and_raised_again(recording):
    error = KeyError("missing")
    with pytest.raises(KeyError) as raised:
        with mlflow_trace.start_span("span", attributes={"kept": 1}) as span:
            span.set_inputs("in")
            raise error
    assert raised.value is error
    span = recording.span()
    assert span.status == ("ERROR", "KeyError: 'missing'")
    attributes = event_of(span)
    assert attributes["exception.type"] == "KeyError"
    assert attributes["exception.message"] == "'missing'"
    assert attributes["exception.stacktrace"].startswith("Traceback (most recent call last):")
    assert attributes["exception.stacktrace"].endswith("KeyError: 'missing'")
    assert span.inputs == "in"
    assert span.outputs is None
    assert span.own["kept"] == 1
    assert span.attributes["mlflow.spanLogLevel"] == 40


def test_parents_get_an_event_of_their_own(recording):
    @mlflow_trace.trace
    def fails():
        raise ValueError("inner")

    with pytest.raises(ValueError, match="inner"), mlflow_trace.start_span("outer"):
        fails()
    trace = recording.trace()
    assert [span.status for span in trace.spans] == [("ERROR", "ValueError: inner")] * 2
    assert trace.info["state"] == "ERROR"


def test_a_handled_error_of_a_child_leaves_the_trace_ok(recording):
    with mlflow_trace.start_span("root"):
        try:
            with mlflow_trace.start_span("child"):
                raise ValueError
        except ValueError:
            pass
    trace = recording.trace()
    assert trace.info["state"] == "OK"
    assert trace.span("child").status == ("ERROR", "ValueError: ")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_is_no_exception_marks_the_span_too(recording, error):
    with pytest.raises(error), mlflow_trace.start_span():
        raise error
    span = recording.span()
    assert span.status == ("ERROR", f"{error.__name__}: ")
    assert event_of(span)["exception.type"] == error.__name__


def test_closing_a_generator_is_no_error(recording):
    def generator():
        with mlflow_trace.start_span():
            yield

    running = generator()
    next(running)
    running.close()
    assert recording.span().status == ("OK", "")


def test_a_cancelled_coroutine_is_an_error(recording):
    @mlflow_trace.trace
    async def sleeps():
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(sleeps())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert recording.span().status[0] == "ERROR"


def test_an_exception_without_text(recording):
    with pytest.raises(Unprintable), mlflow_trace.start_span():
        raise Unprintable
    span = recording.span()
    assert span.status == ("ERROR", "Unprintable: <unserializable Unprintable>")


def test_record_exception(recording):
    with mlflow_trace.start_span() as span:
        span.record_exception(ValueError("wrong"))
    recorded = recording.span()
    assert recorded.status == ("ERROR", "ValueError: wrong")
    assert event_of(recorded)["exception.stacktrace"] == "ValueError: wrong"
    with mlflow_trace.start_span() as span:
        span.record_exception("text")
    recorded = recording.span()
    assert recorded.status == ("ERROR", "Exception: text")
    assert event_of(recorded)["exception.type"] == "Exception"


def test_every_kind_of_the_engine_has_a_class():
    kinds = _native.error_kinds()
    assert len(kinds) == 17
    for code, name in kinds:
        error = exceptions.from_kind(code, "text")
        assert (error.code, error.kind, str(error), error.message) == (code, name, "text", "text")
    assert len({type(exceptions.from_kind(code, "")) for code, _ in kinds}) == len(kinds)
    assert type(exceptions.from_kind(999, "later")) is exceptions.InternalError


def test_the_classes_are_also_what_python_programs_catch():
    assert issubclass(exceptions.InvalidConfigError, ValueError)
    assert issubclass(exceptions.InvalidArgumentError, ValueError)
    assert issubclass(exceptions.TimeLimitError, TimeoutError)
    assert issubclass(exceptions.TransportError, ConnectionError)
    assert issubclass(exceptions.NotFoundError, LookupError)
    for _, kind in inspect.getmembers(exceptions, inspect.isclass):
        assert issubclass(kind, mlflow_trace.MlflowTraceError)
    assert mlflow_trace.MlflowException is mlflow_trace.MlflowTraceError
