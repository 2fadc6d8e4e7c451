"""Calls of models as HTTP requests: what `mlflow_trace.http` records, and of what alone."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json

import httpx
import pytest

import mlflow_trace
from mlflow_trace import _native

CHAT = "https://models.example/openai/v1/chat/completions"
REQUEST = {"model": "some-model", "messages": [{"role": "user", "content": "Hi"}]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
REPLY = {
    "id": "1",
    "object": "chat.completion",
    "model": "some-model-2",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}}],
    "usage": USAGE,
}


def event(content, **rest):
    choices = [{"index": 0, "delta": {"content": content}}] if content else []
    chunk = {"id": "1", "object": "chat.completion.chunk", "choices": choices, **rest}
    return f"data: {json.dumps(chunk)}\n\n".encode()


class Parts(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in parts which know nothing of events."""

    def __init__(self, body, fail=None):
        self._parts = [body[i : i + 7] for i in range(0, len(body), 7)]
        self._fail = fail

    def __iter__(self):
        yield from self._parts
        if self._fail:
            raise self._fail

    async def __aiter__(self):
        for part in self:
            yield part


STREAM = event("Hel") + event("lo") + event("", usage=USAGE) + b"data: [DONE]\n\n"
SSE = {"content-type": "text/event-stream"}


def answer(request):
    path = request.url.path
    if path.endswith("/broken"):
        raise httpx.ConnectError("refused", request=request)
    asked = json.loads(request.content)
    if asked.get("status"):
        return httpx.Response(asked["status"], json={"error": {"message": "too many"}})
    if asked.get("stream"):
        cut = httpx.ReadError("cut") if asked.get("cut") else None
        return httpx.Response(200, headers=SSE, stream=Parts(STREAM, cut))
    if asked.get("gzip"):
        body = gzip.compress(json.dumps(REPLY).encode())
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        return httpx.Response(200, headers=headers, stream=Parts(body))
    return httpx.Response(200, json=REPLY, headers={"seen": str(request.headers)})


@pytest.fixture
def traces(recording):
    mlflow_trace.http.autolog()
    yield recording.traces
    mlflow_trace.http.autolog(disable=True)


@pytest.fixture
def client():
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        yield client


def test_a_call_and_its_reply(traces, client):
    response = client.post(CHAT, json=REQUEST)
    assert response.json() == REPLY
    (span,) = traces()[0].spans
    assert (span.name, span.attributes["mlflow.spanType"]) == ("Completions", "CHAT_MODEL")
    assert span.inputs == REQUEST
    assert span.outputs == REPLY
    assert span.attributes["mlflow.llm.model"] == "some-model-2"
    assert span.attributes["mlflow.message.format"] == "openai"
    assert span.attributes["mlflow.chat.tokenUsage"]["total_tokens"] == 5
    assert base64.b64decode(span.id).hex() in response.headers["seen"]


def test_an_asynchronous_call(traces):
    async def run():
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            return (await client.post(CHAT, json=REQUEST)).json()

    assert asyncio.run(run()) == REPLY
    assert traces()[0].root.name == "AsyncCompletions"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_is_passed_on_and_put_together(traces, client, asynchronous):
    request = {**REQUEST, "stream": True}

    async def run():
        transport = httpx.MockTransport(answer)
        async with (
            httpx.AsyncClient(transport=transport) as client,
            client.stream("POST", CHAT, json=request) as response,
        ):
            return b"".join([part async for part in response.aiter_raw()])

    if asynchronous:
        body = asyncio.run(run())
    else:
        with client.stream("POST", CHAT, json=request) as response:
            assert traces() == []
            body = b"".join(response.iter_raw())
    assert body == STREAM
    root = traces()[0].root
    assert root.outputs["choices"][0]["message"]["content"] == "Hello"
    assert root.attributes["mlflow.chat.tokenUsage"]["total_tokens"] == 5


def test_a_stream_that_is_left(traces, client):
    with client.stream("POST", CHAT, json={**REQUEST, "stream": True}) as response:
        received = b""
        for part in response.iter_raw():
            received += part
            if b"\n\n" in received:
                break
    root = traces()[0].root
    assert root.outputs["choices"][0]["message"]["content"] == "Hel"
    assert root.status[0] == "OK"


