"""smolagents: agents, models, tools."""

import mlflow_trace
from case import URL, case
from smolagents import OpenAIModel, ToolCallingAgent, tool


def model():
    return OpenAIModel(model_id="gpt-4o-mini", api_base=f"{URL}/v1", api_key="fake")


def said(text="Hi there"):
    return [{"role": "user", "content": [{"type": "text", "text": text}]}]


@tool
def get_weather(city: str) -> str:
    """Weather of a city.

    Args:
        city: A city.
    """
    return f"sunny in {city}"


def agent(**options):
    return ToolCallingAgent(tools=[get_weather], model=model(), verbosity_level=0, **options)


@case("model")
def _():
    return model()(said()).content


@case("model-error")
def _():
    return model().generate(said("Hi #fake:error=400"))


@case("model-stream")
def _():
    return "".join(delta.content or "" for delta in model().generate_stream(said()))


@case("model-stream-abandoned")
def _():
    deltas = model().generate_stream(said())
    return [next(deltas).content for _ in range(3)]


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return model()(said()).content


@case("tool-agent")
def _():
    return agent().run("Weather in Paris?", max_steps=1)


@case("tool-agent-stream")
def _():
    steps = agent().run("Weather in Paris?", max_steps=1, stream=True)
    return [type(step).__name__ for step in steps][-1]


@case("tool")
def _():
    return get_weather(city="Paris")
