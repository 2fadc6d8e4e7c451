"""Mistral: chat."""

import mlflow_trace
from case import URL, case, u

try:
    from mistralai.client import Mistral
except ImportError:  # before version 2
    from mistralai import Mistral


def new_client():
    return Mistral(api_key="fake", server_url=URL)


client = new_client()
MODEL = "mistral-large-latest"
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


def chat(text="Hi there", **options):
    return client.chat.complete(model=MODEL, messages=u(text), **options)


def stream(text="Hi there", **options):
    return client.chat.stream(model=MODEL, messages=u(text), **options)


def text_of(event):
    return event.data.choices[0].delta.content or ""


@case("async")
async def _():
    reply = await new_client().chat.complete_async(model=MODEL, messages=u("Hi there"))
    return reply.choices[0].message.content


@case("chat")
def _():
    return chat().choices[0].message.content


@case("error")
def _():
    return chat("Hi #fake:error=429")


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return chat().choices[0].message.content


@case("stream")
def _():
    return [event.data.choices[0].delta.content for event in stream()]


@case("stream-abandoned")
def _():
    with stream() as events:
        return [text_of(next(events)) for _ in range(3)]


@case("stream-async")
async def _():
    events = await new_client().chat.stream_async(model=MODEL, messages=u("Hi there"))
    return "".join([text_of(event) async for event in events])


@case("stream-error")
def _():
    return "".join(map(text_of, stream("Hi #fake:error=500")))


@case("tools")
def _():
    return chat("Weather?", tools=[TOOL]).choices[0].message.tool_calls
