"""LiteLLM: completions and embeddings of several providers."""

import asyncio

import litellm
import mlflow_trace
from case import URL, case, u

OPTIONS = {"api_base": f"{URL}/v1", "api_key": "fake"}
MODEL = "openai/gpt-4o-mini"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def completion(text="Hi there", **options):
    return litellm.completion(MODEL, messages=u(text), **OPTIONS, **options)


async def told():
    """Wait until LiteLLM has told its callbacks, among them MLflow's."""
    await asyncio.sleep(1)


def text_of(chunk):
    return chunk.choices[0].delta.content or "" if chunk.choices else ""


@case("acompletion")
async def _():
    reply = await litellm.acompletion(model=MODEL, messages=u("Hi there"), **OPTIONS)
    await told()
    return reply.choices[0].message.content


@case("anthropic")
def _():
    reply = litellm.completion(
        model="anthropic/claude-sonnet-4-5", messages=u("Hi there"), api_base=URL, api_key="fake"
    )
    return reply.choices[0].message.content


@case("anthropic-stream")
def _():
    chunks = litellm.completion(
        model="anthropic/claude-sonnet-4-5",
        messages=u("Hi there"),
        api_base=URL,
        api_key="fake",
        stream=True,
        stream_options={"include_usage": True},
    )
    return "".join(map(text_of, chunks))


@case("completion")
def _():
    return completion().choices[0].message.content


@case("embedding")
def _():
    reply = litellm.embedding(model="openai/text-embedding-3-small", input=["a"], **OPTIONS)
    return reply.data[0]["embedding"]


@case("error")
def _():
    return completion("Hi #fake:error=429")


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return completion().choices[0].message.content


@case("responses")
def _():
    return litellm.responses(model=MODEL, input="Hi there", **OPTIONS).output[0].content[0].text


@case("router")
async def _():
    parameters = {"model": MODEL, **OPTIONS}
    router = litellm.Router([{"model_name": "mine", "litellm_params": parameters}])
    reply = await router.acompletion("mine", messages=u("Hi there"))
    await told()
    return reply.choices[0].message.content


@case("stream")
def _():
    return "".join(map(text_of, completion(stream=True)))


@case("stream-abandoned")
def _():
    chunks = completion(stream=True)
    return [text_of(next(chunks)) for _ in range(3)]


@case("stream-async")
async def _():
    chunks = await litellm.acompletion(
        model=MODEL,
        messages=u("Hi there"),
        stream=True,
        stream_options={"include_usage": True},
        **OPTIONS,
    )
    return "".join([text_of(chunk) async for chunk in chunks])


@case("stream-error")
def _():
    return "".join(map(text_of, completion("Hi #fake:stream-error", stream=True)))


@case("stream-tools")
def _():
    chunks = list(completion("Weather?", tools=[TOOL], stream=True))
    return [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1]


@case("tools")
def _():
    return completion("Weather?", tools=[TOOL]).choices[0].message.tool_calls[0].function
