"""The polyglot demo, end to end: its output, and what it left in the file store and on the server.

The traces are read here again, by other means than the demo's own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import services

DEMO = Path(services.__file__).with_name("run.py")
QUESTION = "How does the James Webb Space Telescope stay cold?"
ANSWER = (
    "The James Webb Space Telescope stays near the second Lagrange point, about 1.5 million "
    "kilometres from the Earth on the side away from the Sun. "
    "A sunshield of five layers keeps it cold."
)
REPLY = {"answer": ANSWER, "sources": [{"id": "p049", "title": "Webb's orbit"}]}
KEYWORDS = ["james", "webb", "space", "telescope", "stay", "cold"]

# span: parent, span type, service
TREE = {
    "POST /ask": (None, "CHAIN", "frontend"),
    "validate": ("POST /ask", "GUARDRAIL", "frontend"),
    "call agent": ("POST /ask", "TOOL", "frontend"),
    "agent": ("call agent", "AGENT", "agent"),
    "analyse_question": ("agent", "PARSER", "agent"),
    "retrieve": ("agent", "RETRIEVER", "agent"),
    "GET /search": ("retrieve", "RETRIEVER", "retrieval"),
    "tokenise": ("GET /search", "PARSER", "retrieval"),
    "score": ("GET /search", "TOOL", "retrieval"),
    "load_passages": ("GET /search", "TOOL", "retrieval"),
    "rerank": ("agent", "RERANKER", "agent"),
    "compose_answer": ("agent", "CHAIN", "agent"),
}

PRINTED_TREE = [
    "POST /ask",
    "├─ validate",
    "└─ call agent",
    "   └─ agent",
    "      ├─ analyse_question",
    "      ├─ retrieve",
    "      │  └─ GET /search",
    "      │     ├─ tokenise",
    "      │     ├─ score",
    "      │     └─ load_passages",
    "      ├─ rerank",
    "      └─ compose_answer",
]


def run_demo(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(DEMO), "--question", QUESTION, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trace_id_of(output: str) -> str:
    found = re.search(r"^(tr-[0-9a-f]{32}): 12 spans", output, re.MULTILINE)
    assert found, output
    return found[1]


def check_printed_tree(output: str) -> None:
    lines = output.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("POST /ask"))
    printed = lines[start : start + len(PRINTED_TREE)]
    for line, expected in zip(printed, PRINTED_TREE, strict=True):
        _, span_type, service = TREE[expected.lstrip(" │├└─")]
        pattern = rf"{re.escape(expected)} +{span_type} +{service} +\S+ +\d+\.\d\d ms"
        assert re.fullmatch(pattern, line), line


def attributes(span: dict[str, Any]) -> dict[str, str]:
    return {a["key"]: a["value"].get("stringValue", "") for a in span["attributes"]}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Run A: what the demo printed, and the directory with its files."""
    directory = tmp_path_factory.mktemp("traces")
    return run_demo("--directory", str(directory)), directory


def test_without_a_server_the_demo_prints_the_joined_tree(stored: tuple[str, Path]) -> None:
    output, _ = stored
    assert f"Answer:   {ANSWER}" in output
    trace_id_of(output)
    check_printed_tree(output)
    assert output.endswith(
        "OK: each question left one trace from three languages, with every parent found\n"
    )


def test_every_service_writes_its_own_spans_to_the_file_store(stored: tuple[str, Path]) -> None:
    output, directory = stored
    spans: dict[str, tuple[dict[str, Any], str]] = {}
    for path in directory.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            for resource_spans in json.loads(line)["resourceSpans"]:
                service = attributes(resource_spans["resource"])["service.name"]
                for scope_spans in resource_spans["scopeSpans"]:
                    for span in scope_spans["spans"]:
                        assert span["name"] not in spans
                        spans[span["name"]] = (span, service)
    assert spans.keys() == TREE.keys()
    assert len({service for _, service in spans.values()}) == 3
    for name, (parent, span_type, service) in TREE.items():
        span, written_by = spans[name]
        assert written_by == service
        assert "tr-" + span["traceId"] == trace_id_of(output)
        assert attributes(span)["mlflow.spanType"] == span_type
        assert span["status"]["code"] == 1
        assert span.get("parentSpanId") == (spans[parent][0]["spanId"] if parent else None)
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert json.loads(attributes(spans["POST /ask"][0])["mlflow.spanOutputs"]) == REPLY


