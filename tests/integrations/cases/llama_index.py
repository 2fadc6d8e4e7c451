"""LlamaIndex: models, agents, indexes."""

import mlflow_trace
from case import URL, case
from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

llm = OpenAI(model="gpt-4o-mini", api_base=f"{URL}/v1", api_key="fake", max_retries=0)


def new_model():
    return OpenAI(model="gpt-4o-mini", api_base=f"{URL}/v1", api_key="fake", max_retries=0)


def said(text="Hi there"):
    return [ChatMessage(role="user", content=text)]


@case("chat")
def _():
    return llm.chat(said())


@case("achat")
async def _():
    return await new_model().achat(said())


@case("complete")
def _():
    return llm.complete("Hi there")


@case("error")
def _():
    return llm.chat(said("Hi #fake:error=429"))


@case("stream-chat")
def _():
    return [part.delta for part in llm.stream_chat(said())][-1]


@case("stream-chat-async")
async def _():
    stream = await new_model().astream_chat(said())
    return "".join([part.delta async for part in stream])


@case("stream-abandoned")
def _():
    parts = llm.stream_chat(said())
    return [next(parts).delta for _ in range(3)]


@case("stream-error")
def _():
    return [part.delta for part in llm.stream_chat(said("Hi #fake:stream-error"))]


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return llm.chat(said())


@case("agent")
async def _():
    def get_weather(city: str) -> str:
        """Weather"""
        return f"sunny in {city}"

    agent = FunctionAgent(tools=[get_weather], llm=new_model(), streaming=False)
    return await agent.run("Weather in Paris?")


@case("retriever")
def _():
    documents = [Document(text="Paris is sunny.", id_="1")]
    index = VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(embed_dim=4))
    return [found.text for found in index.as_retriever().retrieve("Paris?")]


@case("query-stream")
def _():
    index = SummaryIndex.from_documents([Document(text="Paris is sunny.", id_="1")])
    return "".join(index.as_query_engine(llm=llm, streaming=True).query("Paris?").response_gen)
