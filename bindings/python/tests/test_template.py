"""The template of `docs/integrations.md` traces the library that it is written for."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[3] / "docs" / "integrations.md"
LIBRARY = """
class Stream:
    def __init__(self, words):
        self._events = iter(words)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._events)


class Client:
    def ask(self, question, *, model, stream=False):
        return Stream(["an ", "answer"]) if stream else "an answer"
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "__init__.py").touch()
    (tmp_path / "acme" / "client.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("acme", "acme.client"):
        sys.modules.pop(name, None)


@pytest.fixture
def template():
    _, _, rest = DOCS.read_text().partition("<!-- template -->\n```python\n")
    module = types.ModuleType("mlflow_trace.acme")
    exec(compile(rest.partition("\n```\n")[0], str(DOCS), "exec"), vars(module))
    yield module
    module.autolog(disable=True)


def test_the_template_traces_calls_and_streams(library, template, recording):
    template.autolog()
    from acme.client import Client, Stream

    assert Client().ask("why?", model="m") == "an answer"
    stream = Client().ask("why?", model="m", stream=True)
    assert type(stream) is Stream
    assert list(stream) == ["an ", "answer"]
    template.autolog(disable=True)
    assert Client().ask("unseen", model="m") == "an answer"
    traces = recording.traces()
    assert [trace.root.outputs for trace in traces] == ["an answer", "an answer"]
    assert [trace.root.attributes["mlflow.llm.model"] for trace in traces] == ["m", "m"]
    assert traces[1].root.inputs == {"question": "why?", "model": "m", "stream": True}
