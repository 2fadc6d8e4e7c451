"""Calls of a provider's client library as spans, described by the wire format that it speaks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.integrations.calls import Spec

if TYPE_CHECKING:
    from mlflow_trace._native import LiveSpan
    from mlflow_trace.integrations.calls import Call

FORMAT = "mlflow.message.format"
MODEL = "mlflow.llm.model"
PROVIDER = "mlflow.llm.provider"
# What OpenAI's and Anthropic's `with_raw_response` and `with_streaming_response` give.
_RAW = frozenset({"LegacyAPIResponse", "APIResponse", "AsyncAPIResponse"})


def dump(value: Any, **options: Any) -> bytes:
    """Return the JSON text of a reply or of a part of one.

    Args:
        value: A pydantic model, which writes itself in one go; a body as it came; or anything else.
        options: For the model's serializer, for instance `exclude`.

    """
    if isinstance(value, bytes):
        return value
    serializer = getattr(type(value), "__pydantic_serializer__", None)
    if serializer is not None:
        try:
            # Without warnings: what a library parses for the user is not of the declared type.
            return serializer.to_json(value, warnings=False, **options)  # type: ignore[no-any-return]
        except Exception:  # noqa: BLE001, S110 - for instance bytes that are no text
            pass
    return _native.to_json(value).encode()


class ModelCall(Spec):
    """A call of a model, or of another endpoint of its provider.

    Args:
        span_type: Type of the span.
        dialect: The wire format, as `mlflow_trace._native.dialect_reply` knows it; None where
            there is nothing but inputs and outputs to be read.
        attributes: What every span has, for instance the message format.
        usage: Whether the tokens are counted here, and not in a span below.

    """

    # Once a stream has begun, its library does nothing but read it.
    active_while_reading = False
    # The argument that holds headers for the request.
    headers = "extra_headers"

    def __init__(
        self,
        span_type: str,
        dialect: str | None = None,
        *,
        attributes: dict[str, Any] | None = None,
        usage: bool = True,
    ) -> None:
        """Take what the calls of one endpoint have in common."""
        self.span_type, self.dialect = span_type, dialect
        self._attributes = attributes or {}
        self._usage = usage

    def name(self, call: Call) -> str | None:
        """Return class and method."""
        return f"{type(call.instance).__name__}.{call.function.__name__}"

    def begin(self, call: Call, span: LiveSpan) -> None:
        """Record the request."""
        arguments = call.arguments()
        arguments.pop(self.headers, None)
        _native.record_request(span, self.dialect, arguments)
        span.set_attributes(self.attributes(call, arguments))
        self.send_context(call)

    def attributes(self, call: Call, arguments: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return the attributes that the request gives, besides model and tools."""
        return self._attributes

    def send_context(self, call: Call) -> None:
        """Have the request carry the trace context, as headers that its caller does not see."""
        if call.span is None:
            return
        headers = _native.span_headers(call.span)
        if given := call.kwargs.get(self.headers):
            headers.update(given)
        call.kwargs = {**call.kwargs, self.headers: headers}

    def counts(self, call: Call) -> bool:  # noqa: ARG002 - for those who override it
        """Return whether the tokens are counted in this span."""
        return self._usage

    def is_whole(self, result: Any) -> bool:
        """Whether a result is a reply, which is a pydantic model; no stream is one."""
        return hasattr(type(result), "__pydantic_serializer__")

    def content(self, result: Any) -> Any:
        """Return what a raw response holds; None while its body is still to be read.

        The reply, or the stream: the response keeps what it was parsed to for its own caller.
        """
        if type(result).__name__ not in _RAW:
            return result
        response = result.http_response
        is_read = response.is_stream_consumed
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        if inspect.iscoroutinefunction(result.parse):
            return response.content if is_read else None
        return result.parse() if is_read or is_stream else None

    def source(self, content: Any) -> str | None:
        """Return where a stream of OpenAI's or Anthropic's keeps its iterator."""
        kind = type(content)
        has_source = "_iterator" in getattr(content, "__dict__", ()) or hasattr(kind, "_iterator")
        return "_iterator" if has_source and kind.__name__.endswith("Stream") else None

    def tap(self, content: Any, kept: list[Any]) -> bool:
        """Keep the data of the events of OpenAI's and Anthropic's streams, which is JSON text."""
        read = getattr(type(content), "_iter_events", None)
        if read is None or not hasattr(content, "__dict__"):
            return False
        # Another object reads: a stream with a reference to itself would not close when dropped.
        reader = object.__new__(type(content))
        vars(reader).update(vars(content))
        vars(reader).pop("_iterator", None)

        def events() -> Any:
            return _native.Tap(read(reader), "data", kept)

        async def events_async() -> Any:
            async for event in read(reader):
                kept.append(event.data)
                yield event

        content._iter_events = events_async if inspect.isasyncgenfunction(read) else events
        return True

    def dump(self, content: Any, **options: Any) -> bytes:
        """Return the JSON text of a reply."""
        return dump(content, **options)

    def result(self, call: Call, span: LiveSpan, content: Any) -> str | None:
        """Record the reply."""
        if content is None:
            return None
        return _native.record_reply(span, self.dialect, self.dump(content), self.counts(call))

    def item(self, item: Any) -> Any:
        """Return the text of an event: libraries change the objects while they read on."""
        return self.dump(item, exclude_none=True)

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> str | None:
        """Record what the events make."""
        if self.dialect is None:
            return None
        return _native.record_stream(span, self.dialect, items, self.counts(call))
