"""FastAPI with OpenTelemetry's instrumentation and decorated handlers."""

from __future__ import annotations

import pytest

pytest.importorskip("opentelemetry.instrumentation.fastapi")
pytest.importorskip("httpx")

PROGRAM = """
import os
os.environ["MLFLOW_USE_DEFAULT_TRACER_PROVIDER"] = "false"

import mlflow_trace as mlflow
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from mlflow_trace import _native

mlflow.configure(exporter="memory", batch_delay_ms=0)
trace.set_tracer_provider(TracerProvider())
mlflow.set_experiment(experiment_id="0")

app = FastAPI()
FastAPIInstrumentor.instrument_app(app)

@app.get("/sync")
@mlflow.trace(span_type="AGENT")
def answer(question: str) -> str:
    with mlflow.start_span("retrieve"):
        return question.upper()

@app.get("/async")
@mlflow.trace
async def answer_async(question: str) -> str:
    mlflow.update_current_trace(tags={"kind": "async"})
    return question

client = TestClient(app)
headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
for path, given in (("/sync", {}), ("/async", {}), ("/sync", headers)):
    client.get(path, params={"question": "hi"}, headers=given).raise_for_status()
assert mlflow.flush() == 0

import json
for text in _native.memory_traces():
    found = json.loads(text)
    names = {span["span_id"]: span["name"] for span in found["spans"]}
    edges = {
        (span["name"], names.get(span["parent_span_id"]))
        for span in found["spans"] if not span["name"].endswith(("http send", "http receive"))
    }
    tags = (found["info"] or {"tags": {}})["tags"]
    print(sorted(edges, key=str), found["info"] is not None, tags.get("kind"))
"""


def test_one_trace_for_each_request(run_python):
    done = run_python(PROGRAM)
    assert done.returncode == 0, done.stderr
    sync = "[('GET /sync', None), ('answer', 'GET /sync'), ('retrieve', 'answer')]"
    assert done.stdout.splitlines() == [
        f"{sync} True None",
        "[('GET /async', None), ('answer_async', 'GET /async')] True async",
        # The trace is rooted in the process that sent the request.
        f"{sync} False None",
    ]
