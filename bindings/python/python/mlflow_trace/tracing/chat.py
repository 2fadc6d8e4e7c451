"""What chat models are given besides messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_trace.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from mlflow_trace.entities import LiveSpan, NoOpSpan

__all__ = ["set_span_chat_tools"]

_CHAT_TOOLS = "mlflow.chat.tools"


def set_span_chat_tools(span: LiveSpan | NoOpSpan, tools: list[Any]) -> None:
    """Record the tools that a model may call.

    Args:
        span: The span of the call.
        tools: Definitions as OpenAI's API takes them: dictionaries or pydantic models.

    Raises:
        InvalidArgumentError: For anything but a list of such definitions.

    """
    if not isinstance(tools, list):
        message = f"Invalid tools type {type(tools)}. Expected a list of ChatTool."
        raise InvalidArgumentError(message)
    span.set_attribute(_CHAT_TOOLS, [_definition(tool) for tool in tools])


def _definition(tool: Any) -> dict[str, Any]:
    dump = getattr(tool, "model_dump", None)
    definition = tool if dump is None else dump(exclude_unset=True)
    if not isinstance(definition, dict) or not isinstance(definition.get("type"), str):
        message = f"Invalid tool {tool!r}. Expected a definition with a `type`."
        raise InvalidArgumentError(message)
    return definition
