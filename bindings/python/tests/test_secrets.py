"""A secret never shows, wherever it was given and whatever a server makes of it."""

from __future__ import annotations

import base64
import json
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import mlflow_trace
from mlflow_trace import exceptions

CANARY = "canary/zq7w"
IN_URL = "canary%2Fzq7w"
FORMS = (CANARY, IN_URL, base64.b64encode(f"me:{CANARY}".encode()).decode(), "zq7w")


@pytest.fixture
def server():
    """Refuse every request, and repeat all that it holds."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            text = " ".join([self.path, *self.headers.values()])
            seen.append(text)
            body = json.dumps({"error_code": CANARY, "message": f"{text} {CANARY}"}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.wfile.write(body)

        do_POST = do_PUT = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        running.seen = seen
        yield running
        running.shutdown()


WAYS = {
    "userinfo": lambda url: {"tracking_uri": url.replace("//", f"//me:{IN_URL}@")},
    "password": lambda _: {"tracking_username": "me", "tracking_password": CANARY},
    "token": lambda _: {"tracking_token": CANARY},
    "header": lambda _: {"http_headers": f"x-api-key={IN_URL}"},
    "proxy": lambda url: {
        "tracking_uri": "http://mlflow.invalid",
        "http_proxy": url.replace("//", f"//me:{IN_URL}@"),
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_shows_a_secret(recording, server, capfd, caplog, way):
    url = f"http://127.0.0.1:{server.server_port}"
    options = {"exporter": "mlflow", "tracking_uri": url} | WAYS[way](url)
    mlflow_trace.configure(**options)
    try:
        with mlflow_trace.start_span("root") as span:
            shown = [repr(span), str(span)]
        with pytest.raises(exceptions.MlflowTraceError) as raised:
            mlflow_trace.set_experiment("any")
        shown += [repr(raised.value), str(raised.value), repr(vars(raised.value))]
        shown += traceback.format_exception(raised.value)
        mlflow_trace.flush(timeout=1)
        stats, health = mlflow_trace.stats(), mlflow_trace.health()
        assert health["last_error"]["class"] == "rejected"
        shown += [repr(stats), repr(health), json.dumps(health)]
    finally:
        mlflow_trace.shutdown(timeout=0)
        mlflow_trace.configure(**dict.fromkeys(options))
    shown += [*capfd.readouterr(), caplog.text, *mlflow_trace.diagnostics()]
    assert any(form in text for form in FORMS for text in server.seen), "it was never sent"
    for form in FORMS:
        assert form not in "\n".join(shown)


@pytest.mark.parametrize(
    "options",
    [
        {"tracking_uri": f"ftp://me:{IN_URL}@host"},
        {"tracking_token": f"{CANARY}\n"},
        {"tracking_password": f"{CANARY}\n"},
        {"http_headers": CANARY},
        {"http_proxy": f"ftp://me:{IN_URL}@host"},
    ],
)
def test_what_is_refused_is_not_repeated(recording, options):
    with pytest.raises(exceptions.InvalidConfigError) as raised:
        mlflow_trace.configure(**options)
    told = "".join(traceback.format_exception_only(raised.value))
    assert not any(form in told for form in FORMS)
