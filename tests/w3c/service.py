"""The service that the public test suite of W3C Trace Context talks to, on the Python package.

Every request brings a list of `{"url", "arguments"}`. The service continues the caller's trace with
a span and posts `arguments` to each `url`, every time from a child span of its own. The address is
the first line printed; at the end of its standard input the service stops.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import mlflow_trace as mlflow
from mlflow_trace.exceptions import InvalidArgumentError
from mlflow_trace.tracing import (
    get_tracing_context_headers_for_http_request,
    set_tracing_context_from_http_request_headers,
)

TIMEOUT_S = 5.0


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        calls = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with contextlib.ExitStack() as stack:
            # Without a traceparent there is nothing to continue.
            with contextlib.suppress(InvalidArgumentError):
                stack.enter_context(set_tracing_context_from_http_request_headers(self.headers))
            stack.enter_context(mlflow.start_span("test"))
            for call in calls:
                with mlflow.start_span("call"):
                    post(call["url"], call["arguments"])
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


def post(url: str, arguments: Any) -> None:
    headers = get_tracing_context_headers_for_http_request()
    request = urllib.request.Request(
        url,
        data=json.dumps(arguments).encode(),
        headers={"content-type": "application/json", **headers},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        response.read()


def main() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    threading.Thread(target=server.serve_forever).start()
    sys.stdin.read()
    server.shutdown()
    return mlflow.shutdown(TIMEOUT_S)


if __name__ == "__main__":
    sys.exit(main())
