"""LangGraph: agents, subgraphs, parallel nodes, interrupts, threads, the functional interface."""

import operator
from typing import Annotated, TypedDict

import mlflow_trace
import openai
from case import case
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, Send, interrupt


def async_model():
    """A model with connections of its own: LangChain keeps those of an event loop that is over."""
    client = openai.DefaultAsyncHttpxClient()
    return ChatOpenAI(model="gpt-4o-mini", max_retries=0, http_async_client=client)


llm = ChatOpenAI(model="gpt-4o-mini", max_retries=0)
WEATHER = {"messages": [{"role": "user", "content": "Weather in Paris?"}]}


class State(TypedDict):
    x: str


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


def agent(node=None, tools=None, **options):
    model = llm.bind_tools([get_weather])

    def call(state):
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", node or call)
    graph.add_node("tools", tools or ToolNode([get_weather]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile(**options)


def async_agent():
    model = async_model().bind_tools([get_weather])

    async def call(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    return agent(call)


def graph_of(name, node, **options):
    graph = StateGraph(State)
    graph.add_node(name, node)
    graph.add_edge(START, name)
    return graph.compile(**options)


@case("agent-invoke")
def _():
    return agent().invoke(WEATHER)["messages"][-1].content


@case("agent-ainvoke")
async def _():
    return (await async_agent().ainvoke(WEATHER))["messages"][-1].content


@case("agent-astream-events")
async def _():
    return len([event async for event in async_agent().astream_events(WEATHER, version="v2")])


@case("agent-stream-messages")
def _():
    return len(list(agent().stream(WEATHER, stream_mode="messages")))


@case("agent-stream-updates")
def _():
    return [list(step) for step in agent().stream(WEATHER, stream_mode="updates")]


@case("functional-api")
def _():
    @task
    def t(x):
        return llm.invoke(x).content

    @entrypoint()
    def wf(x):
        return t(x).result()

    return wf.invoke("hi")


@case("interrupt-resume")
def _():
    app = graph_of("ask", lambda _: {"x": interrupt("ok?")}, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t2"}}
    app.invoke({"x": "a"}, config)
    return app.invoke(Command(resume="yes"), config)


@case("manual-span-in-async-node")
async def _():
    model = async_model()

    @mlflow_trace.trace
    async def step(x):
        return (await model.ainvoke(x)).content

    async def n(state):
        return {"x": await step(state["x"])}

    return await graph_of("n", n).ainvoke({"x": "a"})


@case("node-error")
def _():
    def bad(_state):
        raise ValueError("boom")

    return graph_of("bad", bad).invoke({"x": "a"})


class Fan(TypedDict):
    xs: list
    out: Annotated[list, operator.add]


@case("parallel-send")
def _():
    graph = StateGraph(Fan)
    graph.add_node("fan", lambda _: {})
    graph.add_node("work", lambda state: {"out": [llm.invoke(state["x"]).content]})
    graph.add_edge(START, "fan")
    send = lambda state: [Send("work", {"x": x}) for x in state["xs"]]
    graph.add_conditional_edges("fan", send, ["work"])
    graph.add_edge("work", END)
    return graph.compile().invoke({"xs": ["a", "b"], "out": []})["out"]


@case("subgraph")
def _():
    inner = graph_of("inner", lambda state: {"x": llm.invoke(state["x"]).content})
    return graph_of("sub", inner).invoke({"x": "a"})


@case("thread-session")
def _():
    graph = agent(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "thread-1"}}
    graph.invoke({"messages": [{"role": "user", "content": "Hi #fake:no-tool"}]}, config)
    again = {"messages": [{"role": "user", "content": "Again #fake:no-tool"}]}
    return graph.invoke(again, config)["messages"][-1].content


@case("tool-error")
def _():
    @tool
    def get_weather(city: str) -> str:
        """Weather of a city."""
        raise ValueError("no weather")

    model = llm.bind_tools([get_weather])
    return (
        agent(
            lambda state: {"messages": [model.invoke(state["messages"])]},
            ToolNode([get_weather], handle_tool_errors=True),
        )
        .invoke(WEATHER)["messages"][-1]
        .content
    )
