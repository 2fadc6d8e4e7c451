"""AG2 before version 1: chats, groups, tools, asynchronous and in threads."""

import threading

import mlflow_trace
from autogen import ConversableAgent, GroupChat, GroupChatManager, register_function
from case import URL, case

CONFIG = {
    "config_list": [
        {"model": "gpt-4o-mini", "api_key": "fake", "base_url": f"{URL}/v1", "max_retries": 0}
    ],
    "cache_seed": None,
}


def agent(name, **options):
    return ConversableAgent(name, human_input_mode="NEVER", **options)


def pair():
    assistant = agent("assistant", system_message="Be brief.", llm_config=CONFIG)
    return assistant, agent("user", llm_config=False, default_auto_reply="ok")


def chat(text, turns=1, function=None):
    assistant, user = pair()
    if function is not None:
        register_function(
            function, caller=assistant, executor=user, description="Weather of a city"
        )
    return user.initiate_chat(assistant, message=text, max_turns=turns, silent=True).summary


def weather(city: str) -> str:
    return f"sunny in {city}"


@case("two-agents")
def _():
    return chat("Hi there", 2)


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return chat("Hi there")


@case("tool")
def _():
    return chat("Weather in Paris?", 2, weather)


@case("tool-error")
def _():
    def weather(city: str) -> str:
        raise ValueError("no weather")

    return chat("Weather in Paris?", 2, weather)


@case("llm-error")
def _():
    return chat("Hi #fake:error=429")


@case("async")
async def _():
    assistant, user = pair()
    found = await user.a_initiate_chat(assistant, message="Hi there", max_turns=1, silent=True)
    return found.summary


@case("generate-reply")
def _():
    assistant, _user = pair()
    return assistant.generate_reply(messages=[{"role": "user", "content": "Hi there"}])


@case("run")
def _():
    assistant, _user = pair()
    response = assistant.run(message="Hi there", max_turns=1)
    response.process()
    return response.summary


@case("streaming")
def _():
    options = {**CONFIG, "config_list": [{**CONFIG["config_list"][0], "stream": True}]}
    user = agent("user", llm_config=False)
    assistant = agent("assistant", llm_config=options)
    return user.initiate_chat(assistant, message="Hi there", max_turns=1, silent=True).summary


@case("group-chat")
def _():
    alice = agent("alice", llm_config=CONFIG, description="a")
    bob = agent("bob", llm_config=CONFIG, description="b")
    group = GroupChat(
        agents=[alice, bob], messages=[], max_round=3, speaker_selection_method="round_robin"
    )
    manager = GroupChatManager(groupchat=group, llm_config=CONFIG)
    return alice.initiate_chat(manager, message="Hi all", silent=True).summary


@case("two-chats-in-threads")
def _():
    threads = [threading.Thread(target=chat, args=(f"chat {i}",)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
