"""DSPy: language models, modules, agents."""

import asyncio

import dspy
import mlflow_trace
from case import URL, case

lm = dspy.LM("openai/gpt-4o-mini", api_base=f"{URL}/v1", api_key="fake", cache=False, num_retries=0)
dspy.configure(lm=lm, adapter=dspy.JSONAdapter())
QUESTION = 'q #fake:say={"answer": "42"}'


@case("lm")
def _():
    return lm("Hi there")


@case("lm-error")
def _():
    return lm("Hi #fake:error=400")


@case("predict")
def _():
    return dspy.Predict("question -> answer")(question=QUESTION).answer


@case("predict-async")
async def _():
    return (await dspy.Predict("question -> answer").acall(question=QUESTION)).answer


@case("chain-of-thought")
def _():
    said = 'q #fake:say={"reasoning": "r", "answer": "42"}'
    return dspy.ChainOfThought("question -> answer")(question=said).answer


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return lm("Hi there")


class Program(dspy.Module):
    def __init__(self):
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question):
        with mlflow_trace.start_span("mine"):
            return self.ask(question=question)


@case("module")
def _():
    return Program()(question=QUESTION).answer


@case("at-the-same-time")
async def _():
    ask = dspy.Predict("question -> answer")
    answers = await asyncio.gather(ask.acall(question=QUESTION), ask.acall(question=QUESTION))
    return [answer.answer for answer in answers]


@case("tool")
def _():
    def weather(city: str) -> str:
        """Weather of a city."""
        return f"sunny in {city}"

    return dspy.Tool(weather)(city="Paris")


@case("tool-error")
def _():
    def weather(city: str) -> str:
        """Weather of a city."""
        raise ValueError("no weather")

    return dspy.Tool(weather)(city="Paris")
