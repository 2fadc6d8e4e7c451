"""What a real MLflow server gives back of hostile values is what docs/values.md says.

Runs where MLFLOW_TRACE_TEST_SERVER holds the address of an MLflow 3.17.2 server.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import sys
import urllib.request
import uuid
from typing import Any, NamedTuple

import numpy
import pydantic
import pytest

import mlflow_trace
from mlflow_trace import entities

SERVER = os.environ.get("MLFLOW_TRACE_TEST_SERVER", "").rstrip("/")
TRACE = "tr-" + "ab" * 16
MEBIBYTE = 1 << 20
# A server reads no deeper JSON back: 31 objects or 47 lists.
DEEPEST_OBJECT, DEEPEST_LIST = 31, 47
# Containers that Python's side looks into.
VISITED = 100

pytestmark = [
    pytest.mark.skipif(not SERVER, reason="MLFLOW_TRACE_TEST_SERVER is not set"),
    pytest.mark.timeout(180),
]


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: Any
    label: str = "é"


class Pair(NamedTuple):
    left: int
    right: Any


class Model(pydantic.BaseModel):
    score: float
    when: datetime.date | None = None


class Raising:
    def __str__(self):
        raise ValueError

    __repr__ = __str__


class Recursive:
    def __str__(self):
        return str(self)


class Exiting:
    def __str__(self):
        raise SystemExit(3)


class Tensor:
    """Stands for what is not installed here: an object of numbers with a `__str__` of its own."""

    def __str__(self):
        return "tensor([1., 2.])"


class Keyless(dict):
    def items(self):
        raise RuntimeError


@dataclasses.dataclass
class Unreadable:
    n: int = 1

    def __getattribute__(self, name):
        if name == "n":
            raise RuntimeError
        return super().__getattribute__(name)

    def __str__(self):
        return "unreadable"


def nested(depth, wrap, value=0):
    for _ in range(depth):
        value = wrap(value)
    return value


def cycle():
    value = {"a": 1}
    value["me"] = value
    return value


WIDE = 10**400
# By name: the value, and what is read back.
VALUES = {
    "nan": (math.nan, "NaN"),
    "infinity": (math.inf, "Infinity"),
    "minus infinity": (-math.inf, "-Infinity"),
    "minus zero": (-0.0, -0.0),
    "denormal": (5e-324, 5e-324),
    "greatest float": (sys.float_info.max, sys.float_info.max),
    "wide float": (2.0**64, 2.0**64),
    "least integer": (-(2**63), -(2**63)),
    "greatest integer": (2**63 - 1, 2**63 - 1),
    "2^63": (2**63, str(2**63)),
    "2^64": (2**64, str(2**64)),
    "below -2^63": (-(2**63) - 1, str(-(2**63) - 1)),
    "10^400": (WIDE, str(WIDE)),
    "more digits than Python writes": (10**6000, hex(10**6000)),
    "lone surrogate": ("a\ud800b", "a?b"),
    "nul": ("a\0b", "a\0b"),
    "controls": ("\x01\x1f\x7f\x80\u2028", "\x01\x1f\x7f\x80\u2028"),
    "cycle": (cycle(), "{'a': 1, 'me': {...}}"),
    "raises": (Raising(), "<unserializable Raising>"),
    "recurses": (Recursive(), "<unserializable Recursive>"),
    "exits": (Exiting(), "<unserializable Exiting>"),
    "unreadable dataclass": (Unreadable(), "unreadable"),
    "broken dict": (Keyless(a=1), {"a": 1}),
    "datetime": (datetime.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02 03:04:05"),
    "date": (datetime.date(2024, 1, 2), "2024-01-02"),
    "set": ({1}, "{1}"),
    "numpy float": (numpy.float32(0.1), "0.1"),
    "numpy integer": (numpy.int64(3), "3"),
    "numpy array": (numpy.array([1.5, math.nan]), "[1.5 nan]"),
    "tensor": (Tensor(), "tensor([1., 2.])"),
    "pydantic": (Model(score=math.nan), {"score": "NaN", "when": None}),
    "bytes": (b"\xff\x00a", r"b'\xff\x00a'"),
    "bytearray": (bytearray(b"a"), "bytearray(b'a')"),
    "decimal": (decimal.Decimal("1e-400"), "1E-400"),
    "decimal nan": (decimal.Decimal("NaN"), "NaN"),
    "enum": (Color.RED, "Color.RED"),
    "int enum": (Level.HIGH, 3),
    "dataclass": (Point(math.inf), {"x": "Infinity", "label": "é"}),
    "named tuple": (Pair(1, None), [1, None]),
    "function": (len, "<built-in function len>"),
    "class": (Color, "<enum 'Color'>"),
    "keys": ({1: "i", 2.5: "f", None: "n"}, {"1": "i", "2.5": "f", "null": "n"}),
    "wide keys": (
        {2**64: 1, math.nan: 2, "\udc00": 3, "": 4},
        {str(2**64): 1, "NaN": 2, "?": 3, "": 4},
    ),
    "keys that JSON has no form for": ({(1, 2): "x"}, "{(1, 2): 'x'}"),
    "integers in a list": ([2**64, -(10**30)], [str(2**64), str(-(10**30))]),
    "json text": ('{"a": [1]}', {"a": [1]}),
    "broken json text": ('{"a": [1}', '{"a": [1}'),
    "deepest objects": (nested(DEEPEST_OBJECT, lambda v: {"k": v}),) * 2,
    "deepest lists": (nested(DEEPEST_LIST, lambda v: [v]),) * 2,
}

# What is text by itself, but JSON inside of something.
WHOLE = {"cycle", "keys that JSON has no form for"}
TEXT_INSIDE = {"json text", "broken json text"}
AS_DEEP_AS_CAN_BE = {"deepest objects", "deepest lists"}


def read(value):
    """A value of the server's JSON, which is protobuf's."""
    if not value:
        return None
    ((kind, content),) = value.items()
    if kind == "array_value":
        return [read(item) for item in content.get("values", [])]
    if kind == "kvlist_value":
        return members(content.get("values", []))
    return content


def members(pairs):
    return {pair.get("key", ""): read(pair.get("value")) for pair in pairs}


def get(trace_id):
    """The only span of a trace; fails unless the server answers with status 200."""
    url = f"{SERVER}/api/3.0/mlflow/traces/get?trace_id={trace_id}&allow_partial=false"
    with urllib.request.urlopen(url, timeout=60) as reply:
        (span,) = json.load(reply)["trace"]["spans"]
    return span


def attributes(trace_id):
    return members(get(trace_id)["attributes"])


@pytest.fixture(scope="module")
def server():
    mlflow_trace.shutdown(timeout=5)
    name = f"hostile-{uuid.uuid4().hex}"
    mlflow_trace.configure(tracking_uri=SERVER, exporter=None, experiment_name=name)
    yield
    mlflow_trace.shutdown(timeout=5)
    mlflow_trace.configure(tracking_uri=None, experiment_name=None)


@pytest.fixture(scope="module")
def recorded(server):
    """The ids of the traces that hold the values."""
    ids = {}
    for name, (value, _) in VALUES.items():
        with mlflow_trace.start_span(name) as span:
            span.set_inputs(value)
            span.set_attribute("value", value)
            if name not in AS_DEEP_AS_CAN_BE:
                span.set_outputs({"k": value, "l": [value]})
                span.add_event(entities.SpanEvent("event", 1, {"list": [value], "other": 1}))
                span.add_link(entities.Link(TRACE, "cd" * 8, {"text": "é\udc00"}))
            ids[name] = span.trace_id
    assert mlflow_trace.flush(timeout=60) == 0
    return ids


@pytest.mark.parametrize("name", VALUES)
def test_values_are_read_back_as_documented(recorded, name):
    value, expected = VALUES[name]
    span = get(recorded[name])
    found = members(span["attributes"])
    for key in ("mlflow.spanInputs", "value"):
        assert found[key] == expected
        assert type(found[key]) is type(expected)
        assert repr(found[key]) == repr(expected)  # -0.0 equals 0.0
    if name in AS_DEEP_AS_CAN_BE:
        return
    inside = str(value) if name in TEXT_INSIDE else expected
    outputs = {"k": inside, "l": [inside]}
    if name in WHOLE:
        outputs = repr({"k": value, "l": [value]})
    assert found["mlflow.spanOutputs"] == outputs
    (event,) = span["events"]
    assert members(event["attributes"])["other"] == 1
    (link,) = span["links"]
    assert members(link["attributes"]) == {"text": "é?"}


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}], ids=["list", "dict"])
def test_extreme_depth_becomes_text(server, wrap):
    value = nested(100_000, wrap)
    with mlflow_trace.start_span("deep") as span:
        span.set_inputs(value)
        span.set_attribute("value", wrap(value))
    assert mlflow_trace.flush(timeout=60) == 0
    found = attributes(span.trace_id)
    for key in ("mlflow.spanInputs", "value"):
        levels, inner = 0, found[key]
        while not isinstance(inner, str):
            inner = inner[0] if isinstance(inner, list) else inner["k"]
            levels += 1
        assert levels in (DEEPEST_LIST, DEEPEST_OBJECT)
        deep = json.loads(inner)
        while not isinstance(deep, str):
            deep = deep[0] if isinstance(deep, list) else deep["k"]
            levels += 1
        assert (levels, deep) == (VISITED, "<nested too deeply>")


@pytest.mark.parametrize(
    "value",
    [nested(60, lambda v: [v]), {"k": nested(60, lambda v: [v])}],
    ids=["lists", "lists in an object"],
)
def test_depth_in_events_becomes_text(server, value):
    with mlflow_trace.start_span("deep event") as span:
        span.add_event(entities.SpanEvent("event", 1, {"value": value}))
    assert mlflow_trace.flush(timeout=60) == 0
    (event,) = get(span.trace_id)["events"]
    assert "[[[" in json.dumps(members(event["attributes"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            '{"a": 18446744073709551616}',
            {"a": "18446744073709551616"},
            id="wide integer",
        ),
        pytest.param(
            "[" * 60 + "]" * 60,
            None,
            id="depth",
        ),
        pytest.param(
            "[" * 2000,
            "[" * 2000,
            id="depth of no JSON",
        ),
        pytest.param('{"a": "\\ud800"}', {"a": "?"}, id="escaped surrogate"),
        pytest.param('{"a": NaN}', {"a": "NaN"}, id="NaN"),
        pytest.param('{"a": 1e400}', {"a": "Infinity"}, id="1e400"),
    ],
)
def test_text_that_holds_hostile_json(server, text, expected):
    with mlflow_trace.start_span("text") as span:
        span.set_inputs(text)
    assert mlflow_trace.flush(timeout=60) == 0
    found = attributes(span.trace_id)["mlflow.spanInputs"]
    assert expected is None or found == expected


def test_names_messages_tags_and_exceptions(server):
    class OddError(Exception):
        def __str__(self):
            raise RuntimeError

    with pytest.raises(OddError):
        with mlflow_trace.start_span("name \ud800\0", span_type="type \ud800") as span:
            mlflow_trace.update_current_trace(
                tags={"tag \ud800": "value \ud800\0"}, metadata={"key": "value \ud800"}
            )
            raise OddError
    assert mlflow_trace.flush(timeout=60) == 0
    found = get(span.trace_id)
    assert found["name"] == "name ?\0"
    assert members(found["attributes"])["mlflow.spanType"] == "type ?"
    assert found["status"]["code"] == "STATUS_CODE_ERROR"
    assert found["status"]["message"].startswith("OddError")
    (event,) = found["events"]
    assert members(event["attributes"])["exception.type"] == "OddError"


def test_a_million_keys_arrive(server):
    value = {f"key {index}": index for index in range(1_000_000)}
    with mlflow_trace.start_span("million") as span:
        # More than `limits.value_bytes`: the text of the whole, cut.
        span.set_inputs(value)
        span.set_attribute("count", len(value))
    assert mlflow_trace.flush(timeout=60) == 0
    found = attributes(span.trace_id)
    assert found["count"] == len(value)
    text = found["mlflow.spanInputs"]
    assert text.startswith('{"key 0": 0, "key 1": 1, ')
    assert text.endswith(" bytes]")


BIG = {
    "text": ('"x" * size', "x" * 100),
    "wide text": ('"é" * (size // 2)', "é" * 100),
    "bytes": ('b"\\xff" * size', "b'" + r"\xff" * 20),
    "text in a dict": ('{"k": "\\n" * size}', '{"k": "' + r"\n" * 20),
    "bytes in a list": ("[bytearray(size)]", r'["bytearray(b' + "'" + r"\\x00" * 20),
}

PROGRAM = """
import sys
import mlflow_trace

