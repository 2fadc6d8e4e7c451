# The libraries are not where types are checked.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"
"""Agno and AG2 beside the program's own spans, in threads, tasks and streams, on and off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import mlflow_trace
import pytest
from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.team import Team
from agno.workflow import Parallel, Step, Workflow
from autogen import ConversableAgent, register_function
from mlflow_trace import _native

Tree = dict[str, str | None]
Trees = Callable[[], list[Tree]]


@pytest.fixture
def trees() -> Iterator[Trees]:
    """The traces since it was last asked, as the parents of the names of their spans."""
    mlflow_trace.shutdown(timeout=5)
    mlflow_trace.configure(exporter="memory", tracking_uri=None, batch_delay_ms=0)
    _native.memory_traces()
    mlflow_trace.agno.autolog()
    mlflow_trace.ag2.autolog()

    def of() -> list[Tree]:
        assert mlflow_trace.flush(timeout=5) == 0
        found = []
        for text in _native.memory_traces():
            spans = json.loads(text)["spans"]
            names = {span["span_id"]: span["name"] for span in spans}
            found.append({span["name"]: names.get(span["parent_span_id"]) for span in spans})
        return sorted(found, key=str)

    yield of
    mlflow_trace.agno.autolog(disable=True)
    mlflow_trace.ag2.autolog(disable=True)
    mlflow_trace.shutdown(timeout=5)
    mlflow_trace.configure(exporter=None, batch_delay_ms=None)


@pytest.fixture
def agent(provider_url: str) -> Callable[..., Agent]:
    def make(name: str = "Helper", **options: Any) -> Agent:
        return Agent(name=name, model=model(provider_url), telemetry=False, **options)

    return make


def model(url: str) -> OpenAIChat:
    return OpenAIChat(id="gpt-4o-mini", api_key="fake", base_url=f"{url}/v1")


def ordered(found: list[Tree]) -> list[Any]:
    return sorted((sorted(tree.items(), key=str) for tree in found), key=str)


def weather(city: str) -> str:
    """Weather of a city."""
    with mlflow_trace.start_span("mine"):
        return f"sunny in {city}"


async def async_weather(city: str) -> str:
    """Weather of a city."""
    with mlflow_trace.start_span("mine"):
        await asyncio.sleep(0.001)
        return f"sunny in {city}"


def test_agno_spans_of_who_reads_a_stream(trees: Trees, agent: Callable[..., Agent]) -> None:
    with mlflow_trace.start_span("outer"):
        for _ in agent().run("Hi", stream=True):
            with mlflow_trace.start_span("reader"):
                pass
    wanted = {"outer": None, "Helper.run": "outer", "reader": "outer"}
    assert trees() == [{**wanted, "OpenAIChat.invoke_stream": "Helper.run"}]


def test_agno_runs_at_the_same_time(trees: Trees, agent: Callable[..., Agent]) -> None:
    names = ["One", "Two", "Three"]

    async def all_of_them() -> None:
        await asyncio.gather(*(agent(n, tools=[async_weather]).arun("Weather?") for n in names))

    asyncio.run(all_of_them())
    wanted: list[Tree] = [
        {
            f"{name}.arun": None,
            "OpenAIChat.ainvoke": f"{name}.arun",
            "async_weather": f"{name}.arun",
            "mine": "async_weather",
        }
        for name in names
    ]
    assert ordered(trees()) == ordered(wanted)


def test_agno_parallel_steps(trees: Trees, agent: Callable[..., Agent]) -> None:
    steps = [Step(name=name, agent=agent(f"Agent{name}")) for name in "ab"]
    Workflow(name="Flow", steps=[Parallel(*steps, name="both")]).run("Hi")
    (tree,) = trees()
    assert tree["a.execute"] == tree["b.execute"] == "Flow.run"
    assert tree["Agenta.run"] == "a.execute"
    assert tree["Agentb.run"] == "b.execute"


def test_agno_tool_whose_answer_is_read_later(
    trees: Trees, agent: Callable[..., Agent], provider_url: str
) -> None:
    team = Team(name="Crew", members=[agent("One")], model=model(provider_url), telemetry=False)

    async def read() -> None:
        async for _ in team.arun("Do it", stream=True):
            pass

    asyncio.run(read())
    assert mlflow_trace.flush(timeout=5) == 0
    (text,) = _native.memory_traces()
    (tool,) = (s for s in json.loads(text)["spans"] if s["name"] == "delegate_task_to_member")
    assert "not found in the team" in tool["attributes"]["mlflow.spanOutputs"]
    agent("Two").run("Hi")
    assert trees() == [{"Two.run": None, "OpenAIChat.invoke": "Two.run"}]


def test_agno_off(trees: Trees, agent: Callable[..., Agent]) -> None:
    before = vars(Agent)["run"]
    mlflow_trace.agno.autolog(disable=True)
    assert vars(Agent)["run"] is before.__wrapped__
    agent(tools=[weather]).run("Weather?")
    assert trees() == [{"mine": None}]


def chat(
    url: str, name: str = "", function: Any = None
) -> tuple[ConversableAgent, ConversableAgent]:
    configured = {"model": "gpt-4o-mini", "api_key": "fake", "base_url": f"{url}/v1"}
    options = {"config_list": [configured], "cache_seed": None}
    assistant = ConversableAgent(f"assistant{name}", llm_config=options, human_input_mode="NEVER")
    user = ConversableAgent(f"user{name}", llm_config=False, human_input_mode="NEVER")
    if function is not None:
        register_function(function, caller=assistant, executor=user, description="Weather")
    return assistant, user


def test_ag2_asynchronous_chats_at_the_same_time(trees: Trees, provider_url: str) -> None:
    async def one(name: str) -> None:
        assistant, user = chat(provider_url, name, async_weather)
        await user.a_initiate_chat(assistant, message="Weather?", max_turns=2, silent=True)

    async def both() -> None:
        await asyncio.gather(one("1"), one("2"))

    asyncio.run(both())
    wanted: list[Tree] = [
        {
            "a_initiate_chat": None,
            f"assistant{name}": "a_initiate_chat",
            "chat_completion": f"assistant{name}",
            f"user{name}": "a_initiate_chat",
            "async_weather": f"user{name}",
            "mine": "async_weather",
        }
        for name in "12"
    ]
    assert ordered(trees()) == ordered(wanted)


def test_ag2_agents_that_were_made_before(trees: Trees, provider_url: str) -> None:
    mlflow_trace.ag2.autolog(disable=True)
    assistant, user = chat(provider_url)
    user.initiate_chat(assistant, message="Hi", max_turns=1, silent=True)
    assert trees() == []
    mlflow_trace.ag2.autolog()
    user.initiate_chat(assistant, message="Hi", max_turns=1, silent=True)
    chat_of = {"initiate_chat": None, "assistant": "initiate_chat"}
    assert trees() == [{**chat_of, "chat_completion": "assistant"}]


def test_ag2_keys_are_not_recorded(trees: Trees, provider_url: str) -> None:
    assistant, user = chat(provider_url)
    user.initiate_chat(assistant, message="Hi", max_turns=1, silent=True)
    assert mlflow_trace.flush(timeout=5) == 0
    (text,) = _native.memory_traces()
    assert "gpt-4o-mini" in text
    assert "api_key" not in text
    assert "base_url" not in text
