"""What a trace as a whole carries: usage, previews, tags, metadata."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import contextlib
from typing import Any

from registry import program
from values import SPAN


@program
def token_usage(mlflow: Any) -> None:
    def usage(i: int, o: int, **more: int) -> dict[str, int]:
        return {"input_tokens": i, "output_tokens": o, "total_tokens": i + o, **more}

    key = "mlflow.chat.tokenUsage"
    with mlflow.start_span("siblings"):
        for n in range(3):
            with mlflow.start_span(f"call {n}", span_type="LLM") as span:
                span.set_attribute(
                    key, usage(n, 2 * n, **({"cache_read_input_tokens": n} if n else {}))
                )
    with mlflow.start_span("roll-up") as root:
        root.set_attribute(key, usage(10, 20))
        with mlflow.start_span("call", span_type="LLM") as span:
            span.set_attribute(key, usage(1, 2))
    with mlflow.start_span("partial") as root:
        root.set_attribute(key, {"input_tokens": 5})
    with mlflow.start_span("empty") as root:
        root.set_attribute(key, {})
    with mlflow.start_span("zero") as root:
        root.set_attribute(key, usage(0, 0))
    with mlflow.start_span("caches") as root:
        root.set_attribute(
            key, usage(3, 4, cache_read_input_tokens=1, cache_creation_input_tokens=2)
        )
    with mlflow.start_span("unknown keys") as root:
        root.set_attribute(key, usage(3, 4, reasoning_tokens=1))
    with mlflow.start_span("above an empty roll-up"), mlflow.start_span("middle") as middle:
        middle.set_attribute(key, {})
        with mlflow.start_span("call") as span:
            span.set_attribute(key, usage(1, 2))
    with mlflow.start_span("cost") as root:
        root.set_attribute(
            "mlflow.llm.cost", {"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3}
        )
        root.set_attribute("mlflow.llm.model", "a-model")
        root.set_attribute("mlflow.llm.provider", "a-provider")


@program
def previews(mlflow: Any) -> None:
    text = {"type": "text", "text": "part"}
    image = {"type": "image_url", "image_url": {"url": "http://x"}}
    second = {"type": "text", "text": "second"}
    contents: list[Any] = ["text é", "", None, 5, [], {"text": "x"}, "m" * 1000, "m" * 1001]
    contents += ["日" * 1500, "a\u0000b\n", [image, text, second], [image, image], ["plain", text]]
    contents += [
        [5, text],
        [[text]],
        [{"type": "text"}, text],
        [{"type": "text", "text": ""}, text],
    ]
    contents += [[{"type": "text", "text": None}, text], [{"type": "output_text", "text": "out"}]]
    user, assistant = {"role": "user", "content": "U é"}, {"role": "assistant", "content": "A"}
    system, odd = {"role": "system", "content": "S"}, {"role": 5, "content": "odd role"}
    cases: list[Any] = [
        {"messages": [{"role": "user", "content": content}]} for content in contents
    ]
    for messages in (
        *(
            [user, assistant, {"role": "tool", "content": "T"}],
            [system],
            [],
            [{"role": "user"}],
            [1, "x"],
        ),
        *([odd], [user, None], [user, {"role": "user", "content": "last"}], "text", user, None),
    ):
        cases += [{key: messages} for key in ("messages", "input", "output", "request")]
        cases += [{"request": {"messages": messages}}, {"messages": messages, "input": [assistant]}]
    answers: list[Any] = [
        *([{"message": assistant}], [], [{"message": None}], [{"text": "x"}], {}, None, [1]),
        *([{"message": assistant}, {"message": user}], [{"message": {"role": "user"}}]),
    ]
    for choices in answers:
        cases += [{"choices": choices}, {"choices": choices, "input": [user]}]
    cases += [{"request": {"request": {"input": [user]}}}, {"response": {"output": [assistant]}}]
    cases += [
        [user],
        [],
        "text",
        "",
        "x" * 998,
        "x" * 999,
        "é" * 2000,
        5,
        None,
        1.5,
        {"a": "x" * 2000},
    ]
    cases += [{"messages": [user], "model": "m" * 400}, {"é": "日" * 300}, "\u0000"]
    for index, case in enumerate(cases):
        with mlflow.start_span(f"preview {index:03}") as span:
            span.set_inputs(case)
            span.set_outputs(case)


@program
def given_previews(mlflow: Any) -> None:
    for preview in ["", "p", "é" * 999, "x" * 1000, "\n", '{"a": 1}']:
        with mlflow.start_span(f"given {len(preview)} {preview[:1]!r}") as span:
            span.set_inputs("in")
            span.set_outputs("out")
            mlflow.update_current_trace(request_preview=preview, response_preview=preview)
    with mlflow.start_span("two updates"):
        mlflow.update_current_trace(request_preview="first")
        mlflow.update_current_trace(request_preview="second", response_preview="r")


@program
def updates(mlflow: Any) -> object:
    with mlflow.start_span("updated"):
        mlflow.update_current_trace(
            tags={"a": "1", "b": "é", "": "empty key", "c": "", "d e/f.g:h": "x"},
            metadata={"m": "1", "n": ""},
        )
        with mlflow.start_span("child"):
            mlflow.update_current_trace(
                tags={"a": "2"},
                metadata={"m": "2", "o": "3"},
                client_request_id="id é",
                model_id="m-1",
            )
            mlflow.update_current_trace(session_id="s", user="u")
            mlflow.update_current_trace()
    with mlflow.start_span("no strings"):
        mlflow.update_current_trace(
            tags={"int": 1, "none": None, "list": [1, "a"], "bool": True, "float": 1.5},
            metadata={"int": 1, "dict": {"a": 1}},
            client_request_id=5,
        )
    for state in ["OK", "ERROR", mlflow.entities.TraceState.ERROR]:
        with mlflow.start_span(f"state {state}"):
            mlflow.update_current_trace(state=state)
    with contextlib.suppress(ValueError), mlflow.start_span("state OK, fails"):
        mlflow.update_current_trace(state="OK")
        raise ValueError("v")
    with mlflow.start_span("name tag"):
        mlflow.update_current_trace(tags={"mlflow.traceName": "renamed"})
    with mlflow.start_span("reserved"):
        mlflow.update_current_trace(
            metadata={
                "mlflow.trace.session": "in metadata",
                "mlflow.trace.user": "u",
                "mlflow.source.name": "mine",
                "mlflow.source.type": "JOB",
            }
        )
    with mlflow.start_span("reserved data"):
        mlflow.update_current_trace(
            metadata={
                "mlflow.traceInputs": "mine",
                "mlflow.trace_schema.version": "9",
                "mlflow.trace.tokenUsage": "x",
                "mlflow.user": "me",
            }
        )
    raised = []
    with mlflow.start_span("wrong"):
        wrong: list[dict[str, Any]] = [
            {"state": "WRONG"},
            {"request_preview": 5},
            {"response_preview": {}},
            {"state": "IN_PROGRESS"},
        ]
        for arguments in wrong:
            try:
                mlflow.update_current_trace(**arguments)
                raised.append(False)
            except mlflow.MlflowException:
                raised.append(True)
    mlflow.update_current_trace(tags={"outside": "x"})
    return raised


@program
def limits(mlflow: Any) -> None:
    for length in (249, 250, 251, 1000, 4999, 7999):
        with mlflow.start_span(f"length {length}"):
            mlflow.update_current_trace(
                metadata={"m": "m" * length, "u": "日" * length},
                session_id="s" * min(length, 250),
                user="u" * length,
            )
    for length in (250, 1000, 4096, 5000, 7000, 8000, 9000):
        with mlflow.start_span(f"tag {length}"):
            mlflow.update_current_trace(tags={"t": "t" * length, "u": "é" * length})
    for length in (250, 251, 260):
        with mlflow.start_span(f"key {length}"):
            mlflow.update_current_trace(tags={"k" * length: "v"})
    for length in (250, 251, 260):
        with mlflow.start_span(f"metadata key {length}"):
            mlflow.update_current_trace(metadata={"k" * length: "v"})
    with mlflow.start_span("long request id"):
        mlflow.update_current_trace(client_request_id="i" * 50)


@program
def scopes(mlflow: Any) -> object:
    context = mlflow.tracing.context
    with context(tags={"a": "1", "b": "1"}, metadata={"m": "1"}, session_id="s"):
        with context(tags={"b": "2"}, user="u"), mlflow.start_span("nested"):
            mlflow.update_current_trace(tags={"c": "3"})
        with mlflow.start_span("outer"):
            pass
        with context(enabled=False), mlflow.start_span("off") as span:
            span.set_attribute("a", 1)
            seen = [span.trace_id, span.span_id, span.inputs, mlflow.get_current_active_span()]
        late = context(tags={"late": "1"})
        with mlflow.start_span("argument"), late, mlflow.start_span("child"):
            pass
    mlflow.start_span_no_context("manual").end()
    return seen


@program
def processes(mlflow: Any) -> object:
    set_context = mlflow.tracing.set_tracing_context_from_http_request_headers
    out: list[Any] = []
    for headers in (
        {},
        {"other": "x"},
        {"traceparent": "garbage"},
        {"Traceparent": f"00-{'ab' * 16}-{SPAN}-01"},
        {"traceparent": f"00-{'0' * 32}-{SPAN}-01"},
    ):
        try:
            with set_context(headers):
                out.append("entered")
        except mlflow.MlflowException:
            out.append("raised")
    out.append(mlflow.tracing.get_tracing_context_headers_for_http_request())
    return out
