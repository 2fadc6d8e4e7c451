"""The C++ retrieval service by itself: ranking, bad requests and the context that it takes over."""

from __future__ import annotations

import http.client
import json
import math
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import file_store
import pytest
import services

PASSAGES = services.DEMO / "passages.jsonl"


class Retrieval:
    def __init__(self, directory: Path, passages: Path = PASSAGES) -> None:
        self.directory = directory
        environment = {**os.environ, "MLFLOW_TRACE_FILE_DIRECTORY": str(directory)}
        command = [str(services.RETRIEVAL_PROGRAM), str(passages)]
        self.service = services.Service("retrieval", command, environment)
        self.port = urlsplit(self.service.url).port

    def get(self, target: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", target, headers=headers or {})
        response = connection.getresponse()
        return response.status, json.load(response)

    def search(self, words: str, limit: str = "8", **headers: str) -> list[dict[str, Any]]:
        status, body = self.get(f"/search?q={quote(words)}&limit={limit}", headers)
        assert status == 200
        hits: list[dict[str, Any]] = body["hits"]
        return hits


@pytest.fixture
def retrieval(tmp_path: Path) -> Iterator[Retrieval]:
    running = Retrieval(tmp_path)
    yield running
    running.service.stop()


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("telescope sunshield cold", "Webb's orbit"),
        ("RIVERS through ten countries", "Danube"),
        ("béchamel", "Roux"),
        ("what is the sky and why is it blue", "Blue sky"),
        ("galaxies recede", "Expanding universe"),
    ],
)
def test_the_best_passage_comes_first(retrieval: Retrieval, words: str, title: str) -> None:
    hits = retrieval.search(words)
    assert hits[0]["title"] == title
    assert [hit["score"] for hit in hits] == sorted((h["score"] for h in hits), reverse=True)
    stored = {p["id"]: p for p in map(json.loads, PASSAGES.read_text().splitlines())}
    assert all(hit["text"] == stored[hit["id"]]["text"] for hit in hits)


def bm25(containing: int, count: int, length: int) -> float:
    """Okapi BM25 with k1 = 1.2 and b = 0.75 for three passages of 8 words in all."""
    rarity = math.log(1 + (3 - containing + 0.5) / (containing + 0.5))
    return round(rarity * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / (8 / 3))), 4)


def test_scores_are_those_of_the_formula(tmp_path: Path) -> None:
    texts = {"a": "apple apple pear", "b": "pear", "c": "plum plum plum plum"}
    lines = [json.dumps({"id": name, "title": "", "text": text}) for name, text in texts.items()]
    path = tmp_path / "small.jsonl"
    path.write_text("\n".join(lines))  # no line feed at the end
    running = Retrieval(tmp_path / "traces", path)
    pears = [(hit["id"], hit["score"]) for hit in running.search("pear pears")]
    apples = [(hit["id"], hit["score"]) for hit in running.search("apple")]
    running.service.stop()
    assert pears == [("b", bm25(2, 1, 1)), ("a", bm25(2, 1, 3))]
    assert apples == [("a", bm25(1, 2, 3))]


def test_the_limit_is_obeyed_and_capped(retrieval: Retrieval) -> None:
    assert len(retrieval.search("water", "2")) == 2
    assert len(retrieval.search("water", "0")) == 0
    assert len(retrieval.search("water", "-1")) == 8
    assert len(retrieval.search("water river sea star plant", "99999")) == 50


def test_nothing_found_is_an_empty_list(retrieval: Retrieval) -> None:
    assert retrieval.search("zzyzx") == []
    assert retrieval.search("the of and") == []


def test_bad_requests_get_an_error_and_the_service_goes_on(retrieval: Retrieval) -> None:
    assert retrieval.get("/search")[0] == 400
    assert retrieval.get("/search?q=")[0] == 400
    assert retrieval.get("/nothing?q=water")[0] == 404
    assert retrieval.get("/search?q=%zz%")[0] == 200
    with socket.create_connection(("127.0.0.1", retrieval.port), timeout=10) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert client.recv(64).startswith(b"HTTP/1.1 400")
    with socket.create_connection(("127.0.0.1", retrieval.port)):
        pass  # connects and leaves
    assert retrieval.search("water")


def test_a_silent_client_holds_the_others_up_for_two_seconds_at_most(retrieval: Retrieval) -> None:
    with socket.create_connection(("127.0.0.1", retrieval.port)) as silent:
        silent.sendall(b"GET /search?q=w")
        assert retrieval.search("water")


def test_the_callers_context_is_taken_over(tmp_path: Path) -> None:
    running = Retrieval(tmp_path)
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    running.search("water", Traceparent=f"00-{trace_id}-{span_id}-01")
    running.search("water", traceparent="00-not-a-context")
    running.search("water")
    running.service.stop()
    entries = [span for span in file_store.read(tmp_path) if span.name == "GET /search"]
    assert [(s.trace_id == trace_id, s.parent_id) for s in entries] == [
        (True, span_id),
        (False, None),
        (False, None),
    ]
    assert len({span.trace_id for span in entries}) == 3


@pytest.mark.parametrize("content", ["", "no JSON\n", '{"id": "a", "title": "b"}\n'])
def test_a_broken_collection_ends_the_service(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(content)
    with pytest.raises(services.DemoError, match="retrieval service did not start"):
        Retrieval(tmp_path, path)
