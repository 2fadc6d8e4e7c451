"""With the hook on HTTP switched on as well, a call is traced once; alone, that hook sees each."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import mlflow_trace
from mlflow_trace import _native

mlflow_trace.configure(exporter="memory")
mlflow_trace.http.autolog()
if sys.argv[1] == "both":
    mlflow_trace.autolog()

import anthropic, openai
from google import genai

import os
chat = openai.OpenAI().chat.completions
ask = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
chat.create(**ask)
list(chat.create(**ask, stream=True))
messages = anthropic.Anthropic().messages
messages.create(**ask, max_tokens=9)
with messages.stream(**ask, max_tokens=9) as stream:
    stream.get_final_message()
client = genai.Client(api_key="fake", http_options={"base_url": os.environ["FAKE_PROVIDER"]})
client.models.generate_content(model="g", contents="Hi")
list(client.models.generate_content_stream(model="g", contents="Hi"))
mlflow_trace.flush()
spans = [json.loads(text)["spans"] for text in _native.memory_traces()]
print(json.dumps([sorted(span["name"] for span in trace) for trace in spans]))
"""
CALLS = [["Completions"], ["Completions"], ["Messages.create"], ["Messages.stream"]]


@pytest.mark.parametrize("hooks", ["both", "http"])
def test_a_call_is_traced_once(environment: dict[str, str], hooks: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, hooks],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    traces = json.loads(done.stdout.splitlines()[-1])
    if hooks == "both":
        rounds = ["Models._generate_content", "Models.generate_content"]
        assert traces == [*CALLS, rounds, [f"{name}_stream" for name in rounds]]
    else:
        assert traces == [
            *CALLS[:3],
            ["Messages.create"],
            *[["Models.generate_content"]] * 2,
        ]
