"""What is recorded and how it is changed on the way: sampling, processors, scopes, switches."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
from typing import Any

from registry import program
from values import SPAN

TRACE = "ab" * 16


def kind(span: Any) -> str:
    return type(span).__name__


def flags(mlflow: Any) -> str:
    headers = mlflow.tracing.get_tracing_context_headers_for_http_request()
    return str(headers.get("traceparent", "none"))[-2:]


@program
def sampling_overrides(mlflow: Any) -> object:
    def look() -> list[object]:
        with mlflow.start_span("inside") as inside:
            detached = mlflow.start_span_no_context("detached")
            detached.end()
            active = mlflow.get_current_active_span()
            seen = [
                kind(inside),
                kind(detached),
                kind(active),
                mlflow.get_active_trace_id() is None,
            ]
            return [*seen, flags(mlflow)]

    never = mlflow.trace(look, name="never", sampling_ratio_override=0.0)
    always = mlflow.trace(look, name="always", sampling_ratio_override=1)
    never_inside = mlflow.trace(never, name="outer", sampling_ratio_override=1.0)
    always_inside = mlflow.trace(always, name="hidden", sampling_ratio_override=0)

    @mlflow.trace(sampling_ratio_override=0.0)
    async def task():
        await asyncio.sleep(0)
        return look()

    @mlflow.trace(sampling_ratio_override=1.0)
    async def gather():
        return await asyncio.gather(task(), task())

    def in_context(function):
        return contextvars.copy_context().run(function)

    out = [never(), always(), never_inside(), always_inside(), asyncio.run(task())]
    out += [asyncio.run(gather()), in_context(never), look()]
    with mlflow.start_span("root"):
        out += [never(), in_context(never)]
    return out


@program
def unsampled_generators(mlflow: Any) -> object:
    @mlflow.trace(sampling_ratio_override=0.0)
    def numbers():
        for i in range(2):
            with mlflow.start_span("inside") as span:
                yield [i, kind(span)]

    @mlflow.trace(sampling_ratio_override=0.0)
    async def later():
        for i in range(2):
            yield [i, kind(mlflow.get_current_active_span()), flags(mlflow)]

    async def collect():
        return [item async for item in later()]

    stream = numbers()
    out = [next(stream), asyncio.run(collect())]
    with mlflow.start_span("consumer"):
        out.append(list(stream))
    return [*out, flags(mlflow)]


@program
def unsampled_spans(mlflow: Any) -> object:
    seen: list[object] = []

    def dropped():
        with mlflow.start_span("child", span_type="LLM", attributes={"a": 1}) as span:
            span.set_inputs(1)
            span.set_outputs(2)
            span.set_attribute("a", 1)
            span.set_attributes({"b": 1})
            span.set_status("ERROR")
            span.add_event(mlflow.entities.SpanEvent("e"))
            span.record_exception(ValueError("v"))
            names = "trace_id span_id parent_id name status inputs outputs span_type"
            names += (
                " start_time_ns end_time_ns log_level description model_name llm_cost links context"
            )
            seen.extend(getattr(span, name) for name in names.split())
            seen.extend([span.get_attribute("a"), repr(span), span.end()])
            child = mlflow.start_span_no_context("grandchild", parent_span=span, inputs=1)
            seen.extend([kind(child), child.end(outputs=1)])
            mlflow.update_current_trace(tags={"lost": "1"}, session_id="s")
            raise KeyError("k")

    with contextlib.suppress(KeyError):
        mlflow.trace(dropped, sampling_ratio_override=0.0)()
    with mlflow.start_span("afterwards"):
        return [seen, flags(mlflow)]


@program
def unsampled_requests(mlflow: Any) -> object:
    out = []
    set_context = mlflow.tracing.set_tracing_context_from_http_request_headers
    for number in ("00", "02"):
        with set_context({"traceparent": f"00-{TRACE}-{SPAN}-{number}"}):
            headers = mlflow.tracing.get_tracing_context_headers_for_http_request()
            with mlflow.start_span("server") as span:
                inside = mlflow.tracing.get_tracing_context_headers_for_http_request()
                parts = inside["traceparent"].split("-")
                out += [headers, kind(span), kind(mlflow.get_current_active_span())]
                out += [parts[1] == TRACE, parts[2] != SPAN, parts[3]]
    return out


@program
def span_processors(mlflow: Any) -> object:
    seen: list[object] = []

    def look(span):
        level = span.log_level and span.log_level.name
        active = mlflow.get_current_active_span()
        seen.append([span.name, span.status.status_code.value, level, span.end_time_ns])
        seen.append([span.span_type, span.inputs, span.outputs, active and active.name])

    def change(span):
        span.set_attribute("seen", [len(seen), span.name])
        if span.inputs:
            span.set_inputs({"masked": sorted(span.inputs)})
        span.set_outputs(f"by a processor of {span.name}")
        span.set_span_type("TOOL")
        span.set_status("ERROR")
        return span

    @mlflow.trace
    def function(password, x=1):
        with mlflow.start_span("inner", span_type="LLM") as span:
            span.set_outputs("secret")
        return "secret"

    @mlflow.trace(span_type="AGENT")
    async def coroutine(password):
        return function(password)

    @mlflow.trace(log_level="WARNING")
    def generator(password):
        yield "secret"
        with mlflow.start_span("between"):
            pass
        yield "secret"

    @mlflow.trace(span_type="LLM")
    def failing(password):
        raise KeyError(password)

    mlflow.tracing.configure(span_processors=[look, change, look])
    try:
        function("p")
        asyncio.run(coroutine("p"))
        out = [list(generator("p"))]
        with contextlib.suppress(KeyError):
            failing("p")
        span = mlflow.start_span_no_context("detached", inputs={"p": 1})
        span.end(outputs="secret")
        out += [span.outputs, span.inputs, span.status.status_code.value]
    finally:
        mlflow.tracing.configure(span_processors=[])
    function("not seen any more")
    return [out, seen]


@program
def blocks_of_processors(mlflow: Any) -> object:
    def by(name):
        return lambda span: span.set_attribute("by", name)

    def record(name):
        with mlflow.start_span(name):
            pass

    record("1")
    with mlflow.tracing.configure(span_processors=[by("a")]) as given:
        record("2")
        with mlflow.tracing.configure(span_processors=[by("b"), by("c")]):
            record("3")
        record("4")
        with mlflow.tracing.configure():
            record("5")
        mlflow.tracing.configure(span_processors=None)
        record("6")
        with mlflow.tracing.configure(span_processors=[]):
            record("7")
        record("8")
    record("9")
    return kind(given)


@program
def failing_processors(mlflow: Any) -> None:
    def fail(span):
        raise ValueError("v")

    with (
        mlflow.tracing.configure(span_processors=[fail]),
        mlflow.start_span("root", attributes={"a": 1}) as span,
    ):
        span.set_inputs("secret")


@program
def processors_that_record(mlflow: Any) -> None:
    def record(span):
        if span.name == "root":
            with mlflow.start_span("by a processor"):
                pass

    with mlflow.tracing.configure(span_processors=[record]), mlflow.start_span("root"):
        pass


@program
def nested_scopes(mlflow: Any) -> object:
    context = mlflow.tracing.context
    out: list[object] = []

    def record(name):
        with mlflow.start_span(name) as span:
            out.append(kind(span))

    with context(enabled=False, tags={"outer": "1"}, session_id="outer"):
        record("off")
        with context(tags={"inner": "1"}):
            record("still off")
            with context(enabled=True, user="u", session_id="inner"):
                record("on again")
        out.append(kind(mlflow.start_span_no_context("off", tags={"own": "1"})))
    with mlflow.start_span("parent"):
        with context(enabled=False):
            record("hidden")
            active = mlflow.get_current_active_span()
            out.append(active.name)
            active.set_attribute("from inside", 1)
            mlflow.update_current_trace(tags={"from": "inside"})
            with context(enabled=True):
                record("shown")
        with context(tags={"too": "late"}, metadata={"too": "late"}):
            record("child")
    with contextlib.suppress(KeyError), context(tags={"failed": "1"}):
        record("fails")
        raise KeyError("k")
    with context(metadata={"m": "scope"}, tags={"t": "scope"}, user="scope"):
        span = mlflow.start_span_no_context("own", tags={"t": "own"}, metadata={"m": "own"})
        span.end()
        with mlflow.start_span("updated"):
            mlflow.update_current_trace(
                tags={"t": "update"}, metadata={"m": "update"}, user="update"
            )
    with context(metadata={"mlflow.trace.session": "by key"}, session_id="by name"):
        record("both")
    record("after")
    return out


@program
def scopes_of_tasks(mlflow: Any) -> object:
    context = mlflow.tracing.context

    async def task(name):
        with context(tags={"task": name}, enabled=name != "b"):
            await asyncio.sleep(0)
            with mlflow.start_span(name) as span:
                await asyncio.sleep(0)
                return kind(span)

    @mlflow.trace
    def stream():
        for i in range(2):
            with mlflow.start_span(f"inside {i}") as span:
                yield kind(span)

    async def run():
        return await asyncio.gather(*(task(name) for name in "abc"))

    with context(session_id="s"):
        out: list[object] = list(asyncio.run(run()))
    with context(tags={"stream": "1"}):
        out += list(stream())
    with context(enabled=False):
        out += list(stream())
    return out


@program
def switched_off(mlflow: Any) -> object:
    provider = importlib.import_module(f"{mlflow.__name__}.tracing.provider")
    out: list[object] = []

    @mlflow.trace
    def call():
        with mlflow.start_span("inside") as span:
            out.extend([kind(span), kind(mlflow.get_current_active_span()), flags(mlflow)])
        return "result"

    def record():
        detached = mlflow.start_span_no_context("detached")
        detached.end()
        out.extend([provider.is_tracing_enabled(), call(), kind(detached)])

    record()
    mlflow.tracing.disable()
    mlflow.tracing.disable()
    record()
    with mlflow.tracing.context(enabled=True):
        record()
    mlflow.tracing.enable()
    mlflow.tracing.enable()
    record()
    return out
