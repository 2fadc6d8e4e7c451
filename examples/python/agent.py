"""An agent with a tool, three questions at a time: every call of the model is traced by one line.

    pip install mlflow-trace anthropic
    ANTHROPIC_API_KEY=... python agent.py

The trace of a question has the agent, its two calls of the model and the tool between them. Without
a server it is written to `mlflow-traces/`; set MLFLOW_TRACKING_URI to send it to one.
"""

import asyncio

import anthropic
import mlflow_trace as mlflow

mlflow.anthropic.autolog()

client = anthropic.AsyncAnthropic()
REQUEST = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "tools": [
        {
            "name": "get_weather",
            "description": "Weather of a city today",
            "input_schema": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        }
    ],
}


@mlflow.trace(span_type="TOOL")
async def get_weather(city):
    weather = {"Tokyo": "sunny", "Paris": "rainy", "Sydney": "windy"}
    await asyncio.sleep(0.01)
    return weather.get(city, "unknown")


@mlflow.trace(span_type="AGENT")
async def answer(question):
    messages = [{"role": "user", "content": question}]
    reply = await client.messages.create(**REQUEST, messages=messages)
    calls = [block for block in reply.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": await get_weather(**call.input)}
        for call in calls
    ]
    messages += [
        {"role": "assistant", "content": reply.content},
        {"role": "user", "content": results},
    ]
    reply = await client.messages.create(**REQUEST, messages=messages)
    return reply.content[-1].text


async def main():
    cities = ["Tokyo", "Paris", "Sydney"]
    questions = [f"What is the weather like in {city} today?" for city in cities]
    for text in await asyncio.gather(*map(answer, questions)):
        print(text)


asyncio.run(main())