def test_a_stream_that_is_cut(traces, client):
    request = {**REQUEST, "stream": True, "cut": True}
    with (
        pytest.raises(httpx.ReadError, match="cut"),
        client.stream("POST", CHAT, json=request) as response,
    ):
        list(response.iter_raw())
    root = traces()[0].root
    assert root.status == ("ERROR", "ReadError: cut")
    assert root.outputs["choices"][0]["message"]["content"] == "Hello"


def test_a_compressed_reply(traces, client):
    assert client.post(CHAT, json={**REQUEST, "gzip": True}).json() == REPLY
    with client.stream("POST", CHAT, json={**REQUEST, "gzip": True}) as response:
        assert json.loads(response.read()) == REPLY
    assert [trace.root.outputs for trace in traces()] == [REPLY, REPLY]


def test_a_refusal_is_an_error(traces, client):
    assert client.post(CHAT, json={**REQUEST, "status": 429}).status_code == 429
    assert traces()[0].root.status == ("ERROR", "HTTP 429: too many")


def test_a_connection_that_fails(traces):
    def refuse(request):
        raise httpx.ConnectError("refused", request=request)

    client = httpx.Client(transport=httpx.MockTransport(refuse))
    with pytest.raises(httpx.ConnectError):
        client.post(CHAT, json=REQUEST)
    assert traces()[0].root.status == ("ERROR", "ConnectError: refused")


def test_what_is_no_call_of_a_model_is_left_alone(traces, client):
    client.post("https://shop.example/api/chat", json={"text": "hello"})
    client.post("https://models.example/v1/files", json=REQUEST)
    client.request("GET", CHAT, json=REQUEST)
    assert traces() == []


def test_what_a_span_stands_for_already_is_left_alone(traces, client):
    with mlflow_trace.start_span("call") as span:
        _native.record_request(span, "openai.chat", REQUEST)
        client.post(CHAT, json=REQUEST)
    assert [span.name for span in traces()[0].spans] == ["call"]


def test_the_call_is_below_the_current_span(traces, client):
    with mlflow_trace.start_span("agent"):
        client.post(CHAT, json=REQUEST)
    (trace,) = traces()
    assert trace.span("Completions").parent == trace.root.id


@pytest.mark.parametrize(
    ("path", "reply", "name", "usage"),
    [
        (
            "/v1/messages",
            {"content": [], "usage": {"input_tokens": 1, "output_tokens": 2}},
            "Messages.create",
            3,
        ),
        ("/api/chat", {"prompt_eval_count": 1, "eval_count": 2}, "Ollama", 3),
        ("/v1/responses", {"usage": {"input_tokens": 1, "output_tokens": 2}}, "Responses", 3),
        (
            "/v1beta/models/gemini-x:generateContent",
            {"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 3}},
            "Models.generate_content",
            3,
        ),
    ],
)
def test_wire_formats_are_known_by_their_paths(traces, path, reply, name, usage):
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=reply))
    with httpx.Client(transport=transport, base_url="https://models.example") as client:
        client.post(path, json={"model": "m"} if "gemini" not in path else {"contents": []})
    root = traces()[0].root
    assert root.name == name
    assert root.attributes["mlflow.chat.tokenUsage"]["total_tokens"] == usage
    assert root.attributes["mlflow.llm.model"] in ("m", "gemini-x")


def test_embeddings_are_numbers(traces):
    reply = {"object": "list", "data": [{"index": 0, "embedding": "AACAPwAAAEA="}], "model": "m"}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=reply))
    with httpx.Client(transport=transport) as client:
        client.post("https://models.example/v1/embeddings", json={"model": "m", "input": "x"})
    assert traces()[0].root.outputs["data"][0]["embedding"] == [1.0, 2.0]


def test_content_can_be_kept_out(traces, client):
    mlflow_trace.configure(capture_content=False)
    try:
        client.post(CHAT, json={**REQUEST, "temperature": 1})
        text = json.dumps([span.json for span in traces()[0].spans])
    finally:
        mlflow_trace.configure(capture_content=None)
    assert "Hello" not in text
    assert "Hi" not in text
    assert "some-model-2" in text
    assert "total_tokens" in text
