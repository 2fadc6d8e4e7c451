"""Values of every kind as attributes, inputs, outputs and attributes of events."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import datetime
from typing import Any

import numpy
from registry import program
from values import CONTAINERS, OBJECTS, SCALARS, TIME, Color, Point


def own(span: Any) -> dict[str, Any]:
    """The attributes but for the trace's id; their order is left to the SDK."""
    return {k: v for k, v in sorted(span.attributes.items()) if k != "mlflow.traceRequestId"}


@program
def scalar_values(mlflow: Any) -> object:
    with mlflow.start_span("scalars") as span:
        for key, value in SCALARS.items():
            span.set_attribute(key, value)
        span.set_inputs(SCALARS)
        span.set_outputs(list(SCALARS.values()))
        return own(span)


@program
def object_values(mlflow: Any) -> object:
    with mlflow.start_span("objects", attributes=OBJECTS) as span:
        span.set_inputs(OBJECTS)
        span.set_outputs(list(OBJECTS.values()))
    return own(span)


@program
def container_values(mlflow: Any) -> object:
    with mlflow.start_span("containers") as span:
        span.set_attributes(CONTAINERS)
        span.set_inputs(CONTAINERS)
        span.set_outputs(tuple(CONTAINERS.values()))
    return own(span)


@program
def json_looking_strings(mlflow: Any) -> object:
    texts = [
        '{"a": 1}',
        '{"a":1,"b":[1,2]}',
        "[1]",
        "[]",
        "{}",
        '"x"',
        '""',
        " [1] ",
        "[1,]",
        "1e5",
        '{"a": 1e5, "a": 2}',
        '{"é": "\\u00e9"}',
        "[NaN]",
        "[[1.50]]",
        '{"a": 1}\n',
    ]
    with mlflow.start_span("texts") as span:
        for index, text in enumerate(texts):
            span.set_attribute(f"text {index}", text)
            span.add_event(mlflow.entities.SpanEvent(f"event {index}", TIME, {"text": text}))
        span.set_inputs(texts[0])
        span.set_outputs(texts[2])
    return own(span)


@program
def json_looking_surrogates(mlflow: Any) -> None:
    with mlflow.start_span("texts") as span:
        span.set_attribute("lone", '["\\ud800"]')
        span.set_attribute("two", '{"a": "\\udc00\\ud83dx", "b": "\\ud83d\\ude00"}')
        span.set_attribute("quoted", '"\\ud800"')
        span.set_attribute("escaped", '["\\\\ud800"]')


@program
def inputs_and_outputs(mlflow: Any) -> object:
    cases = [
        None,
        "",
        "text",
        0,
        False,
        1.5,
        [],
        {},
        [None],
        {"a": None},
        '"quoted"',
        "日本",
        (1,),
        Point(1.0),
        Color.RED,
        "{'a': 1}",
    ]
    seen: list[object] = []
    for index, case in enumerate(cases):
        with mlflow.start_span(f"case {index}") as span:
            span.set_inputs(case)
            span.set_outputs(case)
        seen.append([span.inputs, span.outputs])
    return seen


@program
def event_values(mlflow: Any) -> None:
    event = mlflow.entities.SpanEvent
    values: dict[str, Any] = {
        "none": None,
        "dict": {"a": 1},
        "nested": [[1]],
        "mixed": [1, "a"],
        "holes": [1, None],
        "set": {1},
        "bytes": b"ab",
        "date": datetime.date(2024, 1, 2),
        "enum": Color.RED,
        "model": Point(1.0),
        "numpy": numpy.int64(1),
    }
    with mlflow.start_span("events") as span:
        for key, value in values.items():
            span.add_event(event(key, TIME, {"value": value, "other": 1}))


@program
def mutations(mlflow: Any) -> object:
    with mlflow.start_span("mutations") as span:
        items: list[Any] = [1]
        span.set_attribute("items", items)
        span.set_inputs({"items": items})
        items.append(2)
        read = span.get_attribute("items")
        read.append(3)
        span.set_outputs(items)
        span.set_outputs([0])
        span.set_inputs(None)
    return [span.get_attribute("items"), span.inputs, span.outputs]
