"""Decorated callables of every kind, and exceptions."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import operator
from typing import Any

from registry import program
from values import Point, StrangeError


@program
def decorated(mlflow: Any) -> object:
    @mlflow.trace
    def bare(a, /, b, *rest, c=3, **more):
        return {"a": a, "rest": rest, "more": more}

    @mlflow.trace()
    def called():
        pass

    @mlflow.trace(
        name="named é",
        span_type="TOOL",
        attributes={"k": 1, "l": [1]},
        description="does",
        log_level="ERROR",
    )
    def named(x=1):
        return x

    @mlflow.trace
    async def awaited(x):
        await asyncio.sleep(0)
        return called()

    @mlflow.trace
    def overridden(x):
        mlflow.get_current_active_span().set_outputs("by the body")
        mlflow.get_current_active_span().set_inputs("by the body")
        mlflow.get_current_active_span().set_attribute("more", "x")
        return x

    @mlflow.trace
    def none_overridden(x):
        mlflow.get_current_active_span().set_outputs(None)
        return x

    @mlflow.trace
    def recursive(n):
        return n and recursive(n - 1)

    out = [
        bare(1, 2),
        bare(1, 2, 4, 5, c=6, d=7),
        bare(1, b=2),
        called(),
        named(),
        named(x=5),
        asyncio.run(awaited(1)),
        overridden(1),
        none_overridden(2),
        recursive(2),
    ]
    return [out, bare.__name__, bare.__doc__, named.__qualname__, awaited.__module__]


@program
def methods(mlflow: Any) -> object:
    class Base:
        @mlflow.trace
        def method(self, x, y=2):
            return x + y

        @mlflow.trace(span_type="LLM")
        @classmethod
        def inside_class(cls, x):
            return cls.__name__ + x

        @classmethod
        @mlflow.trace
        def outside_class(cls, x):
            return cls.__name__ + x

        @mlflow.trace
        @staticmethod
        def inside_static(x):
            return x

        @staticmethod
        @mlflow.trace
        def outside_static(x):
            return x

        @property
        @mlflow.trace
        def prop(self):
            return 5

        @mlflow.trace
        def __call__(self, x):
            return x

        @mlflow.trace
        async def asynchronous(self, x):
            return x

        @mlflow.trace
        def odd(this, x):
            return x

        def __repr__(self):
            return "Base()"

    class Derived(Base):
        @mlflow.trace
        def method(self, x, y=2):
            return super().method(x, y) * 2

    base, derived = Base(), Derived()
    return [
        base.method(1),
        derived.method(1, y=5),
        Base.inside_class("a"),
        Derived.inside_class("b"),
        base.outside_class("c"),
        Base.inside_static(1),
        base.outside_static(x=2),
        base.prop,
        base(7),
        asyncio.run(base.asynchronous(3)),
        derived.odd(4),
    ]


@program
def callables(mlflow: Any) -> object:
    def add(a, b):
        return a + b

    return [
        mlflow.trace(math.pow)(2, 3),
        mlflow.trace(math.factorial)(5),
        mlflow.trace(len)([1, 2]),
        mlflow.trace(max)(1, 2),
        mlflow.trace(operator.add, name="added")(1, 2),
        mlflow.trace(lambda x: x)(1),
        mlflow.trace(str.upper)("a"),
        mlflow.trace("a-b".split)("-"),
        mlflow.trace([3, 1].count)(3),
        mlflow.trace(dict)(a=1),
        mlflow.trace(int)("5"),
        mlflow.trace(Point)(1.5).x,
        mlflow.trace(functools.lru_cache(add))(1, 2),
    ]


@program
def generators(mlflow: Any) -> object:
    @mlflow.trace
    def plain(n):
        for i in range(n):
            with mlflow.start_span(f"step {i}"):
                pass
            yield {"i": i, "é": "日"}
        return "returned"

    @mlflow.trace(output_reducer=",".join, span_type="LLM")
    def reduced(n):
        for i in range(n):
            yield f"é{i}"

    @mlflow.trace(output_reducer=lambda items: 1 / 0)
    def badly(n):
        yield 1

    @mlflow.trace
    async def asynchronous(n):
        for i in range(n):
            yield Point(i)

    @mlflow.trace
    def sets_outputs():
        mlflow.get_current_active_span().set_outputs("mine")
        mlflow.get_current_active_span().set_attribute("k", "v")
        yield None

    @mlflow.trace
    def delegating():
        yield from plain(2)

    class Streams:
        @mlflow.trace
        def method(self, x):
            yield x

    async def collect():
        return [item.x async for item in asynchronous(3)]

    @mlflow.trace
    def failing():
        yield 1
        raise KeyError("k")

    out: list[Any] = [
        len(list(plain(3))),
        list(plain(0)),
        list(reduced(2)),
        list(badly(1)),
        asyncio.run(collect()),
    ]
    out += [list(sets_outputs()), len(list(delegating())), list(Streams().method(1))]
    with contextlib.suppress(KeyError):
        list(failing())
    return out


@program
def streams(mlflow: Any) -> object:
    @mlflow.trace(
        span_type="CHAT_MODEL",
        output_reducer=lambda chunks: {
            "choices": [{"message": {"role": "assistant", "content": "".join(chunks)}}]
        },
    )
    def chat(messages):
        mlflow.update_current_trace(tags={"in": "generator"})
        mlflow.get_current_active_span().set_attribute(
            "mlflow.chat.tokenUsage", {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
        )
        yield "Größe: "
        yield "42"

    @mlflow.trace
    def values():
        yield from [
            None,
            1.5,
            "é",
            [1],
            {"a": 1},
            Point(2.0),
            b"x",
            {
                1,
            },
            1e22,
            "",
            True,
        ]

    with mlflow.start_span("consumer"):
        first = chat([{"role": "user", "content": "How large?"}])
        next(first)
        outside = mlflow.get_current_active_span().name
        with mlflow.start_span("between"):
            list(first)
    return [outside, list(chat([{"role": "user", "content": "x"}])), len(list(values()))]


@program
def odd_calls(mlflow: Any) -> object:
    @mlflow.trace
    def plain(self, x):
        return x

    @mlflow.trace
    def with_cls(cls, x=2):
        return x

    @mlflow.trace
    def collides(span, name="n", args=1, kwargs=2):
        return span

    @mlflow.trace
    def mutates(items):
        items.append("changed")
        return items

    @mlflow.trace(name="outer")
    @mlflow.trace(name="inner")
    def twice():
        return 1

    @mlflow.trace
    def outer(f):
        return f()

    @mlflow.trace
    def gives_function():
        return {"a": 1, "b": [Point(1.0), None]}

    @mlflow.trace(sampling_ratio_override=1.0)
    def always():
        return 1

    @mlflow.trace(sampling_ratio_override=0.0)
    def never():
        with mlflow.start_span("inside"):
            return mlflow.get_current_active_span() is None

    @mlflow.trace(span_type="LLM")
    def renamed():
        mlflow.get_current_active_span().set_span_type("AGENT")

    @mlflow.trace(name="")
    def nameless():
        pass

    out: list[Any] = [
        plain(1, 2),
        with_cls(1),
        with_cls(int),
        collides(1),
        mutates([]),
        twice(),
        outer(str),
        gives_function()["a"],
        always(),
        renamed(),
        nameless(),
    ]
    for call in (lambda: plain(1), lambda: plain(1, 2, 3), lambda: plain(y=1), lambda: outer(1)):
        try:
            call()
        except TypeError as error:
            out.append(str(error))
    return out


@program
def wrong_decorations(mlflow: Any) -> object:
    out = []
    for attempt in (
        lambda: mlflow.trace(output_reducer=len)(lambda: 1),
        lambda: mlflow.trace(sampling_ratio_override=2.0)(lambda: 1),
    ):
        try:
            attempt()
            out.append(False)
        except mlflow.MlflowException:
            out.append(True)
    return out


@program
def exceptions(mlflow: Any) -> object:
    try:
        raise ValueError("cause")
    except ValueError as cause:
        chained = RuntimeError("chained")
        chained.__cause__ = cause
    noted = ValueError("noted")
    if hasattr(noted, "add_note"):
        noted.add_note("a note é")
    errors = [
        ValueError("v"),
        ValueError(),
        KeyError("k"),
        StrangeError("a", 1, extra=2),
        OSError(2, "No file", "x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        AssertionError(),
        StopIteration(3),
        ZeroDivisionError("é 日"),
        ValueError("multi\nline"),
        ValueError("x" * 3000),
        chained,
        noted,
        TimeoutError(),
        RuntimeError(None),
    ]
    for error in errors:
        outer = mlflow.start_span("outer", span_type="CHAIN")
        with contextlib.suppress(type(error)), outer, mlflow.start_span("inner") as span:
            span.set_inputs(1)
            raise error

    @mlflow.trace
    def fails(x):
        raise StrangeError(f"no {x}")

    @mlflow.trace
    async def fails_later(x):
        raise LookupError(f"no {x}")

    with contextlib.suppress(StrangeError):
        fails(1)
    with contextlib.suppress(LookupError):
        asyncio.run(fails_later(2))
    with mlflow.start_span("survives"), contextlib.suppress(StrangeError):
        fails(3)
    with mlflow.start_span("recorded") as span:
        span.record_exception(ValueError("recorded"))
        span.record_exception("as text")
        seen = [span.status.status_code.value, span.status.description, len(span.events)]
    with mlflow.start_span("status afterwards") as span:
        span.record_exception(ValueError("recorded"))
        span.set_status("OK")
    return seen


@program
def groups(mlflow: Any) -> None:
    with contextlib.suppress(Exception), mlflow.start_span("cleaned up"):
        try:
            raise ValueError("first")
        finally:
            raise KeyError("second")
    with contextlib.suppress(Exception), mlflow.start_span("chained without context"):
        raise ValueError("x") from None

    class Silent(Exception):
        def __str__(self) -> str:
            return ""

    class Quiet(Exception):
        __qualname__ = "other.Name"
        __name__ = "X"

    for error in (
        Silent(1),
        Quiet("q"),
        Exception(),
        Exception(1, 2),
        Exception(b"x"),
        Warning("w"),
    ):
        with contextlib.suppress(Exception), mlflow.start_span("odd"):
            raise error
