"""One tracer in a process of its own: what its integration adds to a call, as JSON.

Usage: calls.py ours|mlflow CASE BLOCKS, with the fake provider's address in FAKE_PROVIDER

Blocks of calls with the integration off and on take turns, so that what else the machine does falls
on both. What is sent is dropped where the exporter would begin.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

URL = os.environ.get("FAKE_PROVIDER", "")
CALLS = 10
SYSTEM = {"role": "system", "content": "You are a helpful assistant. " * 10}
USER = {"role": "user", "content": "What is the answer to the question of questions? " * 12}
SAY = {"role": "user", "content": "Say it. #fake:say=" + "42 is the answer. " * 60}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "A city"}},
    "required": ["city"],
}
TOOL = {"name": "get_weather", "description": "Weather of a city", "parameters": PARAMETERS}


def openai() -> Any:
    library = importlib.import_module("openai")
    return library.OpenAI(base_url=f"{URL}/v1", api_key="fake", max_retries=0)


def chat(**options: Any) -> Callable[[], Any]:
    completions = openai().chat.completions
    options = {"model": "gpt-4o-mini", "messages": [SYSTEM, USER], **options}
    if options.get("stream"):
        return lambda: list(completions.create(**options))
    return lambda: completions.create(**options)


def responses() -> Callable[[], Any]:
    client = openai()
    return lambda: client.responses.create(model="gpt-4o-mini", input=[SYSTEM, USER])


def messages(**options: Any) -> Callable[[], Any]:
    library = importlib.import_module("anthropic")
    client = library.Anthropic(base_url=URL, api_key="fake", max_retries=0)
    given = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [USER], **options}
    if options.get("stream"):
        return lambda: list(client.messages.create(**given))
    return lambda: client.messages.create(**given)


def gemini() -> Callable[[], Any]:
    library = importlib.import_module("google.genai")
    client = library.Client(api_key="fake", http_options={"base_url": URL})
    text = str(USER["content"])
    # The client is closed when it is collected.
    return lambda: client.models.generate_content(model="gemini-2.5-flash", contents=text)


def chat_model() -> Any:
    library = importlib.import_module("langchain_openai")
    options = {"base_url": f"{URL}/v1", "api_key": "fake", "max_retries": 0}
    return library.ChatOpenAI(model="gpt-4o-mini", **options)


def chain(stream: bool = False) -> Callable[[], Any]:
    prompts = importlib.import_module("langchain_core.prompts")
    parsers = importlib.import_module("langchain_core.output_parsers")
    texts = [("system", SYSTEM["content"]), ("human", "{q}")]
    prompt = prompts.ChatPromptTemplate.from_messages(texts)
    built = prompt | chat_model() | parsers.StrOutputParser()
    given = {"q": USER["content"]}
    return lambda: list(built.stream(given)) if stream else built.invoke(given)


def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


def graph() -> Callable[[], Any]:
    built = importlib.import_module("langchain.agents").create_agent(chat_model(), [get_weather])
    return lambda: built.invoke({"messages": [USER]})


def agno() -> Callable[[], Any]:
    models = importlib.import_module("agno.models.openai")
    model = models.OpenAIChat(id="gpt-4o-mini", api_key="fake", base_url=f"{URL}/v1")
    options = {"tools": [get_weather], "telemetry": False}
    agent = importlib.import_module("agno.agent").Agent(name="Helper", model=model, **options)
    text = str(USER["content"])
    return lambda: agent.run(text)


def ag2() -> Callable[[], Any]:
    agent = importlib.import_module("autogen").ConversableAgent
    configured = {"model": "gpt-4o-mini", "api_key": "fake", "base_url": f"{URL}/v1"}
    options = {"config_list": [configured], "cache_seed": None}
    text = str(USER["content"])

    def chat_of_new_agents() -> Any:
        # MLflow traces agents that are made while it is on.
        assistant = agent("assistant", llm_config=options, human_input_mode="NEVER")
        user = agent("user", llm_config=False, human_input_mode="NEVER")
        return user.initiate_chat(assistant, message=text, max_turns=1, silent=True)

    return chat_of_new_agents


CASES: dict[str, tuple[str, Callable[[], Callable[[], Any]]]] = {
    "openai chat": ("openai", chat),
    "openai chat, tool": ("openai", lambda: chat(tools=[{"type": "function", "function": TOOL}])),
    "openai chat, streamed": ("openai", lambda: chat(stream=True)),
    "openai chat, long stream": ("openai", lambda: chat(stream=True, messages=[SYSTEM, SAY])),
    "openai responses": ("openai", responses),
    "anthropic messages": ("anthropic", messages),
    "anthropic messages, streamed": ("anthropic", lambda: messages(stream=True)),
    "gemini generate": ("gemini", gemini),
    "langchain chain": ("langchain", chain),
    "langchain chain, streamed": ("langchain", lambda: chain(stream=True)),
    "langgraph agent, tool": ("langchain", graph),
    "agno agent, tool": ("agno", agno),
    "ag2 chat": ("ag2", ag2),
}


def tracer(peer: str) -> Any:
    if peer == "ours":
        ours = importlib.import_module("mlflow_trace")
        ours.configure(exporter="none")
        return ours
    import mlflow
    from mlflow.entities.trace_location import MlflowExperimentLocation
    from mlflow.tracing.export.mlflow_v3 import MlflowV3SpanExporter

    MlflowV3SpanExporter.export = lambda *_: None  # type: ignore[method-assign]
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    mlflow.tracing.set_destination(MlflowExperimentLocation("0"))
    return mlflow


def main(peer: str, case: str, blocks: int) -> None:
    library, prepare = CASES[case]
    autolog = getattr(tracer(peer), library).autolog
    call = prepare()
    # Processor time of the calling thread, and the time that its caller waits.
    times: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for block in range(2 * blocks + 2):
        on = block % 2 == 1
        autolog(disable=not on, silent=True)
        call()
        for _ in range(CALLS):
            cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
            call()
            taken = (time.thread_time_ns() - cpu, time.perf_counter_ns() - wall)
            if block > 1:
                times[on].append(taken)
    medians = {on: [statistics.median(part) for part in zip(*times[on])] for on in times}
    added = [(on - off) / 1000 for on, off in zip(medians[True], medians[False])]
    print(json.dumps({"call": medians[False][1] / 1000, "cpu": added[0], "wall": added[1]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
