"""OpenAI: chat, responses, completions, embeddings, images."""

import gc

import mlflow_trace
import openai
from case import case, u
from pydantic import BaseModel

client = openai.OpenAI(max_retries=0)
MODEL = "gpt-4o-mini"
MESSAGES = [{"role": "system", "content": "Be brief."}, *u("Hi there")]
FUNCTION = {
    "name": "get_weather",
    "description": "Weather of a city",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "A city"},
            "unit": {"type": "string", "enum": ["c", "f"]},
        },
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
}
TOOL = {"type": "function", "function": FUNCTION}
RESPONSES_TOOL = {"type": "function", **FUNCTION}


def asynchronous():
    return openai.AsyncOpenAI(max_retries=0)


def chat(text=None, **options):
    messages = MESSAGES if text is None else u(text)
    return client.chat.completions.create(model=MODEL, messages=messages, **options)


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@case("chat")
def _():
    return chat(temperature=0.5).choices[0].message.content


@case("chat-async")
async def _():
    reply = await asynchronous().chat.completions.create(model=MODEL, messages=MESSAGES)
    return reply.choices[0].message.content


@case("chat-error-429")
def _():
    return chat("hi #fake:error=429")


@case("chat-error-async-500")
async def _():
    messages = u("hi #fake:error=500")
    return await asynchronous().chat.completions.create(model=MODEL, messages=messages)


class City(BaseModel):
    name: str
    people: int


@case("chat-parse")
def _():
    reply = client.chat.completions.parse(model=MODEL, messages=u("a city"), response_format=City)
    return reply.choices[0].message.parsed


@case("chat-raw-response")
def _():
    raw = client.chat.completions.with_raw_response
    return raw.create(model=MODEL, messages=MESSAGES).parse().id


@case("chat-raw-response-stream")
def _():
    raw = client.chat.completions.with_raw_response
    return text_of(raw.create(model=MODEL, messages=MESSAGES, stream=True).parse())


@case("chat-stream-abandoned")
def _():
    stream = chat(stream=True)
    for _chunk in stream:
        break
    stream.close()


@case("chat-stream-never-read")
def _():
    stream = chat(stream=True)
    del stream
    gc.collect()


@case("chat-stream-async")
async def _():
    stream = await asynchronous().chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    return text_of([chunk async for chunk in stream])


@case("chat-stream-context-manager")
def _():
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        for _event in stream:
            pass
        return stream.get_final_completion().choices[0].message.content


@case("chat-stream-cut")
def _():
    return list(chat("hi #fake:stream-cut", stream=True))


@case("chat-stream-error")
def _():
    return list(chat("hi #fake:stream-error", stream=True))


@case("chat-stream-tools")
def _():
    stream = chat("Weather?", tools=[TOOL], stream=True)
    return [chunk.choices[0].finish_reason for chunk in stream]


@case("chat-stream-usage")
def _():
    return text_of(chat(stream=True, stream_options={"include_usage": True}))


@case("chat-stream")
def _():
    return text_of(chat(stream=True))


@case("chat-streaming-response")
def _():
    streaming = client.chat.completions.with_streaming_response
    with streaming.create(model=MODEL, messages=MESSAGES) as response:
        return response.parse().id


@case("chat-tools-two-turns-in-parent")
def _():
    with mlflow_trace.start_span("agent", span_type="AGENT"):
        messages = u("Weather in Paris?")
        reply = client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
        message = reply.choices[0].message
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
        messages += [message, result]
        reply = client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
        return reply.choices[0].message.content


@case("chat-tools")
def _():
    reply = chat("Weather in Paris? #fake:parallel", tools=[TOOL])
    return reply.choices[0].message.tool_calls


def complete(**options):
    return client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Say hi", **options)


@case("completion-stream")
def _():
    return "".join(chunk.choices[0].text for chunk in complete(stream=True))


@case("completion")
def _():
    return complete().choices[0].text


@case("embeddings-async")
async def _():
    embeddings = asynchronous().embeddings
    return (await embeddings.create(model="text-embedding-3-small", input="a")).data[0].embedding


@case("embeddings")
def _():
    reply = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    return reply.data[0].embedding


@case("images")
def _():
    return client.images.generate(model="gpt-image-1", prompt="a cat").data[0].url


def respond(text, **options):
    return client.responses.create(model=MODEL, input=text, **options)


@case("responses-builtin-tools")
def _():
    tools = [{"type": "web_search_preview"}, {"type": "web_search"}]
    return respond("News?", tools=tools).output_text


@case("responses-error-401")
def _():
    return respond("x #fake:error=401")


class Place(BaseModel):
    name: str


# The goldens' name of the class; it is part of what the caller sees.
Place.__name__ = Place.__qualname__ = "City"


@case("responses-parse")
def _():
    return client.responses.parse(model=MODEL, input="a city", text_format=Place).output_parsed


@case("responses-stream-async")
async def _():
    stream = await asynchronous().responses.create(model=MODEL, input="Hi", stream=True)
    return [event.type async for event in stream]


@case("responses-stream-error")
def _():
    return [event.type for event in respond("Hi #fake:stream-error", stream=True)]


@case("responses-stream-manager")
def _():
    with client.responses.stream(model=MODEL, input="Hi") as stream:
        for _event in stream:
            pass
        return stream.get_final_response().output_text


@case("responses-stream-tools")
def _():
    return [event.type for event in respond("Weather?", tools=[RESPONSES_TOOL], stream=True)]


@case("responses-stream")
def _():
    return [event.type for event in respond("Hi", stream=True)]


@case("responses-tools")
def _():
    return respond("Weather in Paris? #fake:think", tools=[RESPONSES_TOOL]).output


@case("responses")
def _():
    return respond("Hi", instructions="Be brief.").output_text
