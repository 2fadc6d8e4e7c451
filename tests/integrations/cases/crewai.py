"""CrewAI: crews, tasks, agents, models, tools, flows."""

import mlflow_trace
from case import URL, case
from crewai import LLM, Agent, Crew, Task
from crewai.flow.flow import Flow, listen, start
from crewai.tools import tool


def model(**options):
    return LLM(model="gpt-4o-mini", base_url=f"{URL}/v1", api_key="fake", **options)


@tool("get_weather")
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


@tool("get_storm")
def get_storm(city: str) -> str:
    """Storms of a city."""
    raise RuntimeError(f"no storm in {city}")


@tool("get_wind")
def get_wind(city: str) -> str:
    """Wind of a city."""
    with mlflow_trace.start_span("look up"):
        return f"no wind in {city}"


def agent(*tools, **options):
    return Agent(role="Helper", goal="help", backstory="b", llm=model(**options), tools=list(tools))


def task(helper, description="Hi there", **options):
    return Task(description=description, expected_output="text", agent=helper, **options)


def crew(*tools, description="Hi there", **options):
    helper = agent(*tools, **options)
    return Crew(agents=[helper], tasks=[task(helper, description)], verbose=False)


@case("crew")
def _():
    return crew().kickoff().raw


@case("crew-inputs")
def _():
    return crew(description="Hi {name}").kickoff(inputs={"name": "Ann"}).raw


@case("crew-async")
async def _():
    return (await crew().kickoff_async()).raw


@case("crew-native-async")
async def _():
    return (await crew().akickoff()).raw


@case("crew-two-tasks")
def _():
    helper = agent()
    tasks = [task(helper, name="first"), task(helper, "And then?", name="second")]
    return Crew(agents=[helper], tasks=tasks, name="pair", verbose=False).kickoff().raw


@case("crew-tasks-in-threads")
def _():
    helper = agent()
    tasks = [
        task(helper, name="first", async_execution=True),
        task(helper, "And then?", name="second"),
    ]
    return Crew(agents=[helper], tasks=tasks, verbose=False).kickoff().raw


@case("crew-tool")
def _():
    return crew(get_weather, description="Weather in Paris").kickoff().raw


@case("crew-tool-error")
def _():
    return crew(get_storm, description="Weather in Paris").kickoff().raw


@case("span-in-tool")
def _():
    return crew(get_wind, description="Weather in Paris").kickoff().raw


@case("crew-stream")
def _():
    return crew(stream=True).kickoff().raw


@case("crew-error")
def _():
    return crew(description="Hi #fake:error=400").kickoff().raw


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return crew().kickoff().raw


@case("agent")
def _():
    return agent().kickoff("Hi there").raw


@case("model")
def _():
    return model().call("Hi there")


@case("flow")
def _():
    class Greeting(Flow):
        @start()
        def greet(self):
            return model().call("Hi there")

        @listen(greet)
        def answer(self, said):
            return f"{said}!"

    return Greeting().kickoff()
