"""Semantic Kernel: kernels, agents, functions and models as spans.

Kernel.invoke [AGENT] > execute_tool greet [TOOL] > chat gpt-4o-mini [CHAT_MODEL]
invoke_agent Helper [AGENT] > AutoFunctionInvocationLoop > chat gpt-4o-mini, execute_tool look_up
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

from mlflow_trace.integrations.calls import Spec, traced
from mlflow_trace.integrations.model_facts import TOOLS, USAGE, chat_tools, token_usage
from mlflow_trace.integrations.models import MODEL, PROVIDER
from mlflow_trace.integrations.registry import Integration

if TYPE_CHECKING:
    from mlflow_trace._native import LiveSpan
    from mlflow_trace.integrations.calls import Call

__all__ = ["autolog"]

integration = Integration("semantic_kernel")


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace what runs with Semantic Kernel, or stop doing so.

    Works before and after the import of Semantic Kernel, and does not import it. The settings of
    its own diagnostics stay as they are.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own functions.
        silent: Log nothing about parts of a run that could not be recorded.

    """
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)


class _Kernel(Spec):
    """A function or a prompt that is run by its kernel."""

    span_type = "AGENT"

    def name(self, call: Call) -> str | None:
        return f"Kernel.{call.function.__name__}"

    def begin(self, call: Call, span: LiveSpan) -> None:
        given = {key: _plain(value) for key, value in call.arguments().items()}
        span.set_inputs({key: value for key, value in given.items() if value is not None})

    def result(self, call: Call, span: LiveSpan, content: Any) -> None:  # noqa: ARG002
        span.set_outputs(_plain(content))

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> None:  # noqa: ARG002
        # With `return_function_results`, the last is the result again.
        pieces = [item for item in items if type(item).__name__ != "FunctionResult"]
        span.set_outputs(_joined(pieces))


class _Function(_Kernel):
    span_type = "TOOL"

    def name(self, call: Call) -> str | None:
        return f"execute_tool {call.instance.fully_qualified_name}"

    def begin(self, call: Call, span: LiveSpan) -> None:
        given = call.arguments()
        given.pop("kernel", None)
        about = given.pop("metadata", None)
        arguments = given.pop("arguments", None)
        span.set_inputs({**(arguments or {}), **given})
        attributes = {
            "gen_ai.tool.call.id": about.get("id") if isinstance(about, dict) else None,
            "gen_ai.tool.description": call.instance.description or None,
        }
        span.set_attributes({key: value for key, value in attributes.items() if value is not None})


class _Agent(_Kernel):
    def name(self, call: Call) -> str | None:
        return f"invoke_agent {call.instance.name}"

    def begin(self, call: Call, span: LiveSpan) -> None:
        super().begin(call, span)
        agent = call.instance
        attributes = {"gen_ai.agent.id": agent.id, "gen_ai.agent.name": agent.name}
        if agent.description:
            attributes["gen_ai.agent.description"] = agent.description
        span.set_attributes(attributes)

    def result(self, call: Call, span: LiveSpan, content: Any) -> None:  # noqa: ARG002
        span.set_outputs([_plain(content)])

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> None:
        messages = [getattr(item, "message", item) for item in items]
        if call.function.__name__ == "invoke_stream":
            span.set_outputs(_joined([[message] for message in messages]))
        else:
            span.set_outputs([_plain(message) for message in messages])


class _Model(Spec):
    """A request to a model, as its service makes it."""

    def __init__(self, operation: str, span_type: str) -> None:
        self.operation, self.span_type = operation, span_type

    def name(self, call: Call) -> str | None:
        return f"{self.operation} {call.instance.ai_model_id}"

    def begin(self, call: Call, span: LiveSpan) -> None:
        given = call.arguments()
        prompt = given.get("chat_history", given.get("prompt"))
        span.set_inputs(_plain(prompt) if self.span_type == "CHAT_MODEL" else {"prompt": prompt})
        service, settings = call.instance, given.get("settings")
        attributes = {
            MODEL: service.ai_model_id,
            PROVIDER: getattr(service, "MODEL_PROVIDER_NAME", None),
        }
        names = ("temperature", "top_p", "top_k", "max_tokens", "seed", "stop_sequences")
        attributes |= {name: getattr(settings, name, None) for name in names}
        if tools := chat_tools(getattr(settings, "tools", None)):
            attributes[TOOLS] = tools
        span.set_attributes({key: value for key, value in attributes.items() if value is not None})

    def result(self, call: Call, span: LiveSpan, content: Any) -> None:  # noqa: ARG002
        span.set_outputs({"messages": _plain(content)})
        _count(span, content)

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> None:  # noqa: ARG002
        whole = _whole(items)
        span.set_outputs({"messages": _plain(whole)})
        _count(span, whole)


