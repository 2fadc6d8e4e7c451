"""LangChain: models, chains, tools, retrievers and agents, plain and streamed."""

import mlflow_trace
import mlflow_trace.openai
import openai
from case import URL, case
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


def model(**options):
    return ChatOpenAI(model="gpt-4o-mini", max_retries=0, **options)


llm = model()
prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{q}")])
chain = prompt | llm | StrOutputParser()


def async_model():
    """A model with connections of its own: LangChain keeps those of an event loop that is over."""
    return model(http_async_client=openai.DefaultAsyncHttpxClient())


def async_chain():
    return prompt | async_model() | StrOutputParser()


def claude():
    return ChatAnthropic(model="claude-sonnet-4-5", base_url=URL, max_tokens=50, max_retries=0)


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


@case("anthropic-chat")
def _():
    return claude().invoke("Hi there").content


@case("anthropic-stream")
def _():
    return [chunk.content for chunk in claude().stream("Hi there")]


@case("chain-invoke")
def _():
    return chain.invoke({"q": "Hi there"})


@case("chain-ainvoke")
async def _():
    return await async_chain().ainvoke({"q": "Hi there"})


@case("chain-stream")
def _():
    return "".join(chain.stream({"q": "Hi there"}))


@case("chain-astream")
async def _():
    return "".join([chunk async for chunk in async_chain().astream({"q": "Hi there"})])


@case("chain-batch")
def _():
    return chain.batch([{"q": "one"}, {"q": "two"}])


@case("chat-invoke")
def _():
    return llm.invoke("Hi there").content


@case("chat-ainvoke")
async def _():
    return (await async_model().ainvoke("Hi there")).content


@case("chat-tools")
def _():
    return llm.bind_tools([get_weather]).invoke("Weather?").tool_calls


WEATHER = {"messages": [{"role": "user", "content": "Weather in Paris?"}]}


@case("create-agent")
def _():
    agent = create_agent(llm, [get_weather], system_prompt="Be brief.")
    return agent.invoke(WEATHER)["messages"][-1].content


@case("create-agent-async-stream")
async def _():
    return [
        list(step) async for step in create_agent(async_model(), [get_weather]).astream(WEATHER)
    ]


@case("error")
def _():
    return chain.invoke({"q": "Hi #fake:error=429"})


@case("in-parent-span")
def _():
    with mlflow_trace.start_span("outer", span_type="AGENT"):
        return chain.invoke({"q": "x"})


@case("manual-span-inside-lambda")
def _():
    @mlflow_trace.trace
    def inner(x):
        return llm.invoke(x).content

    return RunnableLambda(inner).invoke("x")


@case("parallel")
def _():
    return RunnableParallel(a=chain, b=chain).invoke({"q": "x"})


@case("responses-api")
def _():
    return model(use_responses_api=True).invoke("Hi there").content


class R(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager=None):
        return [Document(page_content="Paris is in France", metadata={"doc_uri": "a.txt"}, id="1")]


@case("retriever-rag")
def _():
    found = {"ctx": R(), "q": RunnableLambda(lambda x: x)}
    answer = ChatPromptTemplate.from_template("{ctx} {q}") | llm | StrOutputParser()
    return (found | answer).invoke("where?")


@case("stream-abandoned")
def _():
    for _chunk in chain.stream({"q": "Hi"}):
        break


@case("stream-error")
def _():
    return "".join(chain.stream({"q": "Hi #fake:stream-error"}))


class City(BaseModel):
    name: str


@case("structured-output")
def _():
    return llm.with_structured_output(City).invoke("a city")


@case("tool-error")
def _():
    @tool
    def bad(x: int) -> int:
        """bad"""
        raise ValueError("boom")

    return bad.invoke({"x": 1})


@case("tool-invoke")
def _():
    return get_weather.invoke({"city": "Paris"})


@case("with-openai-autolog-too")
def _():
    mlflow_trace.openai.autolog()
    try:
        return model().invoke("Hi there").content
    finally:
        mlflow_trace.openai.autolog(disable=True)
