# The libraries are not where types are checked.
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"
"""LangChain and LangGraph beside the program's own spans, in threads, tasks and streams, on and off."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, TypedDict

import mlflow_trace
import mlflow_trace.langchain
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from mlflow_trace import _native
from mlflow_trace.integrations import guard, langchain_shapes

Tree = dict[str, str | None]


class Recording:
    def traces(self) -> list[list[dict[str, Any]]]:
        assert mlflow_trace.flush(timeout=5) == 0
        return [json.loads(trace)["spans"] for trace in _native.memory_traces()]

    def trees(self) -> list[Tree]:
        found = []
        for spans in self.traces():
            names = {span["span_id"]: span["name"] for span in spans}
            found.append({span["name"]: names.get(span["parent_span_id"]) for span in spans})
        return sorted(found, key=str)

    def tree(self) -> Tree:
        (found,) = self.trees()
        return found


@pytest.fixture
def recording() -> Iterator[Recording]:
    mlflow_trace.shutdown(timeout=5)
    mlflow_trace.configure(exporter="memory", tracking_uri=None, batch_delay_ms=0)
    _native.memory_traces()
    mlflow_trace.langchain.autolog()
    yield Recording()
    mlflow_trace.langchain.autolog(disable=True)
    assert len(mlflow_trace.langchain._handler().runs) == 0
    mlflow_trace.shutdown(timeout=5)
    mlflow_trace.configure(exporter=None, batch_delay_ms=None)


def mine(name: str = "mine") -> None:
    with mlflow_trace.start_span(name):
        pass


class Model(BaseChatModel):
    """A model that starts spans of its own wherever it works."""

    @property
    def _llm_type(self) -> str:
        return "test"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
        mine()
        message = AIMessage(content="hello")
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
        mine()
        for word in ("a", "b", "c"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Any:
        mine()
        for word in ("a", "b", "c"):
            await asyncio.sleep(0)
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


def test_spans_of_a_model_are_below_it(recording: Recording) -> None:
    Model().invoke("x")
    asyncio.run(Model().ainvoke("x"))
    list(Model().stream("x"))
    assert recording.trees() == [{"Model": None, "mine": "Model"}] * 3


def test_spans_of_who_reads_a_stream_are_not(recording: Recording) -> None:
    with mlflow_trace.start_span("outer"):
        for _ in (RunnableLambda(lambda x: x) | Model()).stream("x"):
            mine("reader")
            break

    async def read() -> None:
        with mlflow_trace.start_span("outer"):
            async for _ in (RunnableLambda(lambda x: x) | Model()).astream("x"):
                mine("reader")
                break

    asyncio.run(read())
    for _ in Model().stream("x"):
        mine("reader")
        break
    gc.collect()
    of_chain = {
        "outer": None,
        "RunnableSequence": "outer",
        "RunnableLambda": "RunnableSequence",
        "Model": "RunnableSequence",
        "mine": "Model",
        "reader": "outer",
    }
    trees = recording.trees()
    assert trees.count(of_chain) == 2
    assert {"reader": None} in trees
    assert {"Model": None, "mine": "Model"} in trees


def test_spans_in_tools_retrievers_lambdas_threads_and_tasks(recording: Recording) -> None:
    @tool
    def shout(text: str) -> str:
        """Shout."""
        mine("in tool")
        return text.upper()

    class Found(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
            mine("in retriever")
            return []

    def both(text: str) -> str:
        with mlflow_trace.start_span("around"):
            Found().invoke(text)
            return str(shout.invoke(text))

    async def later(text: str) -> str:
        async def work() -> None:
            mine("in task")

        await asyncio.gather(asyncio.create_task(work()))
        return text

    assert RunnableLambda(both).batch(["a", "b"]) == ["A", "B"]
    wanted = {
        "both": None,
        "around": "both",
        "Found": "around",
        "in retriever": "Found",
        "shout": "around",
        "in tool": "shout",
    }
    assert recording.trees() == [wanted] * 2
    assert asyncio.run(RunnableLambda(later).abatch(["a", "b"])) == ["a", "b"]
    assert recording.trees() == [{"later": None, "in task": "later"}] * 2


class State(TypedDict):
    x: str


def graph(name: str, asynchronous: bool = False) -> Any:
    def node(state: State) -> State:
        mine(f"in {name}")
        return {"x": str(Model().invoke(state["x"]).content)}

    async def anode(state: State) -> State:
        await asyncio.sleep(0.001)
        mine(f"in {name}")
        return {"x": str((await Model().ainvoke(state["x"])).content)}

    built = StateGraph(State)
    built.add_node(name, anode if asynchronous else node)
    built.add_edge(START, name)
    return built.compile()


def tree_of(name: str) -> Tree:
    return {
        "LangGraph": None,
        name: "LangGraph",
        f"in {name}": name,
        "Model": name,
        "mine": "Model",
    }


def test_graphs_at_the_same_time(recording: Recording) -> None:
    names = [f"node{number}" for number in range(6)]

    async def all_of_them() -> None:
        await asyncio.gather(*(graph(name, True).ainvoke({"x": "a"}) for name in names))

    threads = [
        threading.Thread(target=lambda name=name: graph(name).invoke({"x": "a"})) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recording.trees() == [tree_of(name) for name in names]
    asyncio.run(all_of_them())
    assert recording.trees() == [tree_of(name) for name in names]


def test_two_streams_that_are_read_in_turns(recording: Recording) -> None:
    first, second = Model().stream("first"), Model().stream("second")
    words = [chunk.content for pair in zip(first, second, strict=True) for chunk in pair]
    assert words[:4] == ["a", "a", "b", "b"]
    del first, second
    gc.collect()
    assert recording.trees() == [{"Model": None, "mine": "Model"}] * 2


def test_switched_off_nothing_is_recorded_and_nothing_is_left_open(recording: Recording) -> None:
    for _ in range(2):
        mlflow_trace.langchain.autolog(disable=True)
        Model().invoke("x")
        mlflow_trace.langchain.autolog(log_traces=False)
        Model().invoke("x")
        assert recording.trees() == [{"mine": None}] * 2
        mlflow_trace.langchain.autolog()
        mlflow_trace.langchain.autolog()
        Model().invoke("x")
        assert recording.tree() == {"Model": None, "mine": "Model"}


def test_a_run_that_is_open_when_it_is_switched_off_ends(recording: Recording) -> None:
    def off(text: str) -> str:
        mlflow_trace.langchain.autolog(disable=True)
        Model().invoke(text)
        return "done"

    assert RunnableLambda(off).invoke("x") == "done"
    trees = recording.trees()
    assert {"off": None} in trees
    assert {"mine": None} in trees


def test_the_handler_is_there_once(recording: Recording) -> None:
    handler = mlflow_trace.langchain._handler()
    Model().invoke("x", {"callbacks": [handler]})
    assert recording.tree() == {"Model": None, "mine": "Model"}


def test_other_handlers_and_their_failures(recording: Recording) -> None:
    class Other(BaseCallbackHandler):
        raise_error = True

        def on_llm_end(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("theirs")

    def call(text: str) -> None:
        Model().invoke(text, {"callbacks": [Other()]})

    with pytest.raises(RuntimeError, match="theirs"):
        RunnableLambda(call).invoke("x")
    # LangChain did not announce the end of the model's run. It is ended like this or when there
    # are too many; the engine does not wait for it.
    runs = mlflow_trace.langchain._handler().runs
    for run in list(runs._open):
        runs.end(run)
    assert recording.tree() == {"call": None, "Model": "call", "mine": "Model"}


def test_shapes_that_nobody_knows_are_recorded_as_they_are(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError("another version")

    for name in ("chat_message", "model_attributes", "reply_usage", "documents", "parameters"):
        fake = type("Shape", (), {"__name__": name, "__call__": lambda self, *_: fail()})()
        monkeypatch.setattr(langchain_shapes, name, fake)
    guard._reported.clear()
    with caplog.at_level(logging.WARNING, "mlflow_trace"):
        for _ in range(3):
            assert Model().invoke("x").content == "hello"
    (spans, *_) = recording.traces()
    (model,) = (span for span in spans if span["name"] == "Model")
    attributes = {key: json.loads(value) for key, value in model["attributes"].items()}
    assert "x" in json.dumps(attributes["mlflow.spanInputs"])
    assert "hello" in json.dumps(attributes["mlflow.spanOutputs"])
    reported = [record.getMessage().partition(" failed")[0] for record in caplog.records]
    assert len(reported) == len(set(reported)) == 5


def test_usage_of_several_answers_to_one_prompt_is_counted_once() -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    answers = [
        ChatGeneration(message=AIMessage(content=text, usage_metadata=usage)) for text in "ab"
    ]
    counted = langchain_shapes.reply_usage([answers], None)
    assert counted == {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    assert langchain_shapes.reply_usage([answers, answers], None) == {
        "input_tokens": 10,
        "output_tokens": 4,
        "total_tokens": 14,
    }


@pytest.mark.parametrize(
    ("details", "cached"),
    [
        ({}, {}),
        ({"cache_read": 0}, {"cache_read_input_tokens": 0}),
        ({"cache_creation": 5}, {"cache_creation_input_tokens": 5}),
        (
            {"cache_creation": 0, "ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
            {"cache_creation_input_tokens": 5, "cache_creation_input_tokens_above_1hr": 3},
        ),
        (
            {"cache_creation": 5, "ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 0},
            {"cache_creation_input_tokens": 5},
        ),
    ],
)
def test_cache_tiers(details: dict[str, int], cached: dict[str, int]) -> None:
    usage = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
    metadata = {**usage, "input_token_details": details}
    message = AIMessage(content="", usage_metadata=metadata)
    counted = langchain_shapes.reply_usage([[ChatGeneration(message=message)]], None)
    assert counted == usage | cached


def test_usage_of_a_completion_and_of_other_libraries() -> None:
    tokens = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    text = ChatGeneration(message=AIMessage(content="", response_metadata={"token_usage": tokens}))
    wanted = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert langchain_shapes.reply_usage([[text]], None) == wanted
    bare = type("Generation", (), {"text": "x"})()
    assert langchain_shapes.reply_usage([[bare]], {"token_usage": tokens}) == wanted
    assert langchain_shapes.reply_usage([[bare]], None) is None


def test_a_model_of_langchain_itself(recording: Recording) -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage(content="one two")]))
    assert "".join(str(chunk.content) for chunk in model.stream("x")) == "one two"
    assert recording.tree() == {"GenericFakeChatModel": None}


def test_before_its_import_nothing_is_imported() -> None:
    program = """
        import sys, mlflow_trace, mlflow_trace.langchain
        mlflow_trace.configure(exporter="memory", batch_delay_ms=0)
        mlflow_trace.langchain.autolog()
        assert not [name for name in sys.modules if name.startswith("lang")]
        from langchain_core.runnables import RunnableLambda
        RunnableLambda(lambda x: x).invoke(1)
        mlflow_trace.flush()
        assert len(mlflow_trace._native.memory_traces()) == 1
    """
    code = "\n".join(line.strip() for line in program.splitlines())
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