_CHAT = _Model("chat", "CHAT_MODEL")
_TEXT = _Model("text_completions", "LLM")
# What services make their requests by, which each class of them defines.
_REQUESTS = {
    "_inner_get_chat_message_contents": _CHAT,
    "_inner_get_streaming_chat_message_contents": _CHAT,
    "_inner_get_text_contents": _TEXT,
    "_inner_get_streaming_text_contents": _TEXT,
}


class _Service(Spec):
    """What a program asks a service for; it may make several requests, and call functions between.

    Traces the requests of whatever class the service has, also one of the program's own.
    """

    def name(self, call: Call) -> str | None:
        service = type(call.instance)
        for request, spec in _REQUESTS.items():
            if hasattr(service, request):
                integration.replace_in(service, request, traced(integration, spec))
        return "AutoFunctionInvocationLoop" if _is_loop(call) else None

    def begin(self, call: Call, span: LiveSpan) -> None:
        given = call.arguments()
        config = given["settings"].function_choice_behavior.get_config(given["kernel"])
        names = [each.fully_qualified_name for each in config.available_functions or ()]
        span.set_attribute("sk.available_functions", ",".join(names))

    def result(self, call: Call, span: LiveSpan, content: Any) -> None:
        """Record nothing: it is what the last request has answered."""

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> None:
        """Record nothing, likewise."""


def _is_loop(call: Call) -> bool:
    given = call.arguments()
    choice = getattr(given.get("settings"), "function_choice_behavior", None)
    is_automatic = getattr(choice, "auto_invoke_kernel_functions", False)
    return bool(is_automatic) and given.get("kernel") is not None


def _plain(value: Any) -> Any:
    """Write messages and results in the way in which their library writes them for models."""
    kind = type(value).__name__
    if kind == "FunctionResult":
        return _plain(value.value)
    if kind == "AgentResponseItem":
        return _plain(value.message)
    if hasattr(value, "messages"):
        return {"messages": [_plain(message) for message in value.messages]}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    write = getattr(value, "to_dict", None)
    return value if write is None else write()


def _whole(items: list[Any]) -> list[Any]:
    """Join the pieces of a stream; each item has one for every choice."""
    choices: dict[int, list[Any]] = {}
    for item in items:
        for piece in item if isinstance(item, list) else [item]:
            choices.setdefault(getattr(piece, "choice_index", 0), []).append(piece)
    return [functools.reduce(operator.add, pieces) for pieces in choices.values()]


def _joined(items: list[Any]) -> Any:
    return _plain(_whole(items))


def _count(span: LiveSpan, completions: list[Any]) -> None:
    metadata = getattr(completions[0], "metadata", None) if completions else None
    used = (metadata or {}).get("usage")
    details = getattr(used, "prompt_tokens_details", None)
    usage = token_usage(
        getattr(used, "prompt_tokens", None),
        getattr(used, "completion_tokens", None),
        cache_read=getattr(details, "cached_tokens", None),
    )
    # A stream that is left has told none.
    if usage and usage["total_tokens"]:
        span.set_attribute(USAGE, usage)


_AGENTS = (
    "chat_completion.chat_completion_agent:ChatCompletionAgent",
    "open_ai.openai_assistant_agent:OpenAIAssistantAgent",
    "open_ai.openai_responses_agent:OpenAIResponsesAgent",
    "azure_ai.azure_ai_agent:AzureAIAgent",
    "bedrock.bedrock_agent:BedrockAgent",
    "autogen.autogen_conversable_agent:AutoGenConversableAgent",
    "copilot_studio.copilot_studio_agent:CopilotStudioAgent",
)
_SERVICES = (
    "chat_completion_client_base:ChatCompletionClientBase.get_chat_message_contents",
    "chat_completion_client_base:ChatCompletionClientBase.get_streaming_chat_message_contents",
    "text_completion_client_base:TextCompletionClientBase.get_text_contents",
    "text_completion_client_base:TextCompletionClientBase.get_streaming_text_contents",
)
_RUNS = ("invoke", "invoke_prompt", "invoke_stream", "invoke_prompt_stream")
integration.replace(
    [f"semantic_kernel.kernel:Kernel.{method}" for method in _RUNS],
    traced(integration, _Kernel()),
)
integration.replace(
    [
        f"semantic_kernel.functions.kernel_function:KernelFunction.{method}"
        for method in ("invoke", "invoke_stream")
    ],
    traced(integration, _Function()),
)
integration.replace(
    [
        f"semantic_kernel.agents.{agent}.{method}"
        for agent in _AGENTS
        for method in ("get_response", "invoke", "invoke_stream")
    ],
    traced(integration, _Agent()),
)
integration.replace(
    [f"semantic_kernel.connectors.ai.{method}" for method in _SERVICES],
    traced(integration, _Service()),
)
