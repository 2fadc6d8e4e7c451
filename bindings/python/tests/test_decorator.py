"""`trace` on plain functions, methods and coroutines."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import math
import operator

import pytest

import mlflow_trace
from mlflow_trace import tracing
from mlflow_trace.entities import SpanType


def test_a_call_becomes_a_span(recording):
    @mlflow_trace.trace
    def add(x, y=2, *, z=3):
        return x + y + z

    assert add(1) == 6
    span = recording.span()
    assert span.name == "add"
    assert span.inputs == {"x": 1, "y": 2, "z": 3}
    assert span.outputs == 6
    assert span.own["mlflow.spanFunctionName"] == "add"


def test_decorated_functions_calling_each_other_make_one_trace(recording):
    @mlflow_trace.trace
    def outer(x):
        return inner(x) + 1

    @mlflow_trace.trace(name="renamed", span_type=SpanType.TOOL, attributes={"k": "v"})
    def inner(x):
        mlflow_trace.get_current_active_span().set_attributes({"seen": x})
        return x * 2

    assert outer(2) == 5
    trace = recording.trace()
    assert trace.tree() == {"outer": None, "renamed": "outer"}
    inner_span = trace.span("renamed")
    assert inner_span.attributes["mlflow.spanType"] == "TOOL"
    assert inner_span.own["k"] == "v"
    assert inner_span.own["seen"] == 2
    assert inner_span.own["mlflow.spanFunctionName"] == "inner"
    assert trace.tags == {"mlflow.traceName": "outer"}


def everything(a, b=2, /, c=3, *args, d=4, **kwargs):
    return None


def keywords(a, b=2, *, c=3):
    return None


def nothing():
    return None


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (everything, (1,), {}),
        (everything, (1, 2, 3, 4, 5), {"d": 6, "e": 7, "f": [8]}),
        (keywords, (1,), {}),
        (keywords, (1, 2), {"c": 4}),
        (keywords, (), {"c": 4, "a": 1}),
        (keywords, (), {"b": 5, "a": 1}),
        (nothing, (), {}),
    ],
)
def test_inputs_are_the_bound_arguments(recording, function, args, kwargs):
    mlflow_trace.trace(function)(*args, **kwargs)
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    text = recording.span().json["attributes"]["mlflow.spanInputs"]
    assert text == json.dumps(bound.arguments)


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"a": 1}), ((1,), {"nope": 1})]
)
def test_a_call_that_does_not_fit_raises_its_own_error(recording, args, kwargs):
    with pytest.raises(TypeError, match="keywords"):
        mlflow_trace.trace(keywords)(*args, **kwargs)
    span = recording.span()
    assert span.inputs is None
    assert span.status[0] == "ERROR"


class Methods:
    def __bool__(self):
        raise AssertionError("a receiver's truth is none of our business")

    @mlflow_trace.trace
    def plain(self, x):
        return x

    @mlflow_trace.trace
    @classmethod
    def of_class(cls, x):
        return cls, x

    @classmethod
    @mlflow_trace.trace
    def of_class_inside(cls, x):
        return x

    @mlflow_trace.trace
    @staticmethod
    def static(x):
        return x

    @property
    @mlflow_trace.trace
    def prop(self):
        return 1


@pytest.mark.parametrize("name", ["plain", "of_class", "of_class_inside", "static"])
def test_methods_lose_their_receiver(recording, name):
    getattr(Methods(), name)(5)
    span = recording.span()
    assert span.name == name
    assert span.inputs == {"x": 5}


def test_a_property_is_a_method_too(recording):
    assert Methods().prop == 1
    assert recording.span().inputs == {}


def test_an_argument_named_cls_that_is_no_class_is_kept(recording):
    mlflow_trace.trace(lambda cls: cls)("economy")
    assert recording.span().inputs == {"cls": "economy"}


def test_library_functions_are_wrapped(recording):
    assert mlflow_trace.trace(math.factorial)(5) == 120
    assert mlflow_trace.trace(math.pow)(2, 3) == 8.0
    assert mlflow_trace.trace(max)(1, 2) == 2
    factorial, power, maximum = recording.traces()
    assert factorial.root.name == "factorial"
    assert list(factorial.root.inputs.values()) == [5]
    assert power.root.inputs == {"x": 2, "y": 3}
    assert (maximum.root.inputs, maximum.root.outputs) == (None, 2)


def test_callables_without_a_name(recording):
    assert mlflow_trace.trace(functools.partial(operator.add, 1))(2) == 3
    assert recording.span().name == "partial"


def test_outputs_that_the_body_sets_win(recording):
    @mlflow_trace.trace
    def body(value):
        mlflow_trace.get_current_active_span().set_outputs(value)
        return "returned"

    body("set")
    body(None)
    first, second = recording.traces()
    assert first.root.outputs == "set"
    assert second.root.outputs == "returned"


def test_the_wrapper_looks_like_the_function():
    @mlflow_trace.trace
    def documented(x: int) -> str:
        """Say what it does."""
        return str(x)

    assert documented.__name__ == "documented"
    assert documented.__doc__ == "Say what it does."
    assert str(inspect.signature(documented)) == "(x: 'int') -> 'str'"
    assert documented.__mlflow_traced__ is True


def test_other_decorators_may_stand_on_both_sides(recording):
    def twice(function):
        @functools.wraps(function)
        def wrapper(*args):
            function(*args)
            return function(*args)

        return wrapper

    inside = mlflow_trace.trace(twice(lambda x: x))
    outside = twice(mlflow_trace.trace(lambda x: x))
    inside(1)
    assert len(recording.traces()) == 1
    outside(1)
    assert len(recording.traces()) == 2


def test_coroutines(recording):
    @mlflow_trace.trace
    async def outer(n):
        return sum(await asyncio.gather(*(inner(i) for i in range(n))))

    @mlflow_trace.trace
    async def inner(i):
        await asyncio.sleep(0.01 * (3 - i))
        with mlflow_trace.start_span(f"leaf {i}"):
            await asyncio.sleep(0)
        return i

    assert inspect.iscoroutinefunction(outer)
    assert asyncio.run(outer(3)) == 3
    trace = recording.trace()
    parents = {s.inputs["i"]: s.id for s in trace.spans if s.name == "inner"}
    assert len(parents) == 3
    assert {s.parent for s in trace.spans if s.name == "inner"} == {trace.root.id}
    for i in range(3):
        assert trace.span(f"leaf {i}").parent == parents[i]


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_a_ratio_must_be_a_share(ratio):
    with pytest.raises(mlflow_trace.MlflowException, match="sampling_ratio_override"):
        mlflow_trace.trace(sampling_ratio_override=ratio)


def test_a_reducer_needs_a_generator():
    with pytest.raises(ValueError, match="generator"):
        mlflow_trace.trace(nothing, output_reducer=sum)


def test_unsampled_calls_record_nothing_inside(recording):
    @mlflow_trace.trace(sampling_ratio_override=0.0)
    def dropped():
        with mlflow_trace.start_span("inside"):
            return inner()

    @mlflow_trace.trace(sampling_ratio_override=0.0)
    def inner():
        return mlflow_trace.get_current_active_span()

    assert dropped() is None
    assert recording.traces() == []

    @mlflow_trace.trace(sampling_ratio_override=1.0)
    def kept():
        return inner()

    assert kept().name == "inner"
    assert recording.trace().tree() == {"kept": None, "inner": "kept"}


def test_a_remote_parent_decides_about_sampling(recording):
    headers = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    with tracing.set_tracing_context_from_http_request_headers(headers):
        mlflow_trace.trace(nothing, sampling_ratio_override=0.0)()
    assert recording.trace().spans[0].name == "nothing"
