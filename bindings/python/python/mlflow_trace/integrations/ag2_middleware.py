"""The middleware by which agents of AG2, since version 1, tell what they do."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.integrations.calls import Call, Spec
from mlflow_trace.integrations.model_facts import USAGE, token_usage
from mlflow_trace.integrations.models import FORMAT, MODEL, PROVIDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlflow_trace._native import LiveSpan
    from mlflow_trace.integrations.registry import Integration


class _Step(Spec):
    """What goes through the middleware; `call.args` are the event and its context."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self, call: Call) -> str:  # noqa: ARG002
        return self._name


class _Turn(_Step):
    span_type = "AGENT"

    def begin(self, call: Call, span: LiveSpan) -> None:
        span.set_inputs({"messages": messages(call.args[:1])})

    def result(self, call: Call, span: LiveSpan, result: Any) -> None:  # noqa: ARG002
        span.set_outputs(result.content)


class _Model(_Step):
    span_type = "CHAT_MODEL"

    def begin(self, call: Call, span: LiveSpan) -> None:
        span.set_attribute(FORMAT, "ag2")
        _native.record_request(span, None, {"messages": messages(call.args[0])})

    def result(self, call: Call, span: LiveSpan, result: Any) -> None:  # noqa: ARG002
        span.set_outputs({"choices": [{"message": message} for message in messages([result])]})
        usage = result.usage
        counts = usage and token_usage(
            _whole(usage.prompt_tokens),
            _whole(usage.completion_tokens),
            _whole(usage.total_tokens),
            cache_read=_whole(usage.cache_read_input_tokens),
            cache_creation=_whole(usage.cache_creation_input_tokens),
        )
        found = {MODEL: result.model, PROVIDER: result.provider, USAGE: counts}
        span.set_attributes({key: value for key, value in found.items() if value})


class _Tool(_Step):
    span_type = "TOOL"

    def begin(self, call: Call, span: LiveSpan) -> None:
        given = call.args[0].arguments or "{}"
        try:
            span.set_inputs(json.loads(given))
        except ValueError:
            span.set_inputs(given)

    def result(self, call: Call, span: LiveSpan, result: Any) -> str | None:  # noqa: ARG002
        span.set_outputs(_text(result.result))
        error = getattr(result, "error", None)
        if error is None:
            return None
        span.record_exception(error if isinstance(error, BaseException) else str(error))
        return str(error)


def _whole(count: float | None) -> int | None:
    return None if count is None else int(count)


def _text(result: Any) -> str:
    """Return the text of what a tool gave."""
    parts = (getattr(part, "content", None) or getattr(part, "data", "") for part in result.parts)
    return "\n".join(str(part) for part in parts)


def messages(events: Iterable[Any]) -> list[Any]:
    """Write AG2's events as messages of OpenAI's; those that are no messages are left out."""
    found: list[Any] = []
    for event in events:
        kind = type(event).__name__
        if kind == "ModelRequest":
            found += [part.to_api() for part in event.parts if hasattr(part, "to_api")]
        elif kind == "ModelResponse":
            found.append(_answer(event))
        elif kind == "ToolResultsEvent":
            found += [
                {"role": "tool", "tool_call_id": result.parent_id, "content": _text(result.result)}
                for result in event.results
            ]
    return found


def _answer(response: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": response.content}
    if response.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in response.tool_calls.calls
        ]
    return message


@functools.cache
def _middleware(integration: Integration) -> type:
    """Make the class, once AG2 is there."""
    from ag2.middleware import BaseMiddleware

    async def step(spec: Spec, follow: Callable[..., Any], event: Any, context: Any) -> Any:
        if not integration.on:
            return await follow(event, context)
        call = Call(integration, spec, follow, (event, context), {})
        return await call.wait_for(follow(event, context))

    class Tracing(BaseMiddleware):  # type: ignore[misc]
        def __init__(self, event: Any, context: Any, agent: str = "agent") -> None:
            super().__init__(event, context)
            self._agent = agent

        async def on_turn(self, call_next: Any, event: Any, context: Any) -> Any:
            return await step(_Turn(self._agent), call_next, event, context)

        async def on_llm_call(self, call_next: Any, events: Any, context: Any) -> Any:
            return await step(_Model("chat_completion"), call_next, events, context)

        async def on_tool_execution(self, call_next: Any, event: Any, context: Any) -> Any:
            return await step(_Tool(str(event.name)), call_next, event, context)

    return Tracing


def add_to_new_agents(integration: Integration) -> None:
    """Have agents that are made while the integration is on tell what they do."""

    def wrap(make: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(make)
        def __init__(agent: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            make(agent, *args, **kwargs)
            if not integration.on:
                return
            try:
                from ag2.middleware import Middleware

                # The outermost: it sees what the others do.
                agent.insert_middleware(Middleware(_middleware(integration), agent=agent.name))
            except Exception as error:  # noqa: BLE001 - the agent works without it
                integration.report("middleware", error)

        return __init__

    integration.replace(["ag2.agent:Agent.__init__"], wrap)
