"""What LangChain hands to callbacks, in the shapes that are recorded.

Messages, choices and tools are written as OpenAI's API has them, which is what MLflow's pages draw.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlflow_trace.integrations.model_facts import TOOLS, chat_tools, token_usage
from mlflow_trace.integrations.models import FORMAT, MODEL, PROVIDER

if TYPE_CHECKING:
    from collections.abc import Iterable

# LangChain's types of messages are those of OpenAI's roles, but for these.
_ROLES = {"human": "user", "ai": "assistant"}
# Subtypes of audio media types that OpenAI's API names otherwise.
_AUDIO = {"x-wav": "wav", "mpeg": "mp3"}
_UNRECORDED = ("extra_headers", "default_headers")


def chat_message(message: Any) -> dict[str, Any]:
    """Write a message as one of OpenAI's."""
    kind = message.type.removesuffix("MessageChunk").lower()
    role = getattr(message, "role", None) or _ROLES.get(kind, kind)
    out: dict[str, Any] = {"role": role, "content": _content(message.content)}
    if calls := _tool_calls(message):
        # Anthropic's models repeat tool calls in the content.
        if isinstance(message.content, list):
            out["content"] = [part for part in out["content"] if _type_of(part) != "tool_use"]
        out["content"] = out["content"] or None
        out["tool_calls"] = calls
    if (answered := getattr(message, "tool_call_id", None)) is not None:
        out["tool_call_id"] = answered
    return out


def _type_of(part: Any) -> Any:
    return part.get("type") if isinstance(part, dict) else None


def _content(content: Any) -> Any:
    return [_part(part) for part in content] if isinstance(content, list) else content


def _part(part: Any) -> Any:
    if _type_of(part) == "audio" and part.get("source_type") == "base64" and "data" in part:
        subtype = str(part.get("mime_type", "")).rpartition("/")[2].partition(";")[0].strip()
        audio = {"data": part["data"], "format": _AUDIO.get(subtype, subtype)}
        return {"type": "input_audio", "input_audio": audio}
    return part


def _tool_calls(message: Any) -> list[dict[str, Any]]:
    calls = [
        _tool_call(call["id"], call["name"], json.dumps(call["args"], default=str))
        for call in getattr(message, "tool_calls", None) or ()
    ]
    calls += [
        _tool_call(call["id"], call["name"], call["args"])
        for call in getattr(message, "invalid_tool_calls", None) or ()
    ]
    return calls or (getattr(message, "additional_kwargs", None) or {}).get("tool_calls") or []


def _tool_call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def chat_request(prompts: list[list[Any]]) -> Any:
    """Write the prompts of a chat model; several at once stay as they are, apart."""
    if len(prompts) != 1:
        return prompts
    return {"messages": [chat_message(message) for message in prompts[0]]}


def model_reply(generations: list[list[Any]], audio_format: Any = None) -> dict[str, Any]:
    """Write what a model answered to one prompt."""
    choices = [
        {"message": _answer(generation, audio_format), "finish_reason": None}
        for answers in generations
        for generation in answers
    ]
    return {"choices": choices}


def _answer(generation: Any, audio_format: Any) -> dict[str, Any]:
    message = getattr(generation, "message", None)
    if message is None:
        return {"role": "assistant", "content": generation.text}
    out = chat_message(message)
    audio = (getattr(message, "additional_kwargs", None) or {}).get("audio")
    if not out["content"] and isinstance(audio, dict) and "transcript" in audio:
        out["content"] = audio["transcript"]
        if audio_format and "data" in audio:
            sound = {"data": audio["data"], "format": audio_format}
            text = {"type": "text", "text": audio["transcript"]}
            out["content"] = [text, {"type": "input_audio", "input_audio": sound}]
    return out


def has_content(answers: Iterable[Any]) -> bool:
    """Tell whether a model has answered anything."""
    messages = [getattr(answer, "message", answer) for answer in answers]
    return any(getattr(m, "text", None) or getattr(m, "tool_calls", None) for m in messages)


def reply_usage(generations: list[list[Any]], llm_output: Any) -> dict[str, int] | None:
    """Count the tokens of an answer.

    The answers to one prompt all have the count of their one call, the chunks of a stream the count
    so far. A completion has no message; its count is with the whole.
    """
    counts = [found[-1] for answers in generations if (found := list(_counts(answers)))]
    if not counts and isinstance(llm_output, dict) and llm_output.get("token_usage"):
        counts = [llm_output["token_usage"]]
    usages = [usage for count in counts if (usage := _usage(count)) is not None]
    keys = dict.fromkeys(key for usage in usages for key in usage)
    return {key: sum(usage.get(key, 0) for usage in usages) for key in keys} or None


def _counts(answers: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for generation in answers:
        message = getattr(generation, "message", None)
        rest = getattr(message, "response_metadata", None) or {}
        count = getattr(message, "usage_metadata", None) or rest.get("usage")
        if count := count or rest.get("token_usage"):
            yield count


def _usage(count: dict[str, Any]) -> dict[str, int] | None:
    inputs = count.get("input_token_details") or count.get("prompt_tokens_details") or {}
    lifetimes = {key: inputs[key] for key in inputs if key.startswith("ephemeral_") and inputs[key]}
    creation = inputs.get("cache_creation", count.get("cache_creation_input_tokens"))
    if lifetimes:
        # By lifetime, `cache_creation` is 0: LangChain would count it twice.
        creation = creation or sum(lifetimes.values())
    read = inputs.get("cache_read", inputs.get("cached_tokens"))
    return token_usage(
        count.get("input_tokens", count.get("prompt_tokens")),
        count.get("output_tokens", count.get("completion_tokens")),
        count.get("total_tokens"),
        cache_read=count.get("cache_read_input_tokens") if read is None else read,
        cache_creation=creation,
        cache_creation_above_1hr=lifetimes.get("ephemeral_1h_input_tokens"),
    )


def model_attributes(
    parameters: dict[str, Any] | None, metadata: dict[str, Any] | None
) -> dict[str, Any]:
    """Return model, provider, tools and format of messages of a model's call."""
    parameters, metadata = parameters or {}, metadata or {}
    kind = str(parameters.get("_type") or "").removesuffix("-chat").removeprefix("chat-")
    model = metadata.get("ls_model_name") or parameters.get("model") or parameters.get("model_name")
    found = {
        FORMAT: "langchain",
        MODEL: model,
        PROVIDER: metadata.get("ls_provider") or kind,
        TOOLS: chat_tools(parameters.get("tools")),
    }
    return {key: value for key, value in found.items() if value}


def parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a call's parameters what is not to be recorded."""
    kept = {key: value for key, value in given.items() if key not in _UNRECORDED}
    schema = getattr(kept.get("response_format"), "model_json_schema", None)
    if schema is not None:
        kept["response_format"] = schema()
    return kept


def documents(found: Iterable[Any]) -> list[dict[str, Any]]:
    """Write what a retriever found."""
    return [
        {"page_content": item.page_content, "metadata": item.metadata, "id": item.id}
        for item in found
    ]
