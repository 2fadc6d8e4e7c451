"""Anthropic: messages."""

import anthropic
import mlflow_trace
from case import case, u
from pydantic import BaseModel

client = anthropic.Anthropic(max_retries=0)
BASE = {"model": "claude-sonnet-4-5", "max_tokens": 100}
TOOL = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "A city"}},
        "required": ["city"],
    },
}


def asynchronous():
    return anthropic.AsyncAnthropic(max_retries=0)


def create(text, **options):
    return client.messages.create(**BASE, messages=u(text), **options)


class City(BaseModel):
    name: str


@case("beta-messages")
def _():
    return client.beta.messages.create(**BASE, messages=u("Hi there")).content[0].text


@case("count-tokens")
def _():
    counted = client.messages.count_tokens(model=BASE["model"], messages=u("Hi there"))
    return counted.input_tokens


@case("messages-async")
async def _():
    return (await asynchronous().messages.create(**BASE, messages=u("Hi there"))).content[0].text


@case("messages-error-429")
def _():
    return create("Hi #fake:error=429")


@case("messages-error-async-529")
async def _():
    return await asynchronous().messages.create(**BASE, messages=u("Hi #fake:error=529"))


@case("messages-parse")
def _():
    parsed = client.messages.parse(**BASE, messages=u("a city"), output_format=City)
    return parsed.parsed_output


@case("messages-raw-response")
def _():
    return client.messages.with_raw_response.create(**BASE, messages=u("Hi")).parse().id


@case("messages-stream-flag")
def _():
    return [event.type for event in create("Hi there", stream=True)]


@case("messages-stream-flag-async")
async def _():
    stream = await asynchronous().messages.create(**BASE, messages=u("Hi there"), stream=True)
    return [event.type async for event in stream]


@case("messages-stream-abandoned")
def _():
    with create("Hi there", stream=True) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                break


@case("messages-stream-error")
def _():
    return [event.type for event in create("Hi #fake:stream-error", stream=True)]


@case("messages-stream-manager-async")
async def _():
    async with asynchronous().messages.stream(**BASE, messages=u("Hi there")) as stream:
        return "".join([text async for text in stream.text_stream])


@case("messages-stream-manager")
def _():
    with client.messages.stream(**BASE, messages=u("Hi there")) as stream:
        return "".join(stream.text_stream)


@case("messages-stream-manager-error")
def _():
    with client.messages.stream(**BASE, messages=u("Hi #fake:error=529")) as stream:
        return "".join(stream.text_stream)


@case("messages-stream-manager-unused")
def _():
    client.messages.stream(**BASE, messages=u("Hi there"))


@case("messages-stream-tools")
def _():
    with client.messages.stream(**BASE, messages=u("Weather?"), tools=[TOOL]) as stream:
        return stream.get_final_message().content


@case("beta-stream-manager")
def _():
    with client.beta.messages.stream(**BASE, messages=u("Hi there")) as stream:
        return "".join(stream.text_stream)


@case("messages-thinking")
def _():
    thinking = {"type": "enabled", "budget_tokens": 1024}
    return create("Hi #fake:think", thinking=thinking).content


@case("messages-stream-thinking")
def _():
    thinking = {"type": "enabled", "budget_tokens": 1024}
    return len(list(create("Hi #fake:think", thinking=thinking, stream=True)))


@case("messages-tools-two-turns-in-parent")
def _():
    with mlflow_trace.start_span("agent", span_type="AGENT"):
        messages = u("Weather?")
        reply = client.messages.create(**BASE, messages=messages, tools=[TOOL])
        result = {
            "type": "tool_result",
            "tool_use_id": reply.content[0].id,
            "content": "sunny",
        }
        messages += [
            {"role": "assistant", "content": reply.content},
            {"role": "user", "content": [result]},
        ]
        return client.messages.create(**BASE, messages=messages, tools=[TOOL]).content[0].text


@case("messages-tools")
def _():
    return create("Weather? #fake:parallel", tools=[TOOL]).content


@case("messages")
def _():
    return create("Hi there", system="Be brief.").content[0].text
