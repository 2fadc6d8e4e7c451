"""A small program for MLflow's tracing API; `test_server.py` runs it with MLflow and with ours.

Usage: server_program.py MODULE TRACKING_URI EXPERIMENT
"""

import asyncio
import importlib
import sys

module, uri, experiment = sys.argv[1:]
mlflow = importlib.import_module(module)
entities = importlib.import_module(f"{module}.entities")

mlflow.set_tracking_uri(uri)
mlflow.set_experiment(experiment)


@mlflow.trace(name="retrieve", span_type=entities.SpanType.RETRIEVER, attributes={"k": 3})
def documents(query, k=3):
    return [{"page_content": f"{query} {i}", "metadata": {"score": i / 2}} for i in range(k)]


@mlflow.trace(span_type="LLM")
async def complete(messages, *, temperature=0.5):
    await asyncio.sleep(0)
    mlflow.get_current_active_span().set_attributes(
        {
            "mlflow.chat.tokenUsage": {"input_tokens": 11, "output_tokens": 22, "total_tokens": 33},
            "mlflow.llm.model": "some-model",
            "mlflow.message.format": "openai",
        }
    )
    return {"choices": [{"message": {"role": "assistant", "content": "Größe: 42 日本"}}]}


@mlflow.trace(span_type="AGENT")
def agent(request):
    found = documents(request["messages"][-1]["content"])
    mlflow.update_current_trace(
        tags={"env": "test", "topic": "über"},
        metadata={"version": "1.2"},
        client_request_id="req-1",
        session_id="session-1",
        user="user-1",
    )
    return asyncio.run(complete([*request["messages"], {"role": "tool", "content": str(found)}]))


agent({"messages": [{"role": "user", "content": "How large?"}]})


@mlflow.trace
def values():
    with mlflow.start_span("values") as span:
        span.set_inputs(
            {"none": None, "tuple": (1, 2.5), "nested": {"é": [True, {"1": 1}]}, 5: "x"}
        )
        span.set_outputs([1e16, 1e-7, -0.0, 2**53, "\x00\x1f\u2028"])
        span.set_attribute("text", "plain")
        span.set_attribute("empty", "")
        span.set_attribute("int", -(2**63))
        span.set_attribute("float", 0.1)
        span.set_attribute("whole", 3.0)
        span.set_attribute("true", True)
        span.set_attribute("null", None)
        span.set_attribute("list", [1, "a", None])
        span.set_attribute("emptyList", [])
        span.set_attribute("emptyDict", {})
        span.set_attribute("set", {1})
        span.set_attribute("bytes", b"\x00")
        span.set_attribute("text", "replaced")
        span.add_event(
            entities.SpanEvent("event", 1_700_000_000_000_000_000, {"n": 1, "x": [1, 2]})
        )
        span.set_description("what it does")
        span.set_log_level("WARNING")
        span.add_link(entities.Link("tr-" + "ab" * 16, "cd" * 8, {"rel": "retry", "n": 1}))
    return "text"


values()


@mlflow.trace(output_reducer="".join)
def stream(n):
    for i in range(n):
        with mlflow.start_span(f"step {i}"):
            pass
        yield f"é{i}"


with mlflow.start_span("consumer", span_type="CHAIN") as consumer:
    consumer.set_inputs("question")
    consumer.set_outputs(list(stream(2)))
    mlflow.update_current_trace(request_preview="asked", response_preview="answered")


@mlflow.trace(span_type="TOOL")
def fails(x):
    raise ValueError(f"no {x}")


for call in (lambda: fails(1), lambda: list(failing_stream())):

    @mlflow.trace
    def failing_stream():
        yield 1
        raise KeyError("k")

    try:
        with mlflow.start_span("guarded"):
            call()
    except (ValueError, KeyError):
        pass

with mlflow.start_span("forced"):
    mlflow.update_current_trace(state="ERROR")

root = mlflow.start_span_no_context(
    "manual",
    span_type="WORKFLOW",
    inputs={"a": 1},
    attributes={"k": "v"},
    tags={"t": "1"},
    metadata={"m": "2"},
    start_time_ns=1_700_000_000_000_000_000,
)
child = mlflow.start_span_no_context("manual child", parent_span=root)
child.record_exception(RuntimeError("recorded"))
child.end(outputs={"o": 1}, attributes={"late": 1})
root.set_status("OK")
root.end(outputs="out", end_time_ns=1_700_000_001_500_000_000)

with mlflow.tracing.context(tags={"scope": "yes"}, metadata={"scoped": "1"}):
    with mlflow.start_span("scoped"):
        pass

mlflow.flush_trace_async_logging(terminate=True)