def test_an_mlflow_server_gives_the_same_trace_back(server_url: str) -> None:
    output = run_demo("--server", server_url)
    check_printed_tree(output)
    check_on_server(server_url, trace_id_of(output), output)


def check_on_server(url: str, trace_id: str, output: str) -> None:
    # MLflow's client takes seconds to import; only this test needs it.
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=url)
    trace = client.get_trace(trace_id)
    info = trace.info
    assert info.state == "OK"
    experiment = client.get_experiment_by_name("polyglot-demo")
    assert experiment is not None and info.experiment_id == experiment.experiment_id
    assert info.request_preview == QUESTION
    assert info.response_preview == ANSWER
    assert info.tags["mlflow.traceName"] == "POST /ask"
    assert info.tags["application"] == "polyglot-demo"
    assert info.tags["languages"] == "JavaScript, Python, C++"
    assert info.trace_metadata["mlflow.trace.session"] == "demo-session"
    assert info.trace_metadata["mlflow.trace.user"] == "demo-user"
    assert f"{url}/#/experiments/{info.experiment_id}/traces" in output

    spans = {span.name: span for span in trace.data.spans}
    assert spans.keys() == TREE.keys() and len(trace.data.spans) == len(TREE)
    for name, (parent, span_type, _) in TREE.items():
        span = spans[name]
        assert span.span_type == span_type
        assert span.status.status_code.value == "OK"
        assert span.parent_id == (spans[parent].span_id if parent else None)
        assert span.end_time_ns >= span.start_time_ns
    assert spans["POST /ask"].inputs == {"question": QUESTION}
    assert spans["POST /ask"].outputs == REPLY
    assert spans["analyse_question"].outputs == {"keywords": KEYWORDS, "kind": "method"}
    assert spans["tokenise"].inputs == {"query": " ".join(KEYWORDS)}
    assert spans["tokenise"].outputs == ["jame", *KEYWORDS[1:]]
    retrieved = spans["retrieve"].outputs
    assert len(retrieved) == 8
    assert retrieved[0]["id"] == "p049"
    assert retrieved[0]["page_content"] == ANSWER
    assert [hit["id"] for hit in spans["GET /search"].outputs] == [d["id"] for d in retrieved]
    assert spans["compose_answer"].outputs == REPLY


def test_a_refused_question_leaves_a_failed_trace(tmp_path: Path) -> None:
    settings = {"MLFLOW_TRACE_FILE_DIRECTORY": str(tmp_path)}
    with services.Services(settings) as running:
        with pytest.raises(services.DemoError, match="answered 400: .*must be a text"):
            running.ask("  ")
        assert running.ask("zzyzx qwv").body["sources"] == []
    import file_store

    spans = file_store.read(tmp_path)
    failed = {span.name: span.status for span in spans if span.status == "ERROR"}
    assert failed == {"POST /ask": "ERROR", "validate": "ERROR"}
    assert len({span.trace_id for span in spans}) == 2


def test_bindings_that_are_not_built_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.check_built(services.RETRIEVAL_PROGRAM)
    monkeypatch.setattr(services, "NODE_PACKAGE", tmp_path)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(services.DemoError) as error:
        services.check_built(tmp_path / "retrieval")
    assert str(error.value) == (
        "not built: the C++ retrieval service, the Node binding, the Python binding; "
        "run `make build` first"
    )
