"""What is set on single spans, and which span is current."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from registry import program
from values import SPAN, TIME, TRACE


@program
def span_names(mlflow: Any) -> None:
    names = [
        "",
        " ",
        "é日😀",
        "a" * 300,
        'with "quotes"',
        "new\nline",
        "tab\t",
        "mlflow.span",
        "/api/x?y=1",
    ]
    for name in names:
        with mlflow.start_span(name):
            pass
    with mlflow.start_span():
        pass
    with mlflow.start_span("parent"):
        for name in names:
            with mlflow.start_span(name):
                pass


@program
def span_types(mlflow: Any) -> object:
    kinds = mlflow.entities.SpanType
    types = [getattr(kinds, name) for name in dir(kinds) if name.isupper()]
    levels = []
    with mlflow.start_span("types") as root:
        for kind in [*types, "custom", "", "é", "llm", '"LLM"']:
            with mlflow.start_span(f"type {kind}", span_type=kind) as span:
                pass
            levels.append([span.span_type, int(span.log_level)])
        with mlflow.start_span("set later") as span:
            span.set_span_type("TOOL")
        with mlflow.start_span("set twice", span_type="LLM") as span:
            span.set_attribute("mlflow.spanType", "AGENT")
    return [*levels, root.span_type]


@program
def log_levels(mlflow: Any) -> None:
    level = mlflow.entities.SpanLogLevel
    for name in ["DEBUG", "info", "Warning", level.ERROR, level.CRITICAL]:
        outer = mlflow.start_span("level", log_level=name, span_type="LLM")
        with outer, mlflow.start_span("set") as span:
            span.set_log_level(name)
            span.record_exception(ValueError("raises the level"))


@program
def statuses(mlflow: Any) -> None:
    status, code = mlflow.entities.SpanStatus, mlflow.entities.SpanStatusCode
    for value in [
        "OK",
        "ERROR",
        code.OK,
        code.ERROR,
        status(code.ERROR, "why é"),
        status(code.OK, "fine"),
        "UNSET",
    ]:
        with mlflow.start_span("root") as span:
            span.set_status(value)
            with mlflow.start_span("child") as child:
                child.set_status(value)
    with mlflow.start_span("error then ok") as span:
        span.set_status("ERROR")
        span.set_status("OK")
    with mlflow.start_span("ended by hand") as span:
        span.end(status="ERROR")


@program
def final_status(mlflow: Any) -> None:
    status, code = mlflow.entities.SpanStatus, mlflow.entities.SpanStatusCode
    with mlflow.start_span("ok then error") as span:
        span.set_status("OK")
        span.set_status(status(code.ERROR, "late"))
    with (
        mlflow.start_span("ok then raise"),
        contextlib.suppress(ValueError),
        mlflow.start_span("x") as span,
    ):
        span.set_status("OK")
        raise ValueError("v")


@program
def events(mlflow: Any) -> None:
    event = mlflow.entities.SpanEvent
    with mlflow.start_span("events") as span:
        span.add_event(event("bare", TIME))
        span.add_event(event("", TIME + 1, {}))
        span.add_event(
            event(
                "é日",
                TIME + 2,
                {
                    "s": "x",
                    "i": 1,
                    "f": 1.5,
                    "b": True,
                    "é": "日",
                    "": "empty",
                    "tie": 733082449316978.25,
                },
            )
        )
        span.add_event(
            event(
                "lists",
                TIME + 3,
                {
                    "ints": [1, 2],
                    "texts": ["a", "b"],
                    "empty": [],
                    "tuple": (1, 2),
                    "floats": [0.5, 1.0],
                },
            )
        )
        span.add_event(
            event(
                "e",
                TIME + 4,
                {"whole": 3.0, "big": 2**62, "small": 1e-7, "zero": 0, "no": False, "blank": ""},
            )
        )
        span.add_event(event("exception", TIME + 5, {"exception.message": "by hand"}))
        span.add_event(event.from_exception(ValueError("from")))
        for index in range(40):
            span.add_event(event(f"n{index}", TIME + 10 + index, {"i": index}))


@program
def links(mlflow: Any) -> object:
    link = mlflow.entities.Link
    given = [
        link(TRACE, SPAN),
        link(TRACE, SPAN, {}),
        link(TRACE, SPAN, {"rel": "retry", "n": 1, "f": 1.5, "l": [1], "b": True, "é": "日"}),
    ]

    @mlflow.trace(links=given[:1])
    def linked():
        pass

    linked()
    with mlflow.start_span("links", links=given) as span:
        span.add_link(given[0])
    root = mlflow.start_span_no_context("manual", links=given[2:])
    root.end()
    return [item.to_dict() for item in span.links]


@program
def manual_spans(mlflow: Any) -> object:
    root = mlflow.start_span_no_context(
        "manual",
        span_type="WORKFLOW",
        inputs={"a": 1},
        attributes={"k": "v"},
        tags={"t": "1"},
        metadata={"m": "2"},
        start_time_ns=TIME,
        description="d",
        log_level="WARNING",
    )
    child = mlflow.start_span_no_context(
        "child", parent_span=root, start_time_ns=TIME + 5_000_000, inputs=[1]
    )
    grandchild = mlflow.start_span_no_context(
        "grandchild", parent_span=child, start_time_ns=TIME + 1_000
    )
    grandchild.end(end_time_ns=TIME + 2_000)
    child.end(outputs={"o": 1}, attributes={"late": 1}, end_time_ns=TIME + 400_499_999)
    root.end(outputs="out", end_time_ns=TIME + 1_500_500_000, status="OK")
    seen = [
        root.start_time_ns,
        root.end_time_ns,
        child.parent_id == root.span_id,
        mlflow.get_current_active_span(),
    ]
    bare = mlflow.start_span_no_context("bare")
    bare.end()
    with mlflow.start_span("around"):
        other = mlflow.start_span_no_context("own trace")
        other.end()
    instant = mlflow.start_span_no_context("instant", start_time_ns=TIME)
    instant.end(end_time_ns=TIME)
    return seen


@program
def after_the_end(mlflow: Any) -> object:
    with mlflow.start_span("ended") as span:
        span.end(outputs=1)
        span.set_attribute("late", 1)
        span.set_outputs(2)
        span.set_status("ERROR")
        span.end(outputs=3)
    span.set_inputs("later")
    span.add_event(mlflow.entities.SpanEvent("later", TIME))
    span.record_exception(ValueError("later"))
    return [
        span.outputs,
        span.inputs,
        span.get_attribute("late"),
        span.get_attribute("missing"),
        span.status.status_code.value,
    ]


@program
def reserved_attributes(mlflow: Any) -> None:
    with mlflow.start_span("reserved", span_type="LLM") as span:
        span.set_attributes(
            {
                "mlflow.spanDescription": "d",
                "mlflow.spanFunctionName": "f",
                "mlflow.message.format": "openai",
                "mlflow.spanLogLevel": 30,
                "mlflow.llm.model": "m",
                "session.id": "from span",
                "user.id": "u",
                "mlflow.traceTag.x": "y",
            }
        )
        span.set_attribute("mlflow.spanInputs", {"by": "attribute"})
        span.set_attribute("mlflow.spanOutputs", "by attribute")
    with mlflow.start_span("keys") as span:
        span.set_attributes(
            {"": "empty", "a.b": 1, "é": 2, " ": 3, "k" * 300: 4, 'with "quotes"': 5}
        )
        span.set_attribute("twice", 1)
        span.set_attribute("other", 1)
        span.set_attribute("twice", 2)
    with mlflow.start_span("description", description="é 日") as span:
        span.set_description("changed")
    with mlflow.start_span("empty description", description="", attributes={}) as span:
        pass


@program
def many(mlflow: Any) -> None:
    with mlflow.start_span("many attributes") as span:
        for index in range(110):
            span.set_attribute(f"key {index}", index)
    with mlflow.start_span("many children"):
        for index in range(150):
            with mlflow.start_span(f"child {index}"):
                pass
    with contextlib.ExitStack() as stack:
        for index in range(40):
            stack.enter_context(mlflow.start_span(f"depth {index}"))


@program
def threads(mlflow: Any) -> object:
    @mlflow.trace
    def work(n):
        return n

    def alone(n):
        # A thread of its own knows nothing of the scopes around its start.
        with mlflow.tracing.context(tags={"program": "threads"}):
            return work(n)

    with mlflow.start_span("pool"), ThreadPoolExecutor(2) as pool:
        list(pool.map(alone, [9]))
        futures = [pool.submit(contextvars.copy_context().run, work, n) for n in range(3)]
        out = [future.result() for future in futures]
    found = []
    with mlflow.start_span("outer"):
        thread = threading.Thread(target=lambda: found.append(mlflow.get_current_active_span()))
        thread.start()
        thread.join()
    return [out, found]


@program
def tasks(mlflow: Any) -> object:
    @mlflow.trace
    async def work(n):
        await asyncio.sleep(0.001 * n)
        with mlflow.start_span(f"inner {n}"):
            await asyncio.sleep(0)
        return n

    async def run():
        with mlflow.start_span("gather"):
            return await asyncio.gather(*(work(n) for n in range(3)))

    return asyncio.run(run())


@program
def scope_in_pieces(mlflow: Any) -> object:
    first, second = mlflow.start_span("first"), mlflow.start_span("second")
    a = first.__enter__()
    b = second.__enter__()
    second.__exit__(None, None, None)
    seen = [b.parent_id == a.span_id, mlflow.get_current_active_span().name]
    first.__exit__(None, None, None)
    return seen


@program
def identifiers(mlflow: Any) -> object:
    seen = [mlflow.get_current_active_span(), mlflow.get_active_trace_id()]
    with mlflow.start_span("ids") as span:
        seen += [
            span.trace_id == mlflow.get_active_trace_id(),
            span.request_id == span.trace_id,
            len(span.span_id),
            span.parent_id,
            span.trace_id[:3],
            len(span.trace_id),
            span.name,
            mlflow.get_current_active_span().span_id == span.span_id,
            span.end_time_ns,
        ]
        headers = mlflow.tracing.get_tracing_context_headers_for_http_request()
        seen += [
            list(headers),
            headers["traceparent"].split("-")[1] == span.trace_id[3:],
            headers["traceparent"].split("-")[2] == span.span_id,
        ]
    seen.append(mlflow.get_last_active_trace_id() == span.trace_id)
    seen.append(mlflow.get_last_active_trace_id(thread_local=True) == span.trace_id)
    return seen
