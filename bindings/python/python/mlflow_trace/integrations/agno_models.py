"""Calls of Agno's models as spans, whichever provider's they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.integrations.calls import Spec, traced
from mlflow_trace.integrations.model_facts import TOOLS, USAGE, chat_tools, token_usage
from mlflow_trace.integrations.models import FORMAT, MODEL, PROVIDER
from mlflow_trace.integrations.patch import patch

if TYPE_CHECKING:
    from types import ModuleType

    from mlflow_trace._native import LiveSpan
    from mlflow_trace.integrations.calls import Call
    from mlflow_trace.integrations.patch import Undo
    from mlflow_trace.integrations.registry import Integration

_BASE = "agno.models.base"
_METHODS = ("invoke", "ainvoke", "invoke_stream", "ainvoke_stream")


class _Model(Spec):
    """A call of a model, with all attempts that it takes."""

    span_type = "LLM"

    def name(self, call: Call) -> str | None:
        # An attempt with guidance is made inside the call that it belongs to.
        if call.kwargs.get("retries_with_guidance_count"):
            return None
        method = call.function.__name__.removesuffix("_with_retry").lstrip("_")
        return f"{type(call.instance).__name__}.{method}"

    def begin(self, call: Call, span: LiveSpan) -> None:
        model, arguments = call.instance, call.arguments()
        _native.record_request(span, None, {"messages": _each(arguments.get("messages"))})
        tools = (
            tool if isinstance(tool, dict) else {"type": "function", "function": tool.to_dict()}
            for tool in arguments.get("tools") or ()
        )
        attributes = {
            FORMAT: "agno",
            MODEL: model.id,
            PROVIDER: model.provider,
            TOOLS: chat_tools(tools),
        }
        span.set_attributes({key: value for key, value in attributes.items() if value})

    def result(self, call: Call, span: LiveSpan, result: Any) -> None:  # noqa: ARG002
        span.set_outputs([_message(result.content, result.tool_calls)])
        _count(span, result.response_usage)

    def item(self, item: Any) -> tuple[str, Any]:
        delta: dict[str, Any] = {"content": item.content if isinstance(item.content, str) else None}
        if item.tool_calls:
            delta["tool_calls"] = list(item.tool_calls)
        chunk = _native.to_json({"choices": [{"index": 0, "delta": delta}]})
        return chunk, item.response_usage

    def items(self, call: Call, span: LiveSpan, items: list[tuple[str, Any]]) -> None:  # noqa: ARG002
        chunks = [_numbered(chunk, number) for number, (chunk, _) in enumerate(items)]
        choices = json.loads(_native.dialect_fold("openai.chat", chunks)).get("choices") or [{}]
        message = choices[0].get("message") or {}
        whole = _message(message.get("content"), message.get("tool_calls"))
        span.set_outputs({"messages": [whole]})
        _count(span, next((usage for _, usage in reversed(items) if usage), None))


def _each(messages: Any) -> list[Any]:
    return [m.to_dict() if hasattr(m, "to_dict") else m for m in messages or ()]


def _message(content: Any, tool_calls: Any) -> dict[str, Any]:
    found = {"role": "assistant", "content": content, "tool_calls": tool_calls}
    return {key: value for key, value in found.items() if value}


def _numbered(chunk: str, number: int) -> str:
    """Give numbers to tool calls that came whole; those that came in parts have them."""
    if '"tool_calls"' not in chunk:
        return chunk
    value = json.loads(chunk)
    for position, tool_call in enumerate(value["choices"][0]["delta"]["tool_calls"]):
        tool_call.setdefault("index", number * 1000 + position)
    return json.dumps(value)


def _count(span: LiveSpan, used: Any) -> None:
    if not used:
        return
    usage = token_usage(
        used.input_tokens,
        used.output_tokens,
        used.total_tokens,
        cache_read=used.cache_read_tokens or None,
        cache_creation=used.cache_write_tokens or None,
    )
    if usage:
        span.set_attribute(USAGE, usage)


def trace_models(integration: Integration) -> None:
    """Trace the calls of all models: where the base class makes them, from version 2.3.9 on."""
    wrap = traced(integration, _Model())
    integration.replace((f"{_BASE}:Model._{name}_with_retry" for name in _METHODS), wrap)

    def of_every_class(module: ModuleType) -> Undo | None:
        base = module.Model
        if hasattr(base, f"_{_METHODS[0]}_with_retry"):
            return None
        undo: list[Undo] = []

        def replace(model: Any) -> None:
            found = (patch(model, name, wrap) for name in _METHODS if name in vars(model))
            undo.extend(restore for restore in found if restore is not None)

        def replace_below(model: Any) -> None:
            for below in model.__subclasses__():
                replace(below)
                replace_below(below)

        def __init_subclass__(model: Any, /, **options: Any) -> None:  # noqa: N807
            super(base, model).__init_subclass__(**options)
            replace(model)

        replace_below(base)
        base.__init_subclass__ = classmethod(__init_subclass__)

        def restore_all() -> None:
            del base.__init_subclass__
            while undo:
                undo.pop()()

        return restore_all

    integration.install(_BASE, of_every_class)
