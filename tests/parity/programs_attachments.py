"""Base64 content in inputs and outputs, in every shape that MLflow looks for.

Usage: programs_attachments.py MODULE TRACKING_URI EXPERIMENT
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import base64
import importlib
import sys
import tempfile
from typing import Any

import pydantic
import registry

# Kept apart from the programs of the registry: what their traces refer to has to be resolved first.
PROGRAMS: dict[str, registry.Program] = {}

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(40))).decode()
WAV = base64.b64encode(b"RIFF....WAVE").decode()
TINY = base64.b64encode(b"tiny").decode()


def program(function: registry.Program) -> registry.Program:
    PROGRAMS[function.__name__] = function
    return function


def record(mlflow: Any, name: str, value: Any) -> None:
    with mlflow.start_span(name) as span:
        span.set_inputs(value)
        span.set_outputs({"again": value})


def image(**source: object) -> dict[str, object]:
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/jpeg"} | source,
    }


@program
def data_uris(mlflow: Any) -> None:
    record(mlflow, "alone", f"data:image/png;base64,{PNG}")
    values = {
        "type": f"data:text/plain;charset=utf-8;name=a b;base64,{TINY}",
        "odd type": f"data:not a type;base64,{TINY}",
        "no type": f"data:;base64,{TINY}",
        "empty": "data:text/plain;base64,",
        "plain": "data:text/plain,tiny",
        "within": f"see data:image/png;base64,{TINY}",
        "upper case": f"DATA:image/png;base64,{TINY}",
        "url safe": "data:image/png;base64,-_8=",
        "twice": f"data:a/b;base64,c;base64,{TINY}",
        f"data:image/png;base64,{TINY}": "key",
    }
    for name, value in values.items():
        record(mlflow, name, {name: value})
    record(mlflow, "list", [f"data:image/png;base64,{PNG}", 1, None])
    record(mlflow, "tuple", (f"data:image/png;base64,{PNG}", {"x": 1.5}))
    record(mlflow, "chat", {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ]}]})  # fmt: skip


@program
def openai_shapes(mlflow: Any) -> None:
    for part in (
        {"data": WAV, "format": "mp3"},
        {"data": WAV, "format": "ogg"},
        {"data": WAV},
    ):
        record(mlflow, "input audio", {"type": "input_audio", "input_audio": part})
    record(mlflow, "other type", {"type": "audio", "input_audio": {"data": WAV}})
    record(mlflow, "image", {"created": 1, "data": [{"b64_json": PNG, "url": None}]})
    record(mlflow, "empty image", {"b64_json": ""})
    record(mlflow, "number", {"b64_json": 5})
    message = {
        "role": "assistant",
        "audio": {"id": "a", "data": WAV, "transcript": "hello"},
    }
    record(mlflow, "speech", {"choices": [{"message": message}]})
    for call in (
        {"output_format": "webp"},
        {"output_format": ""},
        {"output_format": None},
        {},
    ):
        record(mlflow, "call", {"type": "image_generation_call", "result": PNG} | call)
    record(mlflow, "result", {"type": "function_call", "result": PNG})


@program
def other_vendors(mlflow: Any) -> None:
    record(mlflow, "anthropic", {"content": [image(data=PNG)]})
    record(mlflow, "anthropic url", {"content": [image(type="url", data=PNG)]})
    without_type = image(data=PNG)
    del without_type["source"]["media_type"]  # type: ignore[attr-defined]
    record(mlflow, "anthropic without type", without_type)
    record(mlflow, "anthropic data uri", image(data=f"data:image/gif;base64,{PNG}"))
    for part in ({"format": "jpeg"}, {"format": 3}, {"format": ""}, {}):
        record(mlflow, "bedrock", {"image": part | {"source": {"bytes": PNG}}})
    record(
        mlflow,
        "bedrock s3",
        {"image": {"format": "png", "source": {"s3Location": "x"}}},
    )
    for blob in (
        {"mime_type": "image/heic"},
        {"mime_type": None},
        {"mime_type": ""},
        {},
    ):
        record(mlflow, "gemini", {"parts": [{"inline_data": blob | {"data": PNG}}]})
    for data in (
        b"\x89PNG\r\n\t\\'",
        b'it\'s "quoted"',
        b"it's",
        bytes(range(256)),
        b"",
    ):
        record(
            mlflow,
            "gemini repr",
            {"inline_data": {"mime_type": "a/b", "data": repr(data)}},
        )
    record(mlflow, "gemini broken", {"inline_data": {"data": "b'\\xzz'"}})


@program
def several_in_one_object(mlflow: Any) -> None:
    audio, picture = {"data": WAV}, {"source": {"bytes": PNG}}
    inline = {"data": TINY}
    for index, value in enumerate(
        [
            {"b64_json": PNG, "audio": audio},
            {"audio": audio, "image": picture},
            {"audio": audio, "image": picture, "inline_data": inline},
            {"inline_data": inline, "type": "image_generation_call", "result": PNG},
            {"b64_json": "?", "audio": audio},
            {"audio": {"data": "?"}, "image": picture},
            {"b64_json": TINY, "url": f"data:image/png;base64,{PNG}"},
            {"audio": audio | {"b64_json": TINY}},
            {"b64_json": "mlflow-attachment://x", "audio": audio},
            {"audio": {"data": "mlflow-attachment://x"}, "image": picture},
        ]
    ):
        record(mlflow, f"value {index}", value)


@program
def what_counts_as_base64(mlflow: Any) -> None:
    texts = [
        "YQ==", "YQ=", "YQ", "YWI=", "YWJj", "YR==", "Y", "=", "==", "====", "YQ==YQ==", "YQ==\n", "Y Q==",
        "YQ=A", "YQ=A==", "YWJ=", "YW-_", "A===", "YWJjZA====", "YWI==", "/+==", "+/+/", "abcd", "true",
        "12345678", " YWJj", "YWJj ", "é", "YWé=",
    ]  # fmt: skip
    for text in texts:
        record(mlflow, repr(text), {"b64_json": text})


@program
def spans_of_every_kind(mlflow: Any) -> None:
    @mlflow.trace
    def draw(prompt: str, mask: str) -> dict[str, str]:
        return {"prompt": prompt, "b64_json": PNG, "mask": mask}

    with mlflow.start_span("root") as root:
        root.set_inputs({"b64_json": TINY})
        root.set_inputs({"question": "draw"})
        draw("a cat", f"data:image/png;base64,{TINY}")
        with mlflow.start_span("nothing") as span:
            span.set_inputs({"question": "what is base64 audio in bytes?"})
        root.set_attribute("image", f"data:image/png;base64,{PNG}")
        root.add_event(mlflow.entities.SpanEvent("e", attributes={"b64_json": PNG}))
        root.set_outputs([{"numbers": [1e5, 0.1, 2**62], "text": "日本"}, {"b64_json": PNG}])


class Part(pydantic.BaseModel):
    url: str
    b64_json: str | None = None


@program
def objects(mlflow: Any) -> None:
    record(mlflow, "model", Part(url=f"data:image/png;base64,{PNG}"))
    record(mlflow, "models", {"parts": [Part(url="x", b64_json=PNG)]})


@program
def explicit(mlflow: Any) -> object:
    module = importlib.import_module(f"{mlflow.__name__}.tracing.attachments")
    image = module.Attachment(content_type="image/png", content_bytes=b"png")
    with tempfile.NamedTemporaryFile(suffix=".mp3") as file:
        file.write(b"a sound of many bytes")
        file.flush()
        sound = module.Attachment.from_file(file.name)
    odd = module.Attachment(content_type="a b/é; charset=utf-8", content_bytes=b"")

    @mlflow.trace
    def function(picture, n=1):
        return {"picture": picture, "sound": [sound]}

    @mlflow.trace(output_reducer=lambda items: [image, *items])
    def generator():
        yield 1

    record(mlflow, "alone", image)
    record(mlflow, "nested", {"list": [1, image, {"deep": (sound, None)}], "beside": PNG})
    record(mlflow, "shapes", [image, f"data:image/png;base64,{PNG}", {"b64_json": TINY}])
    record(mlflow, "odd", {"odd": odd})
    with mlflow.start_span("root") as root:
        root.set_inputs(image)
        function(image)
        list(generator())
        span = mlflow.start_span_no_context("detached", parent_span=root, inputs=[sound])
        span.end(outputs=image)
        root.set_outputs(image)
    function(image)
    references = [
        image.ref("tr-1"),
        span.inputs[0],
        span.outputs,
        root.inputs,
        root.outputs,
    ]
    parts = [module.Attachment.parse_ref(reference) for reference in references]
    same = [part["attachment_id"] in (image.id, sound.id) for part in parts if part]
    mine = [part["trace_id"] == root.trace_id for part in parts if part]
    sizes = [[part["content_type"], part["size"]] for part in parts if part]
    wrong = [module.Attachment.parse_ref(text) for text in ("", "http://x", references[0][:60])]
    return [
        same,
        mine,
        sizes,
        wrong,
        sound.content_type,
        sound.content_bytes,
        odd.content_type,
    ]


@program
def explicit_and_processed(mlflow: Any) -> None:
    module = importlib.import_module(f"{mlflow.__name__}.tracing.attachments")

    def replace(span):
        if span.outputs:
            outputs = module.Attachment(content_type="text/plain", content_bytes=b"replaced")
            span.set_outputs([span.inputs, outputs])

    with mlflow.tracing.configure(span_processors=[replace]):
        for content in (b"first", b"second"):
            record(
                mlflow,
                "span",
                module.Attachment(content_type="a/b", content_bytes=content),
            )


def main(*arguments: str) -> None:
    registry.FILES = ()  # type: ignore[assignment]
    registry.PROGRAMS.update(PROGRAMS)
    registry.main(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
