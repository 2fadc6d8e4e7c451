"""One hook on the HTTP client, for every library that is built on `httpx` or `httpx2`.

The path of a request says which wire format it is, its body and the bytes of the reply are all
that is recorded. A library that tries again makes one span for each attempt. A request that a span
around it stands for, as those of `mlflow_trace.openai` do, is left alone.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow_trace import _native
from mlflow_trace._native import LiveSpan
from mlflow_trace.entities import SpanStatus, SpanStatusCode
from mlflow_trace.integrations.models import FORMAT, MODEL
from mlflow_trace.integrations.patch import patch

if TYPE_CHECKING:
    from types import ModuleType

    from mlflow_trace.integrations.patch import Undo
    from mlflow_trace.integrations.registry import Integration

# No more of a reply is kept for the trace; its reader gets all of it.
LIMIT = 16 << 20
# The wire formats whose events are lines of their own, and those of server-sent events.
_STREAMS = ("application/x-ndjson", "text/event-stream")


class Route(NamedTuple):
    """What a path stands for."""

    path: re.Pattern[str]
    name: str
    span_type: str
    dialect: str
    message_format: str | None


def _route(path: str, name: str, span_type: str, dialect: str, known_as: str | None) -> Route:
    return Route(re.compile(path), name, span_type, dialect, known_as)


ROUTES = (
    _route(r"/chat/completions$", "Completions", "CHAT_MODEL", "openai.chat", "openai"),
    _route(r"/completions$", "Completions", "LLM", "openai.completions", "openai"),
    _route(r"/responses$", "Responses", "CHAT_MODEL", "openai.responses", "openai"),
    _route(r"/embeddings$", "Embeddings", "EMBEDDING", "openai.embeddings", None),
    _route(r"/v1/messages$", "Messages.create", "CHAT_MODEL", "anthropic", "anthropic"),
    _route(r"/api/(chat|generate)$", "Ollama", "CHAT_MODEL", "ollama", "ollama"),
    _route(r"/api/embed$", "Ollama", "EMBEDDING", "ollama", None),
    _route(
        r"/models/(?P<model>[^/:]+):(g|streamG)enerateContent$",
        "Models.generate_content",
        "LLM",
        "gemini",
        "gemini",
    ),
)


class _Exchange:
    """A request that is traced, and its reply as far as it was read."""

    def __init__(self, integration: Integration, request: Any, prefix: str) -> None:
        self._integration = integration
        self._span: LiveSpan | None = None
        self._body = bytearray()
        self._response: Any = None
        self.dialect = ""
        try:
            self._begin(request, prefix)
        except Exception as error:  # noqa: BLE001 - the request itself is not to fail
            integration.report("request", error)

    def _begin(self, request: Any, prefix: str) -> None:
        path = request.url.path
        found = ((route, route.path.search(path)) for route in ROUTES)
        route, match = next((pair for pair in found if pair[1]), (None, None))
        if request.method != "POST" or route is None or match is None or _native.is_covered():
            return
        body = request.content
        model = match.groupdict().get("model")
        if model is None and b'"model"' not in body:
            return
        span, active = _native.start_span(f"{prefix}{route.name}", route.span_type).detached()
        if not isinstance(span, LiveSpan):
            return
        self._span, self.dialect = span, route.dialect
        _native.record_request(span, route.dialect, body)
        attributes = {FORMAT: route.message_format, MODEL: model}
        span.set_attributes({key: value for key, value in attributes.items() if value})
        with active:
            for name, value in _native.headers():
                request.headers.setdefault(name, value)

    def answered(self, response: Any, tee: Any) -> Any:
        """Take the response; one that is still to be read is followed while it is."""
        if self._span is not None:
            self._response = response
            if response.is_closed:
                self._body += response.content
                self.end(decoded=True)
            else:
                response.stream = tee(response.stream, self)
        return response

    def received(self, part: bytes) -> None:
        """Take some bytes that go to the reader of the response."""
        if len(self._body) + len(part) <= LIMIT:
            self._body += part

    def end(self, error: BaseException | None = None, *, decoded: bool = False) -> None:
        """End the span; the first end counts."""
        span, self._span = self._span, None
        if span is None:
            return
        try:
            failure = self._record(span, decoded=decoded)
            if failure and error is None:
                span.set_status(SpanStatus(SpanStatusCode.ERROR, failure))
        except Exception as unreadable:  # noqa: BLE001 - the caller has its response
            self._integration.report("reply", unreadable)
        if error is not None:
            span.record_exception(error)
        span.end()

    def _record(self, span: LiveSpan, *, decoded: bool) -> str | None:
        response = self._response
        if response is None or not self._body:
            return None
        body = bytes(self._body)
        encoding = response.headers.get("content-encoding")
        if encoding and not decoded:
            # The library knows how to undo it.
            body = type(response)(200, headers={"content-encoding": encoding}, content=body).content
        if response.status_code >= 400:
            told = json.loads(_native.dialect_reply(self.dialect, body))
            return f"HTTP {response.status_code}: {told.get('error', '')}".removesuffix(": ")
        is_stream = response.headers.get("content-type", "").startswith(_STREAMS)
        # Folding also makes numbers of base64, in which OpenAI's library asks for embeddings.
        if is_stream or self.dialect == "openai.embeddings":
            return _native.record_stream(span, self.dialect, body, usage=True)
        return _native.record_reply(span, self.dialect, body, usage=True)


def _tee_of(library: ModuleType) -> type:
    """Return the class of a library's bodies that tell an exchange what is read of them."""
    bases: Any = (library.SyncByteStream, library.AsyncByteStream)

    class Tee(*bases):  # type: ignore[misc]
        def __init__(self, source: Any, exchange: _Exchange) -> None:
            self._source, self._exchange = source, exchange

        def __iter__(self) -> Any:
            try:
                for part in self._source:
                    self._exchange.received(part)
                    yield part
            except Exception as error:
                self._exchange.end(error)
                raise

        async def __aiter__(self) -> Any:
            try:
                async for part in self._source:
                    self._exchange.received(part)
                    yield part
            except Exception as error:
                self._exchange.end(error)
                raise

        def close(self) -> None:
            try:
                self._source.close()
            finally:
                self._exchange.end()

        async def aclose(self) -> None:
            try:
                await self._source.aclose()
            finally:
                self._exchange.end()

    return Tee


def hook(integration: Integration, library: ModuleType) -> Undo:
    """Trace what the clients of `httpx`, or of a library with the same classes, send."""
    tee = _tee_of(library)

    def wrap(send: Any) -> Any:
        @functools.wraps(send)
        def traced(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            if not integration.on:
                return send(client, request, *args, **kwargs)
            exchange = _Exchange(integration, request, "")
            try:
                return exchange.answered(send(client, request, *args, **kwargs), tee)
            except BaseException as error:
                exchange.end(error)
                raise

        return traced

    def wrap_async(send: Any) -> Any:
        @functools.wraps(send)
        async def traced(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            if not integration.on:
                return await send(client, request, *args, **kwargs)
            exchange = _Exchange(integration, request, "Async")
            try:
                return exchange.answered(await send(client, request, *args, **kwargs), tee)
            except BaseException as error:
                exchange.end(error)
                raise

        return traced

    undone = [
        patch(library, "Client.send", wrap),
        patch(library, "AsyncClient.send", wrap_async),
    ]

    def undo() -> None:
        for each in undone:
            if each is not None:
                each()

    return undo
