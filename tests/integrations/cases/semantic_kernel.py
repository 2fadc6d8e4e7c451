"""Semantic Kernel: kernels, functions, agents, models, streams."""

import asyncio

import mlflow_trace
import openai
from case import case
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.chat_completion_client_base import ChatCompletionClientBase
from semantic_kernel.connectors.ai.open_ai import (
    OpenAIChatCompletion,
    OpenAIChatPromptExecutionSettings,
)
from semantic_kernel.contents import ChatHistory, ChatMessageContent
from semantic_kernel.functions import KernelArguments, kernel_function


def service():
    """A model with connections of its own: they belong to an event loop."""
    client = openai.AsyncOpenAI(max_retries=0)
    return OpenAIChatCompletion(ai_model_id="gpt-4o-mini", async_client=client)


def kernel():
    made = Kernel()
    made.add_service(service())
    return made


def said(text="Hi there"):
    history = ChatHistory()
    history.add_user_message(text)
    return history


class Weather:
    @kernel_function
    def get_weather(self, city: str) -> str:
        """Weather of a city."""
        with mlflow_trace.start_span("look up"):
            return f"sunny in {city}"


class Storms:
    @kernel_function
    def get_storm(self, city: str) -> str:
        """Storms of a city."""
        raise RuntimeError(f"no storm in {city}")


class Echo(ChatCompletionClientBase):
    """A model of the program's own."""

    async def _inner_get_chat_message_contents(self, chat_history, settings):
        return [ChatMessageContent(role="assistant", content=chat_history.messages[-1].content)]


def agent(*plugins):
    return ChatCompletionAgent(
        service=service(), name="Helper", instructions="Be brief.", plugins=list(plugins)
    )


@case("chat")
async def _():
    settings = OpenAIChatPromptExecutionSettings(temperature=0.5)
    return await service().get_chat_message_content(said(), settings)


@case("chat-error")
async def _():
    settings = OpenAIChatPromptExecutionSettings()
    return await service().get_chat_message_content(said("Hi #fake:error=400"), settings)


@case("chat-stream")
async def _():
    settings = OpenAIChatPromptExecutionSettings()
    parts = service().get_streaming_chat_message_content(said(), settings)
    return "".join([str(part) async for part in parts])


@case("chat-stream-abandoned")
async def _():
    settings = OpenAIChatPromptExecutionSettings()
    parts = service().get_streaming_chat_message_contents(said(), settings)
    async for part in parts:
        await parts.aclose()
        # Python closes what that stream has read from in a task of its own.
        await asyncio.sleep(0.1)
        return part[0]


@case("own-model")
async def _():
    model = Echo(ai_model_id="echo")
    return await model.get_chat_message_content(said(), OpenAIChatPromptExecutionSettings())


@case("invoke-prompt")
async def _():
    arguments = KernelArguments(name="Ann")
    return str(
        await kernel().invoke_prompt("Hi {{$name}}", arguments=arguments, function_name="greet")
    )


@case("invoke-prompt-stream")
async def _():
    parts = kernel().invoke_prompt_stream("Hi there", function_name="greet")
    return "".join([str(part[0]) async for part in parts])


@case("invoke-function")
async def _():
    made = kernel()
    plugin = made.add_plugin(Weather(), "weather")
    return str(await made.invoke(plugin["get_weather"], city="Paris"))


@case("agent")
async def _():
    return str(await agent().get_response(messages="Hi there"))


@case("agent-tool")
async def _():
    return str(await agent(Weather()).get_response(messages="Weather in Paris?"))


@case("agent-tool-error")
async def _():
    return str(await agent(Storms()).get_response(messages="Weather in Paris?"))


@case("agent-invoke")
async def _():
    return [str(item) async for item in agent(Weather()).invoke(messages="Weather in Paris?")]


@case("agent-stream")
async def _():
    parts = agent(Weather()).invoke_stream(messages="Weather in Paris?")
    return "".join([str(part) async for part in parts])


@case("in-parent")
async def _():
    with mlflow_trace.start_span("outer"):
        return str(await agent().get_response(messages="Hi there"))
