"""The agent: analyses a question, retrieves passages over HTTP, reranks them, composes an answer.

``POST /answer {"question": ...}`` on a free loopback port; the address is the first line printed.
SIGTERM finishes the requests in flight, flushes the spans and ends the process.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import answering
import mlflow_trace as mlflow
from answering import Analysis, Answer, Passage
from mlflow_trace.tracing import (
    get_tracing_context_headers_for_http_request,
    set_tracing_context_from_http_request_headers,
)

CANDIDATES = 8
FLUSH_TIMEOUT_S = 5.0
MAX_BODY_BYTES = 64 * 1024


class Agent:
    def __init__(self, retrieval_url: str) -> None:
        self._retrieval_url = retrieval_url

    @mlflow.trace(name="agent", span_type="AGENT")
    def answer(self, question: str) -> Answer:
        span = mlflow.get_current_active_span()
        if span is not None:
            span.set_attributes({"service.name": "agent", "service.language": "Python"})
        analysis = self.analyse(question)
        passages = self.retrieve(analysis["keywords"]) if analysis["keywords"] else []
        return self.compose(analysis, self.rerank(analysis, passages))

    @mlflow.trace(name="analyse_question", span_type="PARSER")
    def analyse(self, question: str) -> Analysis:
        return answering.analyse(question)

    def retrieve(self, keywords: list[str]) -> list[Passage]:
        with mlflow.start_span(name="retrieve", span_type="RETRIEVER") as span:
            span.set_inputs({"keywords": keywords, "limit": CANDIDATES})
            query = urllib.parse.urlencode({"q": " ".join(keywords), "limit": CANDIDATES})
            request = urllib.request.Request(
                f"{self._retrieval_url}/search?{query}",
                headers=get_tracing_context_headers_for_http_request(),
            )
            with urllib.request.urlopen(request, timeout=10) as response:
                passages: list[Passage] = json.load(response)["hits"]
            span.set_outputs([as_document(passage) for passage in passages])
            return passages

    @mlflow.trace(name="rerank", span_type="RERANKER")
    def rerank(self, analysis: Analysis, passages: list[Passage]) -> list[Passage]:
        return answering.rerank(analysis, passages)

    @mlflow.trace(name="compose_answer", span_type="CHAIN")
    def compose(self, analysis: Analysis, passages: list[Passage]) -> Answer:
        return answering.compose(analysis, passages)


def as_document(passage: Passage) -> dict[str, object]:
    """A passage in the form in which MLflow shows the documents of a retriever."""
    return {
        "page_content": passage["text"],
        "metadata": {"title": passage["title"], "score": passage["score"]},
        "id": passage["id"],
    }


class Handler(BaseHTTPRequestHandler):
    agent: Agent
    # Buffered, so that head and body leave in one packet and no delayed acknowledgement is waited for.
    wbufsize = -1

    def do_POST(self) -> None:
        if self.path != "/answer":
            self.reply(404, {"error": f"no such path: {self.path}"})
            return
        try:
            length = min(int(self.headers.get("Content-Length", "0")), MAX_BODY_BYTES)
            question = str(json.loads(self.rfile.read(length))["question"])
        except (ValueError, KeyError, TypeError):
            self.reply(400, {"error": "the body must be JSON with a question"})
            return
        try:
            if "traceparent" in self.headers:
                with set_tracing_context_from_http_request_headers(dict(self.headers)):
                    answer = self.agent.answer(question)
            else:
                answer = self.agent.answer(question)
        except OSError as error:
            self.reply(502, {"error": f"retrieval failed: {error}"})
            return
        self.reply(200, answer)

    def reply(self, status: int, body: object) -> None:
        content = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """The trace is the log."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--retrieval", required=True, metavar="URL")
    options = parser.parse_args()
    Handler.agent = Agent(options.retrieval)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # server_close() then waits for the requests in flight

    def stop(*_signal: object) -> None:
        # shutdown() waits for serve_forever(), which this handler interrupted.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
    server.server_close()
    print(f"pending spans: {mlflow.flush(timeout=FLUSH_TIMEOUT_S)}", flush=True)


if __name__ == "__main__":
    main()