def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) >> 10

size = 100 << 20
mlflow_trace.configure(tracking_uri=sys.argv[1], experiment_name="hostile", batch_delay_ms=0)
with mlflow_trace.start_span("warm up"):
    pass
mlflow_trace.flush(timeout=60)
value = eval(sys.argv[2])
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
before = memory("VmRSS")
with mlflow_trace.start_span("big") as span:
    span.set_inputs(value)
assert mlflow_trace.flush(timeout=60) == 0
stats = mlflow_trace.stats()
assert stats["created"] == stats["delivered"] + sum(stats["dropped"].values()), stats
assert stats["delivered"] == 2, stats
print(span.trace_id, memory("VmHWM") - before)
"""


@pytest.mark.parametrize("name", BIG)
def test_a_hundred_megabytes(run_python, name):
    expression, beginning = BIG[name]
    arguments = f"import sys; sys.argv[1:] = [{SERVER!r}, {expression!r}]\n"
    done = run_python(arguments + PROGRAM, timeout=60)
    assert done.returncode == 0, done.stderr
    trace_id, megabytes = done.stdout.split()
    assert int(megabytes) < 300
    text = attributes(trace_id)["mlflow.spanInputs"]
    assert text.startswith(beginning)
    assert text.endswith(" bytes]")
    assert len(text.encode()) < 9 * MEBIBYTE
