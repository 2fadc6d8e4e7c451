"""What frameworks tell about calls of models, as MLflow has it."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native

if TYPE_CHECKING:
    from collections.abc import Iterable

TOOLS = "mlflow.chat.tools"
USAGE = "mlflow.chat.tokenUsage"


def token_usage(
    input_tokens: int | None,
    output_tokens: int | None,
    total_tokens: int | None = None,
    *,
    cache_read: int | None = None,
    cache_creation: int | None = None,
    cache_creation_above_1hr: int | None = None,
) -> dict[str, int] | None:
    """Return the value of `mlflow.chat.tokenUsage`; None if nothing was counted.

    Args:
        input_tokens: Tokens of the prompt, cached ones included.
        output_tokens: Tokens of the answer.
        total_tokens: Both; their sum by default.
        cache_read: Tokens of the prompt that were read from a cache.
        cache_creation: Tokens of the prompt that were written to a cache.
        cache_creation_above_1hr: Those of them that stay there for an hour.

    """
    if not isinstance(input_tokens, int) and not isinstance(output_tokens, int):
        return None
    read, written = input_tokens or 0, output_tokens or 0
    usage: dict[str, int | None] = {
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": read + written if total_tokens is None else total_tokens,
        "cache_read_input_tokens": cache_read,
        "cache_creation_input_tokens": cache_creation,
        "cache_creation_input_tokens_above_1hr": cache_creation_above_1hr,
    }
    return {key: value for key, value in usage.items() if value is not None}


def chat_tools(tools: Iterable[Any] | None) -> list[Any]:
    """Return the value of `mlflow.chat.tools`, of the declarations of any provider."""
    declared = list(tools or ())
    return _tools_of(_native.to_json({"tools": declared})) if declared else []


# A program declares the same tools again and again.
@functools.lru_cache(maxsize=64)
def _tools_of(request: str) -> list[Any]:
    found: list[Any] = json.loads(_native.dialect_request("openai.chat", request)).get("tools", [])
    return found
