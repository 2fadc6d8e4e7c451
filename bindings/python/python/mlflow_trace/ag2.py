"""AG2: chats, replies, tools and calls of models as spans, in version 0 (`autogen`) and since 1.

    0.x  initiate_chat [UNKNOWN] > an agent's reply [AGENT] > chat_completion [LLM], its tool [TOOL]
    1.x  an agent's turn [AGENT] > chat_completion [CHAT_MODEL], its tool [TOOL]

Of version 0, methods are replaced. Since version 1, every agent that is made gets a middleware.
"""

from __future__ import annotations

import functools
import inspect
import json
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mlflow_trace import _native
from mlflow_trace.integrations.ag2_middleware import add_to_new_agents
from mlflow_trace.integrations.calls import Spec, traced
from mlflow_trace.integrations.models import FORMAT, MODEL, dump
from mlflow_trace.integrations.registry import Integration

if TYPE_CHECKING:
    from mlflow_trace._native import LiveSpan
    from mlflow_trace.integrations.calls import Call

__all__ = ["autolog"]

integration = Integration("ag2")
_signature = functools.cache(inspect.signature)
_AG2 = {FORMAT: "ag2"}
# What of a model's configuration is its request; the rest has keys and addresses.
_REQUEST = (
    "frequency_penalty",
    "function_call",
    "functions",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
)
# The last reply of an agent. Asynchronous ones have their model called by a thread that does not
# know the context; the call has the agent.
_replies: WeakKeyDictionary[Any, LiveSpan] = WeakKeyDictionary()


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace what agents of AG2 do, or stop doing so.

    Works before and after the import of AG2; agents of version 1 and later are traced if they were
    made after it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own functions.
        silent: Log nothing about parts of a call that could not be recorded.

    """
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)


class _Chat(Spec):
    """A conversation of two agents."""

    def name(self, call: Call) -> str:
        return call.function.__name__

    def begin(self, call: Call, span: LiveSpan) -> None:
        bound = _signature(call.function).bind(*call.args, **call.kwargs)
        bound.apply_defaults()
        inputs = {key: value for key, value in bound.arguments.items() if key != "self"}
        inputs["recipient"] = _name(inputs.get("recipient"))
        span.set_inputs(inputs)
        span.set_attributes(_AG2)


class _Reply(Spec):
    """An agent's answer to another's message."""

    span_type = "AGENT"

    def name(self, call: Call) -> str | None:
        # A manager lets others speak.
        kinds = {kind.__name__ for kind in type(call.instance).__mro__}
        return None if "GroupChatManager" in kinds else _name(call.instance)

    def begin(self, call: Call, span: LiveSpan) -> None:
        _replies[call.instance] = span
        span.set_attributes(_AG2)
        arguments = call.arguments()
        sender = arguments.get("sender")
        messages = arguments.get("messages")
        if not messages:
            messages = call.instance.chat_messages.get(sender)
        message = messages[-1] if messages else None
        named = _name(sender)
        span.set_inputs({"message": _plain(message, named), "sender": named, "valid": True})

    def result(self, call: Call, span: LiveSpan, result: Any) -> None:
        span.set_outputs({"message": result, "sender": _name(call.instance), "valid": True})


class _Tool(Spec):
    """A call of a function that an agent may execute."""

    span_type = "TOOL"

    def name(self, call: Call) -> str:
        return str(call.arguments()["func_call"].get("name"))

    def begin(self, call: Call, span: LiveSpan) -> None:
        span.set_attributes(_AG2)
        given = call.arguments()["func_call"].get("arguments") or "{}"
        try:
            span.set_inputs(json.loads(given))
        except ValueError:
            span.set_inputs(given)

    def result(self, call: Call, span: LiveSpan, result: Any) -> str | None:  # noqa: ARG002
        succeeded, answer = result
        content = answer.get("content")
        span.set_outputs(content)
        if succeeded:
            return None
        # AG2 passes on the text of the exception alone.
        failure = str(content).removeprefix("Error: ")
        span.record_exception(failure)
        return failure


class _Model(Spec):
    """A call of a model, by whichever of the configured clients answers."""

    span_type = "LLM"

    def name(self, call: Call) -> str:  # noqa: ARG002
        return "chat_completion"

    def parent(self, call: Call) -> LiveSpan | None:
        if _native.get_current_active_span() is not None:
            return None
        reply = _replies.get(call.kwargs.get("agent"))
        return None if reply is None or reply._order() is None else reply

    def begin(self, call: Call, span: LiveSpan) -> None:
        given = _request(call)
        inputs = {key: given[key] for key in _REQUEST if given.get(key) is not None}
        _native.record_request(span, "openai.chat", inputs)
        span.set_attributes({**_AG2, "source": _name(call.kwargs.get("agent"))})

    def result(self, call: Call, span: LiveSpan, content: Any) -> str | None:
        own = {"config_id", "message_retrieval_function", "pass_filter"}
        failure = _native.record_reply(span, "openai.chat", dump(content, exclude=own), True)
        # MLflow has the model that was asked for, and not its dated name.
        asked, cost = _request(call).get("model"), getattr(content, "cost", None)
        found = {MODEL: asked, "cost": cost}
        span.set_attributes({key: value for key, value in found.items() if value is not None})
        return failure


def _request(call: Call) -> dict[str, Any]:
    """Return what was asked of a model, by its configuration and by the call."""
    configured: list[dict[str, Any]] = getattr(call.instance, "_config_list", None) or [{}]
    return {**configured[0], **(call.kwargs.get("config") or {}), **call.kwargs}


def _name(agent: Any) -> Any:
    return getattr(agent, "name", None)


def _plain(message: Any, sender: Any) -> Any:
    """Return the text of a message that says nothing else: no calls, nobody but its sender."""
    if not isinstance(message, dict) or not message.get("content"):
        return message
    is_more = message.get("tool_calls") or message.get("role") == "tool"
    is_passed_on = sender is not None and message.get("name", sender) != sender
    return message if is_more or is_passed_on else message["content"]


for _spec, _method in (
    (_Chat(), "initiate_chat"),
    (_Reply(), "generate_reply"),
    (_Tool(), "execute_function"),
):
    _agent = "autogen.agentchat.conversable_agent:ConversableAgent"
    integration.replace(
        (f"{_agent}.{_method}", f"{_agent}.a_{_method}"), traced(integration, _spec)
    )
integration.replace(["autogen.oai.client:OpenAIWrapper.create"], traced(integration, _Model()))
add_to_new_agents(integration)
