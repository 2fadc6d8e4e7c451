"""smolagents: runs of agents, calls of models and tools as spans.

ToolCallingAgent.run [AGENT] > OpenAIModel.generate [CHAT_MODEL], SimpleTool.__call__ [TOOL]
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.integrations.calls import Spec, traced
from mlflow_trace.integrations.model_facts import USAGE, token_usage
from mlflow_trace.integrations.models import FORMAT, MODEL
from mlflow_trace.integrations.registry import Integration

if TYPE_CHECKING:
    from mlflow_trace._native import LiveSpan
    from mlflow_trace.integrations.calls import Call

__all__ = ["autolog"]


class _Named(Spec):
    def __init__(self, span_type: str) -> None:
        self.span_type = span_type

    def name(self, call: Call) -> str | None:
        return f"{type(call.instance).__name__}.{call.function.__name__}"

    def result(self, call: Call, span: LiveSpan, content: Any) -> None:  # noqa: ARG002
        span.set_outputs(_members(content))


class _Run(_Named):
    def begin(self, call: Call, span: LiveSpan) -> None:
        agent = call.instance
        span.set_inputs({k: v for k, v in call.arguments().items() if v is not None})
        attributes = {
            "agent_name": getattr(agent, "name", None) or type(agent).__name__,
            "description": getattr(agent, "description", None),
            "max_steps": agent.max_steps,
            "tools": sorted(agent.tools),
            "managed_agents": sorted(agent.managed_agents),
        }
        span.set_attributes({key: value for key, value in attributes.items() if value})

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> None:  # noqa: ARG002
        final = (item for item in reversed(items) if type(item).__name__ == "FinalAnswerStep")
        if (last := next(final, None)) is not None:
            span.set_outputs(_members(last.output))


class _Tool(_Named):
    def begin(self, call: Call, span: LiveSpan) -> None:
        given = {k: v for k, v in call.kwargs.items() if k != "sanitize_inputs_outputs"}
        if len(call.args) > 1:
            given["args"] = call.args[1:]
        span.set_inputs(given)
        tool = call.instance
        span.set_attributes({"name": tool.name, "description": tool.description})


class _Model(_Named):
    """A call of a model; one that is made inside another, as by `__call__`, is part of it."""

    def name(self, call: Call) -> str | None:
        return None if _native.is_covered() else super().name(call)

    def begin(self, call: Call, span: LiveSpan) -> None:
        inputs = call.arguments()
        if call.function.__name__ == "__call__" and len(call.args) > 1:
            inputs = {"args": call.args[1:], **call.kwargs}
        tools = [each for each in inputs.get("tools_to_call_from") or () if hasattr(each, "inputs")]
        if tools:
            write = sys.modules["smolagents.models"].get_tool_json_schema
            inputs["tools_to_call_from"] = [tool.name for tool in tools]
            tools = [write(tool) for tool in tools]
        inputs["messages"] = [_members(each) for each in inputs.get("messages") or ()]
        inputs = {key: value for key, value in inputs.items() if value not in (None, [])}
        described = {"tools": tools, "model": call.instance.model_id}
        _native.record_request(span, "openai.chat", inputs, described)
        span.set_attributes({FORMAT: "smolagents", "model_id": call.instance.model_id})

    def result(self, call: Call, span: LiveSpan, content: Any) -> None:
        super().result(call, span, content)
        used = getattr(content, "token_usage", None)
        raw = getattr(getattr(content, "raw", None), "usage", None)
        usage = None
        if raw is not None:
            told = _native.to_json({"usage": raw})
            usage = json.loads(_native.dialect_reply("openai.chat", told)).get("usage")
        # Joined of a stream that did not tell them, there are none.
        elif used is not None and (used.input_tokens or used.output_tokens):
            usage = token_usage(used.input_tokens, used.output_tokens)
        if usage:
            span.set_attribute(USAGE, usage)
        model = getattr(getattr(content, "raw", None), "model", None)
        if isinstance(model, str):
            span.set_attribute(MODEL, model)

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> None:
        join = sys.modules["smolagents.models"].agglomerate_stream_deltas
        self.result(call, span, join(items))


def _members(value: Any) -> Any:
    """Return what an object holds, as MLflow records it."""
    return {**vars(value)} if hasattr(value, "__dict__") else value


_MODELS = (
    "VLLMModel",
    "MLXModel",
    "TransformersModel",
    "LiteLLMModel",
    "InferenceClientModel",
    "OpenAIModel",
    "OpenAIServerModel",
    "AmazonBedrockModel",
)
integration = Integration("smolagents")
integration.replace(["smolagents.agents:MultiStepAgent.run"], traced(integration, _Run("AGENT")))
integration.replace(["smolagents.tools:Tool.__call__"], traced(integration, _Tool("TOOL")))
integration.replace(
    (
        "smolagents.models:Model.__call__",
        *(
            f"smolagents.models:{model}.{method}"
            for model in _MODELS
            for method in ("generate", "generate_stream")
        ),
    ),
    traced(integration, _Model("CHAT_MODEL")),
)


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace what runs with smolagents, or stop doing so.

    Works before and after the import of smolagents, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own functions.
        silent: Log nothing about parts of a run that could not be recorded.

    """
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)
