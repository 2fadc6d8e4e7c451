"""Ollama's client library, which is traced by what it sends."""

import mlflow_trace
import ollama
from case import URL, case, u

client = ollama.Client(host=URL)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def chat(text="Hi there", **options):
    return client.chat(model="llama3.2", messages=u(text), **options)


@case("chat")
def _():
    return chat().message.content


@case("chat-async")
async def _():
    reply = await ollama.AsyncClient(host=URL).chat(model="llama3.2", messages=u("Hi there"))
    return reply.message.content


@case("chat-error")
def _():
    return chat("Hi #fake:error=500")


@case("chat-stream")
def _():
    return "".join(part.message.content for part in chat(stream=True))


@case("chat-stream-tools")
def _():
    return [part.done for part in chat("Weather?", tools=[TOOL], stream=True)][-1]


@case("chat-tools")
def _():
    return chat("Weather?", tools=[TOOL]).message.tool_calls


@case("embed")
def _():
    return client.embed(model="all-minilm", input="a").embeddings


@case("generate")
def _():
    return client.generate(model="llama3.2", prompt="Hi there").response


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return chat().message.content
