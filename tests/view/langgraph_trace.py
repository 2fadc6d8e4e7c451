"""Records one trace of a LangGraph agent that uses a tool, for pictures of it.

    MLFLOW_TRACE_TEST_SERVER=http://127.0.0.1:5000 python tests/view/langgraph_trace.py

runs the agent against the fake provider and prints the ids of its experiment and its trace as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integrations"))

import fake_providers


def ask(provider: str) -> None:
    """Ask an agent of two nodes, a model and its tools, for the weather."""
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode, tools_condition

    @tool
    def get_weather(city: str) -> str:
        """Weather of a city."""
        return f"sunny in {city}"

    model = ChatOpenAI(model="gpt-4o-mini", base_url=f"{provider}/v1", api_key="fake").bind_tools(
        [get_weather]
    )

    def call_model(state: MessagesState) -> dict[str, list[object]]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", call_model)
    graph.add_node("tools", ToolNode([get_weather]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    agent = graph.compile(name="weather_agent")
    agent.invoke({"messages": [{"role": "user", "content": "What is the weather in Paris?"}]})


def main() -> None:
    import mlflow_trace

    mlflow_trace.set_tracking_uri(os.environ["MLFLOW_TRACE_TEST_SERVER"])
    experiment = mlflow_trace.set_experiment("langgraph")
    mlflow_trace.langchain.autolog()
    with fake_providers.running() as provider:
        ask(provider)
    mlflow_trace.flush()
    trace = mlflow_trace.get_last_active_trace_id()
    print(json.dumps({"experiment": experiment.experiment_id, "trace": trace}))


if __name__ == "__main__":
    main()
