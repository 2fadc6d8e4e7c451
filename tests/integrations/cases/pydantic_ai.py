"""Pydantic AI: agents, models, tools, streams."""

import mlflow_trace
import openai
from case import case
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def model():
    """A model with connections of its own: they belong to an event loop."""
    client = openai.AsyncOpenAI(max_retries=0)
    return OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=client))


def get_weather(city: str) -> str:
    """Weather of a city.

    Args:
        city: A city
    """
    return f"sunny in {city}"


class Weather(BaseModel):
    city: str


@case("run")
async def _():
    return (await Agent(model(), instructions="Be brief.").run("Hi there")).output


@case("run-sync")
def _():
    return Agent(model()).run_sync("Hi there").output


@case("error")
async def _():
    return (await Agent(model()).run("Hi #fake:error=429")).output


@case("tool")
async def _():
    return (await Agent(model(), tools=[get_weather]).run("Weather in Paris?")).output


@case("tools-parallel")
async def _():
    agent = Agent(model(), tools=[get_weather])
    return (await agent.run("Weather in Paris? #fake:parallel")).output


@case("tool-error")
async def _():
    def get_storm(city: str) -> str:
        """Storms of a city."""
        raise RuntimeError(f"no storm in {city}")

    return (await Agent(model(), tools=[get_storm]).run("Weather in Paris?")).output


@case("tool-retry")
async def _():
    calls = []

    def get_moon(city: str) -> str:
        """Moon of a city."""
        calls.append(city)
        if len(calls) == 1:
            raise ModelRetry("again")
        return f"full moon in {city}"

    return (await Agent(model(), tools=[get_moon]).run("Weather in Paris?")).output


@case("structured")
async def _():
    return (await Agent(model(), output_type=Weather).run("Weather in Paris?")).output


@case("in-parent")
async def _():
    with mlflow_trace.start_span("outer"):
        return (await Agent(model()).run("Hi there")).output


@case("span-in-tool")
async def _():
    def get_wind(city: str) -> str:
        """Wind of a city."""
        with mlflow_trace.start_span("look up"):
            return f"no wind in {city}"

    return (await Agent(model(), tools=[get_wind]).run("Weather in Paris?")).output


@case("agent-in-tool")
async def _():
    helper = Agent(model(), name="helper")

    async def ask_helper(city: str) -> str:
        """Ask a helper."""
        return (await helper.run(f"Hi {city}")).output

    return (await Agent(model(), tools=[ask_helper]).run("Weather in Paris?")).output


@case("stream")
async def _():
    async with Agent(model()).run_stream("Hi there") as result:
        return [text async for text in result.stream_text()][-1]


@case("stream-tool")
async def _():
    async with Agent(model(), tools=[get_weather]).run_stream("Weather in Paris?") as result:
        return [text async for text in result.stream_text()][-1]


@case("stream-sync")
def _():
    with (
        mlflow_trace.start_span("outer"),
        Agent(model()).run_stream_sync("Hi there") as result,
    ):
        return list(result.stream_text())[-1]


@case("stream-abandoned")
async def _():
    async with Agent(model()).run_stream("Hi there") as result:
        async for text in result.stream_text(debounce_by=None):
            return text


@case("stream-error")
async def _():
    async with Agent(model()).run_stream("Hi #fake:stream-error") as result:
        return [text async for text in result.stream_text()][-1]


@case("stream-events")
async def _():
    kinds = []
    async with Agent(model(), tools=[get_weather]).run_stream_events("Weather in Paris?") as events:
        async for event in events:
            kinds.append(type(event).__name__)
    return kinds[-1]


@case("iter")
async def _():
    async with Agent(model(), tools=[get_weather]).iter("Weather in Paris?") as run:
        nodes = [type(node).__name__ async for node in run]
    return nodes


@case("iter-in-span")
async def _():
    with mlflow_trace.start_span("outer"):
        async with Agent(model()).iter("Hi there") as run:
            with mlflow_trace.start_span("step"):
                return [type(node).__name__ async for node in run]


@case("iter-beside-span")
async def _():
    async with Agent(model()).iter("Hi there") as run:
        with mlflow_trace.start_span("beside"):
            return [type(node).__name__ async for node in run]


@case("name-of-the-variable")
async def _():
    poet = Agent(model())
    await poet.run("Hi there")
    bard = Agent(model())
    async with bard.run_stream("Hi there") as result:
        await result.get_output()
    skald = Agent(model())
    async with skald.iter("Hi there") as run:
        async for _node in run:
            pass
    return [poet.name, bard.name, skald.name]
