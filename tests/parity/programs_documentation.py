"""The samples of MLflow's documentation about manual tracing, tags and distributed tracing.

By the behaviours that they show; services that a sample calls are stood in for by functions here.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import math
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from registry import program

MESSAGES = [{"role": "user", "content": "What is MLflow?"}]


def completion(messages: list[dict[str, str]]) -> dict[str, Any]:
    """Stand in for a chat model."""
    answer = f"{len(messages)} messages"
    return {"choices": [{"message": {"role": "assistant", "content": answer}}]}


def chunks():
    """Stand in for a model that streams."""
    for text in ("Hello", " ", "World", None):
        yield {"choices": [{"delta": {"content": text}}]}


@program
def decorated_functions_that_call_each_other(mlflow: Any) -> object:
    @mlflow.trace(span_type="CHAIN", attributes={"key": "value"})
    def add_1(x):
        return x + 1

    @mlflow.trace(name="call-local-function", span_type="func", attributes={"a": "b"})
    def minus_1(x):
        return x - 1

    @mlflow.trace(name="Trace Test")
    def trace_test(x):
        step_1 = add_1(x)
        return minus_1(step_1)

    return trace_test(4)


@program
def library_functions_wrapped(mlflow: Any) -> object:
    def invocation(x, y, exp=2):
        traced_pow = mlflow.trace(math.pow)
        raised = traced_pow(x, exp)
        traced_factorial = mlflow.trace(math.factorial, name="factorial", span_type="MATH")
        return raised + traced_factorial(y)

    return mlflow.trace(invocation)(3, 4)


@program
def the_current_span_changed(mlflow: Any) -> object:
    @mlflow.trace
    def invoke(prompt):
        span = mlflow.get_current_active_span()
        span.set_attributes({"model": "gpt", "temperature": 0.1})
        span.set_attribute("n", 3)
        mlflow.update_current_trace(tags={"fruit": "apple"})
        mlflow.update_current_trace(
            request_preview=f"asked: {prompt}", response_preview="told: nothing"
        )
        return {"text": prompt}

    return invoke("hi")


@program
def blocks(mlflow: Any) -> object:
    with mlflow.start_span(name="my_span") as span:
        x, y = 1, 2
        span.set_inputs({"x": x, "y": y})
        z = x + y
        span.set_outputs(z)
        span.set_attribute("cost", 3.5)
        span.set_attributes({"a": [1, 2], "b": None})
    return z


@program
def a_chat_loop(mlflow: Any) -> object:
    @mlflow.trace(span_type="CHAT_MODEL")
    def create(messages, model="gpt-4o-mini"):
        return completion(messages)

    @mlflow.trace
    def start_session():
        messages = [{"role": "system", "content": "You are a friendly chat bot"}]
        for question in ("hi", "bye"):
            with mlflow.start_span(name="User") as span:
                span.set_inputs(messages)
                span.set_outputs(question)
            messages.append({"role": "user", "content": question})
            reply = create(messages=messages)["choices"][0]["message"]
            messages.append(reply)
        return messages

    return start_session()


@program
def tool_calling(mlflow: Any) -> object:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "get_weather", "description": "d", "parameters": parameters}
    tools = [{"type": "function", "function": function}]

    @mlflow.trace(span_type="TOOL")
    def get_weather(city):
        return f"sunny in {city}"

    @mlflow.trace(span_type="AGENT")
    def run(question):
        with mlflow.start_span("model", span_type="CHAT_MODEL") as span:
            span.set_inputs({"messages": MESSAGES, "tools": tools})
            mlflow.tracing.set_span_chat_tools(span, tools)
            span.set_outputs({"tool_calls": [{"name": "get_weather"}]})
            usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
            span.set_attribute("mlflow.chat.tokenUsage", usage)
        with mlflow.start_span("documents", span_type="RETRIEVER") as span:
            span.set_outputs([{"page_content": "text", "metadata": {"doc_uri": "a/b.md"}}])
        return get_weather("Tokyo")

    return run("weather?")


@program
def an_exception(mlflow: Any) -> object:
    @mlflow.trace
    def divide(x, y):
        with mlflow.start_span("inner") as span:
            span.set_inputs([x, y])
            span.set_attribute("kept", True)
            return x / y

    try:
        divide(1, 0)
    except ZeroDivisionError as error:
        return str(error)
    return None


@program
def other_decorators(mlflow: Any) -> object:
    def retried(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            except KeyError:
                return function(*args, **kwargs)

        return wrapper

    calls = []

    def flaky(x):
        calls.append(x)
        if len(calls) % 2:
            raise KeyError(x)
        return x

    outermost = mlflow.trace(retried(flaky), name="outermost")
    innermost = retried(mlflow.trace(flaky, name="innermost"))
    return [outermost(1), innermost(2)]


@program
def streams_and_reducers(mlflow: Any) -> object:
    @mlflow.trace
    def stream_data():
        yield from range(5)

    @mlflow.trace(output_reducer=lambda outputs: ",".join(outputs))
    def words():
        yield from ("a", "b", "c")

    def folded(outputs):
        texts = [output["choices"][0]["delta"]["content"] or "" for output in outputs]
        return {"choices": [{"message": {"role": "assistant", "content": "".join(texts)}}]}

    @mlflow.trace(name="chat", span_type="LLM", output_reducer=folded)
    def chat(messages):
        yield from chunks()

    @mlflow.trace(output_reducer=sum)
    async def numbers():
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    async def consume():
        return [number async for number in numbers()]

    lazy = stream_data()
    before = mlflow.get_current_active_span()
    return [list(lazy), before, list(words()), len(list(chat(MESSAGES))), asyncio.run(consume())]


@program
def threads_with_contexts(mlflow: Any) -> object:
    @mlflow.trace
    def worker(question):
        with mlflow.start_span(f"step {question}") as span:
            span.set_inputs(question)
        return question

    @mlflow.trace
    def main(questions):
        with ThreadPoolExecutor(max_workers=2) as executor:
            futures = [
                executor.submit(contextvars.copy_context().run, worker, question)
                for question in questions
            ]
            return sorted(future.result() for future in as_completed(futures))

    return main(["a", "b", "c"])


@program
def asynchronous_functions(mlflow: Any) -> object:
    @mlflow.trace(span_type="LLM")
    async def ask(question):
        await asyncio.sleep(0)
        return completion([{"role": "user", "content": question}])

    @mlflow.trace
    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(q)) for q in ("x", "y")]
        more = await asyncio.gather(asyncio.to_thread(untraced), ask("z"))
        return [len(tasks), more[0]]

    def untraced():
        with mlflow.start_span("in a thread"):
            return 1

    return asyncio.run(main())


@program
def tags_of_running_traces(mlflow: Any) -> object:
    @mlflow.trace
    def my_func(x):
        mlflow.update_current_trace(tags={"environment": "staging", "topic": "billing question"})
        inner(x)
        return x + 1

    @mlflow.trace
    def inner(x):
        mlflow.update_current_trace(tags={"environment": "production"}, client_request_id="r-1")

    my_func(1)
    with mlflow.start_span(name="span"):
        mlflow.update_current_trace(tags={"k": "v"}, metadata={"mlflow.trace.session": "s-1"})
        mlflow.update_current_trace(session_id="s-2", user="u-1")
    return None


@program
def headers_between_services(mlflow: Any) -> object:
    tracing = mlflow.tracing

    def server(headers):
        scope = tracing.set_tracing_context_from_http_request_headers(headers)
        with scope, mlflow.start_span("server-handler") as span:
            span.set_attribute("status", "ok")
            return span.trace_id

    with mlflow.start_span("client-root") as span:
        headers = tracing.get_tracing_context_headers_for_http_request()
        return [sorted(headers) == ["traceparent"], server(headers) == span.trace_id]


@program
def low_level_spans(mlflow: Any) -> object:
    root = mlflow.start_span_no_context(
        name="agent", inputs={"q": 1}, tags={"t": "1"}, metadata={"m": "1"}
    )
    child = mlflow.start_span_no_context(name="child", parent_span=root, span_type="TOOL")
    child.end(outputs=[1], attributes={"a": 1})
    failed = mlflow.start_span_no_context(name="failed", parent_span=root)
    failed.record_exception("went wrong")
    failed.end()
    root.end(outputs={"a": 2}, status="OK")
    return [child.parent_id == root.span_id, mlflow.get_current_active_span()]


@program
def links_and_levels(mlflow: Any) -> object:
    entities = mlflow.entities
    with mlflow.start_span("first") as first:
        pass
    link = entities.Link(trace_id="tr-" + "ab" * 16, span_id="cd" * 8, attributes={"why": "x"})
    with mlflow.start_span("second", links=[link], log_level="WARNING", description="d") as span:
        span.add_event(entities.SpanEvent("cache", attributes={"hit": True}))
        return [
            span.links[0].span_id,
            span.trace_id != first.trace_id,
            int(span.log_level),
            span.description,
        ]


TIMES = {"start_time_ms": 1_700_000_000_000, "execution_time_ms": 5129}


@program
def traces_after_the_fact(mlflow: Any) -> object:
    given = mlflow.log_trace(
        name="logged",
        request="Does mlflow support tracing?",
        response="Yes",
        intermediate_outputs={"retrieved": ["documentation"]},
        tags={"k": "v"},
        **TIMES,
    )
    mlflow.log_trace(request={"q": 1}, attributes={"a": 1})
    return given.startswith("tr-")


def finished(second: int = 0) -> dict[str, Any]:
    """Give a trace that a remote service might return."""
    spans = []
    # In the middle of a millisecond: what is cut off then does not depend on who computes.
    start = (1_700_000_000 + second) * 10**9 + 500_000
    for index, (name, parent) in enumerate((("remote", None), ("remote step", "AAAAAAAAAAE="))):
        attributes = {
            "mlflow.traceRequestId": '"tr-00112233445566778899aabbccddeeff"',
            "mlflow.spanType": '"TOOL"',
            "mlflow.spanInputs": json.dumps({"n": index}),
            "mlflow.spanOutputs": json.dumps([name]),
            "mlflow.spanLogLevel": "20",
            "custom": "1.5",
        }
        spans.append(
            {
                "trace_id": "ABEiM0RVZneImaq7zN3u/w==",
                "span_id": f"AAAAAAAAAA{'EI'[index]}=",
                "parent_span_id": parent,
                "name": name,
                "start_time_unix_nano": start + index,
                "end_time_unix_nano": start + 10**9 - index,
                "events": [{"name": "e", "time_unix_nano": 7, "attributes": {"k": 1}}],
                "status": {"code": "STATUS_CODE_ERROR", "message": "m"}
                if index
                else {"code": "STATUS_CODE_OK", "message": ""},
                "attributes": attributes,
                "links": [],
            }
        )
    info = {
        "trace_id": "tr-00112233445566778899aabbccddeeff",
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": "0"},
        },
        "request_time": "2023-11-14T22:13:20Z",
        "execution_duration_ms": 1000,
        "state": "OK",
        "tags": {"remote": "yes"},
        "trace_metadata": {"from": "remote"},
    }
    return {"info": info, "data": {"spans": spans}}


@program
def traces_of_remote_services(mlflow: Any) -> object:
    @mlflow.trace(name="predict")
    def predict(x):
        mlflow.add_trace(finished(1))
        return x

    predict(1)
    with mlflow.start_span("target") as span:
        mlflow.add_trace(mlflow.entities.Trace.from_dict(finished(2)), target=span)
    mlflow.add_trace(finished(3))
    return None


@program
def entities_of_a_finished_trace(mlflow: Any) -> object:
    trace = mlflow.entities.Trace.from_dict(finished())
    spans = trace.data.spans
    return [
        trace.to_dict(),
        json.loads(trace.to_json()) == trace.to_dict(),
        [span.name for span in trace.search_spans(span_type="TOOL")],
        trace.search_spans(name="remote step")[0].status.description,
        (spans[0].inputs, spans[0].outputs, spans[1].parent_id, spans[0].parent_id),
        trace.info.token_usage,
        (trace.data.request, trace.data.response),
        sorted(trace.to_pandas_dataframe_row()),
        [spans[0].attributes, spans[0].trace_id, spans[0].span_type, int(spans[0].log_level)],
    ]
