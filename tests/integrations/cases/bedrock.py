"""Amazon Bedrock: models in the format of all of them, and in their own."""

import json

import boto3
import mlflow_trace
from botocore.config import Config
from case import URL, case, u

client = boto3.client(
    "bedrock-runtime",
    region_name="us-east-1",
    endpoint_url=URL,
    aws_access_key_id="fake",
    aws_secret_access_key="fake",
    config=Config(retries={"max_attempts": 0}),
)
MODEL = "anthropic.claude-3-5-sonnet-20241022-v2:0"
TOOLS = {
    "tools": [
        {
            "toolSpec": {
                "name": "get_weather",
                "description": "Weather",
                "inputSchema": {
                    "json": {"type": "object", "properties": {"city": {"type": "string"}}}
                },
            }
        }
    ]
}


def said(text):
    return [{"role": "user", "content": [{"text": text}]}]


def converse(text="Hi there", **options):
    return client.converse(modelId=MODEL, messages=said(text), **options)


def stream(text="Hi there", **options):
    return client.converse_stream(modelId=MODEL, messages=said(text), **options)["stream"]


def body(text="Hi there"):
    request = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": u(text)}
    return json.dumps(request)


@case("converse")
def _():
    return converse()["output"]["message"]["content"][0]["text"]


@case("converse-error")
def _():
    return converse("Hi #fake:error=429")


@case("converse-tools")
def _():
    return converse("Weather?", toolConfig=TOOLS)["output"]["message"]["content"]


@case("converse-stream")
def _():
    return [next(iter(event)) for event in stream()]


@case("converse-stream-abandoned")
def _():
    events = stream()
    for _, event in zip(range(3), events, strict=False):
        assert event
    events.close()


@case("converse-stream-error")
def _():
    return stream("Hi #fake:error=500")


@case("converse-stream-tools")
def _():
    return [next(iter(event)) for event in stream("Weather?", toolConfig=TOOLS)]


@case("in-parent")
def _():
    with mlflow_trace.start_span("outer"):
        return converse()["output"]["message"]["content"][0]["text"]


@case("invoke-model")
def _():
    return json.loads(client.invoke_model(modelId=MODEL, body=body())["body"].read())["content"]


@case("invoke-model-error")
def _():
    return client.invoke_model(modelId=MODEL, body=body("Hi #fake:error=429"))


@case("invoke-model-in-pieces")
def _():
    reply = client.invoke_model(modelId=MODEL, body=body())["body"]
    return b"".join(reply.iter_chunks(100)).endswith(b"}")


@case("invoke-model-stream")
def _():
    events = client.invoke_model_with_response_stream(modelId=MODEL, body=body())["body"]
    return [json.loads(event["chunk"]["bytes"])["type"] for event in events]
