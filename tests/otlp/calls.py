"""The same spans by MLflow's SDK and by ours, each with its exporter for collectors.

Run as a program with the name of the library; MLflow's spans are printed, as its exporter would get them.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any
from unittest import mock

USAGE = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {}}}

OPENAI = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is thìs?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                {"type": "input_audio", "input_audio": {"format": "wav", "data": "d2F2"}},
                {"type": "file", "file": {"file_id": "f1"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "function": {"name": "add", "arguments": '{"x": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "assistant", "audio": {"transcript": "two"}},
    ],
    "temperature": 0.5,
    "max_tokens": 10,
    "top_p": 1,
    "stop": "end",
    "tools": [TOOL],
}
OPENAI_REPLY = {
    "id": "r1",
    "model": "gpt-4o-2024",
    "choices": [
        {
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "One moment.",
                "tool_calls": [{"id": "c2", "function": {"name": "add", "arguments": "{bad"}}],
            },
        },
        {"finish_reason": None, "delta": {"role": "assistant", "content": "part"}},
    ],
}
RESPONSES = {
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": "https://example.org/b.png"}],
        },
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"x": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "2"},
    ],
    "instructions": "Be brief.",
    "tools": [{"type": "function", "name": "add", "parameters": {}}],
}
RESPONSES_REPLY = {
    "id": "r2",
    "model": "gpt-4o",
    "status": "completed",
    "output": [
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "hi"},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {"type": "function_call", "call_id": "c2", "name": "add", "arguments": "{}"},
        {"type": "reasoning", "summary": []},
    ],
}
ANTHROPIC = {
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [
        {"role": "user", "content": "hi"},
        {
            "role": "user",
            "content": [
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "cG5n"},
                },
                {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}},
                {"type": "image", "source": {"type": "file", "file_id": "f1"}},
                {"type": "thinking", "thinking": "hm"},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "add", "input": {"x": 1}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "2"}]},
    ],
    "max_tokens": 10,
    "stop_sequences": ["end"],
    "tools": [{"name": "add", "input_schema": {}}],
}
ANTHROPIC_REPLY = {
    "id": "m1",
    "model": "claude",
    "role": "assistant",
    "content": [{"type": "text", "text": "hi"}],
}
GEMINI = {
    "contents": [
        {
            "role": "user",
            "parts": [{"text": "hi"}, {"inline_data": {"mime_type": "image/png", "data": "cG5n"}}],
        },
        {"role": "model", "parts": [{"function_call": {"name": "add", "args": {"x": 1}}}]},
        {"role": "user", "parts": [{"function_response": {"name": "add", "response": {"r": 2}}}]},
        {"role": "user", "parts": [{"file_data": {"file_uri": "gs://a"}}, {"other": 1}]},
    ],
    "config": {
        "system_instruction": {"parts": [{"text": "Be brief."}]},
        "max_output_tokens": 10,
        "temperature": 0,
        "stop_sequences": ["end"],
    },
}
GEMINI_REPLY = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}}]}
BEDROCK = {
    "system": [{"text": "Be brief."}],
    "messages": [
        {
            "role": "user",
            "content": [{"text": "hi"}, {"image": {"format": "png", "source": {"bytes": "cG5n"}}}],
        },
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "c1", "name": "add", "input": {"x": 1}}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "c1",
                        "content": [{"json": {"r": 2}}, {"text": "two"}],
                    }
                }
            ],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "c2", "content": [{"text": "one"}]}}],
        },
    ],
    "inferenceConfig": {"maxTokens": 10, "temperature": 0.1, "topP": 0.9, "stopSequences": ["end"]},
    "toolConfig": {
        "tools": [{"toolSpec": {"name": "add", "description": "adds", "inputSchema": {"json": {}}}}]
    },
}
BEDROCK_REPLY = {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}}

FORMAT = "mlflow.message.format"
# Name, type, inputs, outputs, attributes.
CALLS: list[tuple[str, str, Any, Any, dict[str, Any]]] = [
    (
        "openai",
        "CHAT_MODEL",
        OPENAI,
        OPENAI_REPLY,
        {FORMAT: "openai", "mlflow.llm.model": "gpt-4o"},
    ),
    ("responses", "CHAT_MODEL", RESPONSES, RESPONSES_REPLY, {FORMAT: "openai"}),
    ("responses-text", "CHAT_MODEL", {"input": "hi"}, RESPONSES_REPLY, {FORMAT: "openai"}),
    ("anthropic", "CHAT_MODEL", ANTHROPIC, ANTHROPIC_REPLY, {FORMAT: "anthropic"}),
    ("gemini", "CHAT_MODEL", GEMINI, GEMINI_REPLY, {FORMAT: "gemini"}),
    ("gemini-parts", "LLM", {"contents": ["a", {"text": "b"}]}, GEMINI_REPLY, {FORMAT: "gemini"}),
    ("bedrock", "CHAT_MODEL", BEDROCK, BEDROCK_REPLY, {FORMAT: "bedrock"}),
    ("unknown", "CHAT_MODEL", OPENAI, OPENAI_REPLY, {"mlflow.llm.provider": "groq"}),
    ("tool", "TOOL", {"x": 1}, {"y": [2]}, {"mlflow.chat.tools": [TOOL]}),
    ("tool-named", "TOOL", {"x": 1}, "plain", {"gen_ai.tool.name": "add"}),
    (
        "agent",
        "AGENT",
        {"q": "hi"},
        {"a": "ho"},
        {"n": 5, "flag": True, "list": [1, 2], "text": "t"},
    ),
    ("embedding", "EMBEDDING", {"input": "hi"}, [0.5], {"mlflow.llm.model": "e5"}),
    ("usage", "LLM", {"prompt": "hi"}, {"text": "ho"}, {"mlflow.chat.tokenUsage": USAGE}),
    ("chain", "CHAIN", {"q": None}, {}, {"ratio": 0.5, "none": None}),
    ("untyped", "UNKNOWN", "text", 3, {}),
]


def record(library: Any) -> None:
    """Record every call as a trace of its own."""
    for name, span_type, inputs, outputs, attributes in CALLS:
        with library.start_span(name, span_type=span_type) as span:
            span.set_inputs(inputs)
            span.set_outputs(outputs)
            span.set_attributes(attributes)


def theirs() -> list[dict[str, Any]]:
    """What the exporter of MLflow's SDK is given."""
    import mlflow
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    exporter = InMemorySpanExporter()
    with mock.patch("mlflow.tracing.provider.get_otlp_exporter", lambda: exporter):
        record(mlflow)
    mlflow.tracing.provider.provider.get().force_flush()
    return [
        {
            "name": span.name,
            "kind": span.kind.value + 1,
            "attributes": dict(span.attributes or {}),
        }
        for span in exporter.get_finished_spans()
    ]


if __name__ == "__main__":
    if sys.argv[1] == "mlflow":
        print(json.dumps(theirs()))
    else:
        ours = importlib.import_module("mlflow_trace")
        record(ours)
        assert ours.flush(timeout=20.0) == 0
