"""A collector in this process: takes OTLP/HTTP on a free loopback port and keeps what arrives."""

from __future__ import annotations

import contextlib
import gzip
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeVar

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

PATIENCE_S = 30.0
T = TypeVar("T")


@dataclass
class Span:
    """A span as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any] = field(repr=False)


def value(any_value: AnyValue) -> Any:
    """What an `AnyValue` stands for; None without one."""
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in any_value.array_value.values]
    if kind == "kvlist_value":
        return attributes(any_value.kvlist_value.values)
    return getattr(any_value, kind) if kind else None


def attributes(pairs: Any) -> dict[str, Any]:
    """Attributes, whose keys must be unique."""
    pairs = list[KeyValue](pairs)
    keys = [pair.key for pair in pairs]
    assert len(keys) == len(set(keys)), keys
    return {pair.key: value(pair.value) for pair in pairs}


def spans(request: ExportTraceServiceRequest) -> list[Span]:
    """The spans of a request."""
    return [
        Span(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            kind=span.kind,
            status=span.status.code,
            attributes=attributes(span.attributes),
            resource=attributes(resource.resource.attributes),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


class Receiver:
    """Serves while its context lasts."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.spans: list[Span] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                headers = {name.lower(): text for name, text in self.headers.items()}
                with lock:
                    outer.requests.append((self.path, headers))
                    outer.spans += spans(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def handle(self) -> None:
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    super().handle()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if tls:
            # The handshake is for the thread of the connection: a failed one must not end the others.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def by_name(self) -> dict[str, Span]:
        """The spans, whose names must be unique."""
        found = {span.name: span for span in self.spans}
        assert len(found) == len(self.spans), [span.name for span in self.spans]
        return found


def until(what: str, look: Callable[[], T | None], patience: float = PATIENCE_S) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.1)
