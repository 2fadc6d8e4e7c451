"""AG2 since version 1: turns, tools, streams."""

import mlflow_trace
from ag2 import Agent
from ag2.config import OpenAIConfig
from case import URL, case


def agent(*tools, streaming=False):
    config = OpenAIConfig(
        model="gpt-4o-mini",
        api_key="fake",
        base_url=f"{URL}/v1",
        max_retries=0,
        streaming=streaming,
    )
    return Agent("helper", config=config, tools=list(tools))


def weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


@case("ask")
async def _():
    return (await agent().ask("Hi there")).body


@case("in-parent")
async def _():
    with mlflow_trace.start_span("outer"):
        return (await agent().ask("Hi there")).body


@case("stream")
async def _():
    return (await agent(streaming=True).ask("Hi there")).body


@case("tool")
async def _():
    return (await agent(weather).ask("Weather in Paris?")).body


@case("tool-error")
async def _():
    def bad(city: str) -> str:
        """Weather of a city."""
        raise ValueError("no weather")

    return (await agent(bad).ask("Weather in Paris?")).body.splitlines()[-1]


@case("llm-error")
async def _():
    return (await agent().ask("Hi #fake:error=429")).body
