"""Groq: chat, embeddings."""

import groq
import mlflow_trace
from case import URL, case, u

client = groq.Groq(api_key="fake", base_url=URL, max_retries=0)
MODEL = "llama-3.3-70b-versatile"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def asynchronous():
    return groq.AsyncGroq(api_key="fake", base_url=URL, max_retries=0)


def chat(text="Hi there", **options):
    return client.chat.completions.create(model=MODEL, messages=u(text), **options)


def text_of(chunk):
    return chunk.choices[0].delta.content or "" if chunk.choices else ""


@case("async")
async def _():
    reply = await asynchronous().chat.completions.create(model=MODEL, messages=u("Hi there"))
    return reply.choices[0].message.content


@case("chat")
def _():
    return chat().choices[0].message.content


@case("embeddings")
def _():
    return client.embeddings.create(model="nomic-embed-text-v1_5", input="a").data[0].embedding


@case("error")
def _():
    return chat("Hi #fake:error=429")


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return chat().choices[0].message.content


@case("raw-response")
def _():
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=u("Hi there"))
    return raw.parse().choices[0].message.content


@case("stream")
def _():
    return "".join(map(text_of, chat(stream=True)))


@case("stream-abandoned")
def _():
    with chat(stream=True) as stream:
        return [text_of(next(stream)) for _ in range(3)]


@case("stream-async")
async def _():
    stream = await asynchronous().chat.completions.create(
        model=MODEL, messages=u("Hi there"), stream=True
    )
    return "".join([text_of(chunk) async for chunk in stream])


@case("stream-error")
def _():
    return "".join(map(text_of, chat("Hi #fake:stream-error", stream=True)))


@case("stream-tools")
def _():
    chunks = list(chat("Weather?", tools=[TOOL], stream=True))
    return [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1]


@case("tools")
def _():
    return chat("Weather?", tools=[TOOL]).choices[0].message.tool_calls
