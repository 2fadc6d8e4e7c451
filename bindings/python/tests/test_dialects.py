"""The vectors of tests/vectors/dialects, which every language's suite reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlflow_trace import _native, exceptions

FILES = Path(__file__).parents[3] / "tests" / "vectors" / "dialects"
VECTORS = [
    pytest.param(path.stem, vector, id=f"{path.stem}: {vector['name']}")
    for path in sorted(FILES.glob("*.json"))
    for vector in json.loads(path.read_text())
]


def text(event):
    return event if isinstance(event, str) else json.dumps(event)


def result(dialect, vector, convert):
    if "chunks" in vector:
        chunks = [convert(text(chunk)) for chunk in vector["chunks"]]
        return _native.dialect_fold(dialect, chunks)
    if "request" in vector:
        return _native.dialect_request(dialect, convert(json.dumps(vector["request"])))
    return _native.dialect_reply(dialect, convert(json.dumps(vector["reply"])))


@pytest.mark.parametrize(("dialect", "vector"), VECTORS)
def test_what_a_provider_sends_is_understood(dialect, vector):
    assert json.loads(result(dialect, vector, str)) == vector["expect"]
    assert json.loads(result(dialect, vector, str.encode)) == vector["expect"]


def test_a_body_is_folded_as_it_came():
    body = (
        'event: x\ndata: {"choices": [{"delta": {"content": "Hi"}}]}\n\ndata: [DONE]\n\ndata: {"ch'
    )
    for whole in (body, body.encode()):
        reply = json.loads(_native.dialect_fold("openai.chat", whole))
        assert reply["choices"][0]["message"]["content"] == "Hi"


def test_what_is_no_json_says_nothing():
    for hostile in ["", "\ud800", '"\ud800"', "NaN", b"\xff\xfe", 7, None]:
        assert _native.dialect_request("gemini", hostile) == "{}"
        assert _native.dialect_reply("gemini", hostile) == "{}"
        assert _native.dialect_fold("gemini", [hostile]) == "null"


def test_a_dialect_that_does_not_exist_is_an_error():
    for call in (_native.dialect_request, _native.dialect_reply, _native.dialect_fold):
        with pytest.raises(exceptions.MlflowException, match=r"openai\.chat"):
            call("openai", "{}")
