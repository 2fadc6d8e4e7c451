"""Traces models of Amazon Bedrock that `boto3` calls: `converse`, `invoke_model` and their streams.

`mlflow_trace.bedrock.autolog()` does it, also for clients that were made before.
"""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.integrations.calls import traced
from mlflow_trace.integrations.model_facts import USAGE, token_usage
from mlflow_trace.integrations.models import FORMAT, MODEL, PROVIDER, ModelCall
from mlflow_trace.integrations.registry import Integration

if TYPE_CHECKING:
    from mlflow_trace._native import LiveSpan
    from mlflow_trace.integrations.calls import Call

__all__ = ["autolog"]

_CONVERSE = "bedrock.converse"
_NAMES = {
    "Converse": "converse",
    "ConverseStream": "converse_stream",
    "InvokeModel": "invoke_model",
    "InvokeModelWithResponseStream": "invoke_model_with_response_stream",
}
# What tells the wire format of a model that is called in its own: in `usage`, or in a chunk.
_DIALECTS = {
    "input_tokens": "anthropic",
    "type": "anthropic",
    "prompt_tokens": "openai.chat",
    "choices": "openai.chat",
    "inputTokens": _CONVERSE,
    "messageStart": _CONVERSE,
    "contentBlockDelta": _CONVERSE,
}


def _dialect_of(told: Any) -> str | None:
    return next((_DIALECTS[key] for key in _DIALECTS if key in told), None)


class _BedrockCall(ModelCall):
    """A call of any service of AWS; those of other services and operations are left alone.

    `call.args` are the client, the name of the operation and its parameters.
    """

    def __init__(self) -> None:
        super().__init__("LLM")

    def name(self, call: Call) -> str | None:
        client, operation = call.args[:2]
        name = _NAMES.get(operation)
        is_bedrock = name and client.meta.service_model.service_name == "bedrock-runtime"
        return f"BedrockRuntime.{name}" if is_bedrock else None

    def begin(self, call: Call, span: LiveSpan) -> None:
        operation, parameters = call.args[1:3]
        attributes = {}
        if operation.startswith("Converse"):
            span.set_span_type("CHAT_MODEL")
            attributes[FORMAT] = "bedrock"
        _native.record_request(span, _CONVERSE, parameters)
        if isinstance(model := parameters.get("modelId"), str):
            attributes[MODEL] = model
            provider, dot, _ = model.partition(".")
            if dot:
                attributes[PROVIDER] = provider
        span.set_attributes(attributes)

    def content(self, result: Any) -> Any:
        stream = result.get("stream", result.get("body"))
        return stream if hasattr(stream, "_event_generator") else result

    def source(self, content: Any) -> str | None:
        return "_event_generator" if hasattr(content, "_event_generator") else None

    def item(self, item: Any) -> tuple[str, dict[str, Any]]:
        # Before it is parsed: a frame, with its type in a header.
        headers, body = item.headers, json.loads(item.payload or b"{}")
        # What makes all frames of the same length.
        body.pop("p", None)
        return headers.get(":event-type") or headers.get(":exception-type") or "", body

    def items(
        self,
        call: Call,
        span: LiveSpan,
        items: list[tuple[str, dict[str, Any]]],
    ) -> str | None:
        if call.args[1] == "ConverseStream":
            events = [json.dumps({kind: body}) for kind, body in items]
            return _native.record_stream(span, _CONVERSE, events, usage=True)
        chunks = [base64.b64decode(body["bytes"]) for kind, body in items if kind == "chunk"]
        dialect = next(filter(None, map(_dialect_of, map(json.loads, chunks))), None)
        if dialect is None:
            span.set_outputs([json.loads(chunk) for chunk in chunks])
        else:
            _native.record_stream(span, dialect, chunks, usage=True)
        failed = (body.get("message", kind) for kind, body in items if kind != "chunk")
        return next(failed, None)

    def result(self, call: Call, span: LiveSpan, content: Any) -> str | None:  # noqa: ARG002
        metadata = dict(content.get("ResponseMetadata") or {})
        metadata.pop("HTTPHeaders", None)
        reply = {**content, "ResponseMetadata": metadata}
        if "body" not in reply:
            return _native.record_reply(span, _CONVERSE, self.dump(reply), usage=True)
        body = _read(reply["body"])
        try:
            reply["body"] = json.loads(body)
        except ValueError:
            reply["body"] = body
        span.set_outputs(reply)
        if isinstance(reply["body"], dict):
            self._describe(span, reply["body"], body)
        return None

    def _describe(self, span: LiveSpan, reply: dict[str, Any], text: bytes) -> None:
        if "embedding" in reply:
            span.set_span_type("EMBEDDING")
        dialect = _dialect_of(reply.get("usage") or ())
        if dialect:
            usage = json.loads(_native.dialect_reply(dialect, text)).get("usage")
        else:
            # Llama's and Titan's.
            given = reply.get("prompt_token_count", reply.get("inputTextTokenCount"))
            usage = token_usage(given, reply.get("generation_token_count"))
        if usage:
            span.set_attribute(USAGE, usage)


class _Failed(io.BytesIO):
    """The body of a reply that cannot be read; its reader is told so."""

    error: Exception

    def read(self, *_size: Any) -> bytes:
        raise self.error

    readinto = readlines = readline = read  # type: ignore[assignment]


def _read(body: Any) -> bytes:
    """Read the body of a reply, and leave it to be read by the caller."""
    try:
        text: bytes = body._raw_stream.read()
    except Exception as error:
        body._raw_stream = failed = _Failed()
        failed.error = error
        raise
    body._raw_stream = io.BytesIO(text)
    return text


integration = Integration("bedrock")
# The methods of a client are made with it; all of them end here.
integration.replace(
    ["botocore.client:BaseClient._make_api_call"], traced(integration, _BedrockCall())
)


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace models of Amazon Bedrock, or stop doing so.

    Works before and after the import of `boto3`, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own function.
        silent: Log nothing about parts of a call that could not be recorded.

    """
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)
