"""Gemini, by google-genai: generate, stream, chats, embeddings, token counts."""

import mlflow_trace
from case import URL, case
from google import genai
from google.genai import types
from pydantic import BaseModel

MODEL = "gemini-2.5-flash"
Config = types.GenerateContentConfig


def new_client():
    return genai.Client(api_key="fake", http_options={"base_url": URL})


client = new_client()
DECLARED = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="Weather of a city",
            parameters_json_schema={
                "type": "object",
                "properties": {"city": {"type": "string", "description": "A city"}},
                "required": ["city"],
            },
        )
    ]
)


def get_weather(city: str) -> str:
    """Weather of a city.

    Args:
        city: A city
    """
    return f"sunny in {city}"


class City(BaseModel):
    name: str


def generate(contents, **config):
    given = {"config": Config(**config)} if config else {}
    return client.models.generate_content(model=MODEL, contents=contents, **given)


@case("chat-async")
async def _():
    kept = new_client()
    return (await kept.aio.chats.create(model=MODEL).send_message("Hi")).text


@case("chat-stream")
def _():
    return "".join(x.text for x in client.chats.create(model=MODEL).send_message_stream("Hi"))


@case("chat")
def _():
    chat = client.chats.create(model=MODEL)
    chat.send_message("Hi")
    return chat.send_message("Again").text


@case("count-tokens")
def _():
    return client.models.count_tokens(model=MODEL, contents="Hi there").total_tokens


@case("embed")
def _():
    reply = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
    return reply.embeddings[0].values


@case("error-429")
def _():
    return generate("Hi #fake:error=429")


@case("error-async-500")
async def _():
    kept = new_client()
    models = kept.aio.models
    return await models.generate_content(model=MODEL, contents="Hi #fake:error=500")


@case("generate-async")
async def _():
    kept = new_client()
    return (await kept.aio.models.generate_content(model=MODEL, contents="Hi there")).text


@case("generate-automatic-function-calling")
def _():
    return generate("Weather?", tools=[get_weather]).text


@case("stream-automatic-function-calling")
def _():
    stream = client.models.generate_content_stream(
        model=MODEL, contents="Weather?", config=Config(tools=[get_weather])
    )
    return "".join(x.text or "" for x in stream)


@case("generate-json-schema")
def _():
    return generate("a city", response_mime_type="application/json", response_schema=City).parsed


@case("generate-no-config")
def _():
    return generate("Hi there").text


@case("generate-thinking")
def _():
    return generate("Hi #fake:think").text


@case("generate-tool-declared")
def _():
    return generate("Weather?", tools=[DECLARED]).function_calls


@case("generate")
def _():
    return generate("Hi there", system_instruction="Be brief.", temperature=0.2).text


@case("in-parent")
def _():
    with mlflow_trace.start_span("agent", span_type="AGENT"):
        config = {"temperature": 0}
        return client.models.generate_content(model=MODEL, contents="Hi there", config=config).text


@case("stream-async")
async def _():
    kept = new_client()
    stream = await kept.aio.models.generate_content_stream(model=MODEL, contents="Hi there")
    return "".join([x.text async for x in stream])


@case("stream-abandoned")
def _():
    for chunk in client.models.generate_content_stream(model=MODEL, contents="Hi there"):
        return chunk.text


@case("stream")
def _():
    stream = client.models.generate_content_stream(model=MODEL, contents="Hi there")
    return "".join(x.text for x in stream)
