"""Agno: agents, teams, workflows, tools, streams, sessions."""

import mlflow_trace
from agno.agent import Agent
from agno.models.openai import OpenAIChat, OpenAIResponses
from agno.team import Team
from agno.workflow import Step, Workflow
from case import URL, case
from pydantic import BaseModel


def model(kind=OpenAIChat):
    return kind(id="gpt-4o-mini", api_key="fake", base_url=f"{URL}/v1")


def agent(name="Helper", **options):
    return Agent(**{"name": name, "model": model(), "telemetry": False, **options})


def get_weather(city: str) -> str:
    """Weather of a city.

    Args:
        city: A city
    """
    return f"sunny in {city}"


def weather_agent():
    return agent(tools=[get_weather])


@case("run")
def _():
    return agent().run("Hi there").content


@case("arun")
async def _():
    return (await agent().arun("Hi there")).content


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return agent().run("Hi there").content


@case("llm-error")
def _():
    return agent().run("Hi #fake:error=429").content


@case("responses-api")
def _():
    return agent(model=model(OpenAIResponses)).run("Hi there").content


@case("session-user")
def _():
    return agent().run("Hi there", session_id="sess-1", user_id="user-1").content


@case("stream")
def _():
    parts = (event.content for event in agent().run("Hi there", stream=True))
    return "".join(part for part in parts if isinstance(part, str))


@case("stream-abandoned")
def _():
    for _event in agent().run("Hi there", stream=True):
        break


@case("stream-async")
async def _():
    return [type(event).__name__ async for event in agent().arun("Hi there", stream=True)]


@case("stream-tool")
def _():
    events = weather_agent().run("Weather?", stream=True, stream_events=True)
    return [type(event).__name__ for event in events]


class City(BaseModel):
    name: str


@case("structured")
def _():
    return agent(output_schema=City).run("a city").content


@case("team")
def _():
    members = [agent("One"), agent("Two")]
    return team(members).run("Hi #fake:no-tool").content


@case("team-delegate")
def _():
    return team([agent("One")]).run("Do it").content


def team(members):
    return Team(name="Crew", members=members, model=model(), telemetry=False)


@case("tool")
def _():
    return weather_agent().run("Weather in Paris?").content


@case("tool-async")
async def _():
    return (await weather_agent().arun("Weather in Paris?")).content


@case("tool-error")
def _():
    def get_weather(city: str) -> str:
        """Weather."""
        raise ValueError("no weather")

    return agent(tools=[get_weather]).run("Weather?").content


@case("workflow")
def _():
    flow = Workflow(name="Flow", steps=[Step(name="s1", agent=agent("One"))])
    return flow.run("Hi there").content
