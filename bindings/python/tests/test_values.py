"""Host objects as attribute values: MLflow's mapping, and what it documents for hostile ones."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import importlib.util
import json
import math
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import pydantic
import pytest

import mlflow_trace
from mlflow_trace._native import to_json


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class Word(str, enum.Enum):
    YES = "yes"


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Inner:
    n: int


@dataclass
class Outer:
    inner: Inner
    items: list[Any] = field(default_factory=list)
    constant: ClassVar[int] = 1


class Model(pydantic.BaseModel):
    name: str
    inner: dict[str, Any]
    when: datetime.date | None = None


class Root(pydantic.RootModel[list[int]]):
    pass


class Printable:
    def __str__(self):
        return "printed"


# What json.dumps gives as well.
PLAIN = [
    None,
    True,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    0.0,
    -0.0,
    1.0,
    0.1,
    1e16,
    1e-7,
    123456789.125,
    sys.float_info.max,
    5e-324,
    "",
    "text",
    'q"b\\s/\b\f\n\r\t\x00\x1f\x7f',
    "é日本😀\u2028",
    [],
    {},
    (),
    [1, [2, (3, [])], {}],
    {"a": {"b": [None, True, {"c": 1.5}]}, "é": "ü"},
    {2: "int", 2.5: "float", None: "none", True: "bool"},
    {1: "a", "1": "b"},
    Point(1, 2),
    Level.HIGH,
    Word.YES,
    collections.OrderedDict(b=1, a=2),
    collections.defaultdict(list, x=[1]),
    collections.Counter("aab"),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_what_json_can_hold_is_written_as_json_does(value):
    assert to_json(value) == json.dumps(value, ensure_ascii=False)
    assert to_json([value, {"k": value}]) == json.dumps([value, {"k": value}], ensure_ascii=False)
    assert to_json(value, ensure_ascii=True) == json.dumps(value)


def test_floats_are_written_as_json_does():
    numbers = random.Random(1)
    values = [numbers.uniform(-1, 1) * 10.0 ** numbers.randint(-320, 308) for _ in range(5_000)]
    for value in values:
        # Where two shortest forms are equally near, the last digit may be the other one.
        text = to_json(value)
        assert (float(text), len(text)) == (value, len(repr(value)))


OBJECTS = [
    (Model(name="n", inner={"k": (1,)}), '{"name": "n", "inner": {"k": [1]}, "when": null}'),
    (Model(name="n", inner={}, when=datetime.date(2024, 1, 2)).when, '"2024-01-02"'),
    (Root([1, 2]), "[1, 2]"),
    (Outer(Inner(1), [Inner(2)]), '{"inner": {"n": 1}, "items": [{"n": 2}]}'),
    (datetime.datetime(2024, 1, 2, 3, 4, 5), '"2024-01-02 03:04:05"'),
    (decimal.Decimal("1.5"), '"1.5"'),
    ({3}, '"{3}"'),
    (b"\x00a", "\"b'\\\\x00a'\""),
    (bytearray(b"a"), "\"bytearray(b'a')\""),
    (Color.RED, '"Color.RED"'),
    (Printable(), '"printed"'),
    (Printable, f'"{Printable}"'),
    (Inner, f'"{Inner}"'),
    (range(3), '"range(0, 3)"'),
    (3 + 4j, '"(3+4j)"'),
    (SimpleNamespace(a=1), '"namespace(a=1)"'),
]


@pytest.mark.parametrize(("value", "text"), OBJECTS, ids=lambda value: type(value).__name__)
def test_objects_are_written_as_mlflow_does(recording, value, text):
    assert to_json(value) == text
    assert to_json({"k": [value]}) == f'{{"k": [{text}]}}'
    with mlflow_trace.start_span() as span:
        span.set_attribute("value", value)
        span.set_attribute("nested", [value])
    recorded = recording.span()
    assert recorded.own == {"value": json.loads(text), "nested": [json.loads(text)]}


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_attributes_inputs_and_outputs_hold_the_value(recording, value):
    with mlflow_trace.start_span() as span:
        span.set_attribute("value", value)
        span.set_inputs(value)
        span.set_outputs(value)
    recorded = recording.span()
    expected = json.loads(json.dumps(value))
    for found in (recorded.own["value"], recorded.inputs, recorded.outputs):
        assert found == expected
        assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")],
)
def test_what_json_cannot_hold_becomes_text(recording, value, text):
    assert to_json([value, {value: value}]) == f'["{text}", {{"{text}": "{text}"}}]'
    with mlflow_trace.start_span(attributes={"n": value}) as span:
        span.set_inputs({"n": value})
    recorded = recording.span()
    assert recorded.own["n"] == text
    assert recorded.inputs == {"n": text}


def test_lone_surrogates_become_question_marks(recording):
    bad = "a\ud800b"
    assert to_json({bad: [bad, bad + "é"]}) == '{"a?b": ["a?b", "a?bé"]}'
    with mlflow_trace.start_span(bad, bad, {bad: bad}) as span:
        span.set_inputs(bad)
    recorded = recording.span()
    assert recorded.name == recorded.inputs == recorded.own["a?b"] == "a?b"


@pytest.mark.parametrize("number", [2**63 + 1, -(2**63) - 1, 2**64, 10**400])
def test_integers_of_more_than_64_bits_are_text(recording, number):
    assert to_json([number, {number: -number}]) == f'["{number}", {{"{number}": "{-number}"}}]'
    with mlflow_trace.start_span(attributes={"n": number}) as span:
        span.set_inputs({"n": [number]})
    recorded = recording.span()
    assert recorded.own["n"] == str(number)
    assert recorded.inputs == {"n": [str(number)]}


def test_very_wide_integers_are_hexadecimal():
    number = 10**6000
    assert to_json(number) == f'"{number:#x}"'
    assert to_json({number: [-number]}) == f'{{"{number:#x}": ["{-number:#x}"]}}'


def test_cycles_become_their_repr(recording):
    cycle = {"a": [1]}
    cycle["a"].append(cycle)
    assert to_json(cycle) == json.dumps(repr(cycle))
    with mlflow_trace.start_span() as span:
        span.set_inputs(cycle)
    assert recording.span().inputs == repr(cycle)


def test_the_same_object_twice_is_no_cycle():
    shared = [1]
    assert to_json([shared, shared, {"k": shared}]) == '[[1], [1], {"k": [1]}]'


def test_keys_that_json_has_no_form_for_make_the_repr():
    assert to_json({(1, 2): "x"}) == json.dumps("{(1, 2): 'x'}")


def test_extreme_depth_is_cut():
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    text = to_json(value)
    assert json.loads(text)
    assert text == "[" * 100 + '"<nested too deeply>"' + "]" * 100


class Hostile:
    def __init__(self, error):
        self.error = error

    def __str__(self):
        raise self.error


class HostileName(type):
    @property
    def __name__(cls):
        raise RuntimeError


class Nameless(metaclass=HostileName):
    def __str__(self):
        raise RuntimeError


class HostileModel(pydantic.BaseModel):
    def model_dump(self, *args, **kwargs):
        raise RuntimeError

    def __str__(self):
        return "model"


@dataclass
class HostileDataclass:
    @property
    def broken(self):
        raise RuntimeError

    n: int = 1

    def __getattribute__(self, name):
        if name == "n":
            raise RuntimeError
        return super().__getattribute__(name)

    def __str__(self):
        return "dataclass"


class HostileDict(dict):
    def items(self):
        raise RuntimeError


class Recursive:
    def __str__(self):
        return str(self)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Hostile(ValueError()), '"<unserializable Hostile>"'),
        (Hostile(SystemExit()), '"<unserializable Hostile>"'),
        (Recursive(), '"<unserializable Recursive>"'),
        (Nameless(), '"<unserializable object>"'),
        (HostileModel(), '"model"'),
        (HostileDataclass(), '"dataclass"'),
        (HostileDict(a=1), '{"a": 1}'),
    ],
    ids=["value error", "exit", "recursion", "nameless", "model", "dataclass", "dict"],
)
def test_hostile_objects_never_raise(recording, value, text):
    assert to_json(value) == text
    with mlflow_trace.start_span(attributes={"v": value}) as span:
        span.set_inputs([value])
        span.set_outputs({"k": value})
    recorded = recording.span()
    assert recorded.own["v"] == json.loads(text)
    assert recorded.inputs == [json.loads(text)]
    assert recorded.outputs == {"k": json.loads(text)}


def test_a_failing_repr_gets_the_placeholder():
    class Key:
        def __repr__(self):
            raise RuntimeError

    assert to_json({Key(): 1}) == '"<unserializable dict>"'


def test_objects_may_change_what_is_being_written():
    class Changing:
        def __init__(self, change):
            self.change = change

        def __str__(self):
            self.change()
            return "changed"

    members: dict[str, Any] = {}
    members |= {"a": Changing(lambda: members.update(more=1)), "b": 2}
    assert to_json(members) == '{"a": "changed", "b": 2}'
    items: list[Any] = []
    items += [Changing(items.clear), 2, 3]
    assert to_json(items) == '["changed"]'


def test_the_interrupt_of_the_user_passes(recording):
    interrupting = Hostile(KeyboardInterrupt())
    with mlflow_trace.start_span() as span, pytest.raises(KeyboardInterrupt):
        span.set_inputs([interrupting])
    assert recording.span().status == ("OK", "")
    with pytest.raises(KeyboardInterrupt), mlflow_trace.start_span(attributes={"a": interrupting}):
        pytest.fail("the block must not be entered")
    assert mlflow_trace.get_current_active_span() is None
    assert recording.span().own == {}


def test_values_are_copied_when_they_are_set(recording):
    value = {"a": [1]}
    with mlflow_trace.start_span() as span:
        span.set_inputs(value)
        value["a"].append(2)
    assert recording.span().inputs == {"a": [1]}


def test_a_large_value_arrives_whole(recording):
    text = "é" * 1_000_000
    with mlflow_trace.start_span() as span:
        span.set_inputs({"text": text})
    assert recording.span().inputs == {"text": text}


def test_event_attributes_keep_scalars_and_containers(recording):
    from mlflow_trace.entities import SpanEvent

    attributes = {
        "int": 1,
        "float": 1.5,
        "bool": True,
        "bytes": b"text",
        "list": [1, "a", None],
        "tuple": (True,),
        "dict": {"a": 1},
        "object": Printable(),
        3: "key",
    }
    with mlflow_trace.start_span() as span:
        span.add_event(SpanEvent("event", 1, attributes))
    ((_, recorded),) = recording.span().events
    assert recorded == {
        "int": 1,
        "float": 1.5,
        "bool": True,
        "bytes": "b'text'",
        "list": [1, "a", None],
        "tuple": [True],
        "dict": {"a": 1},
        "object": "printed",
        "3": "key",
    }


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")
def test_the_mapping_is_that_of_mlflows_own_encoder(run_python):
    program = Path(__file__).with_name("values_program.py")
    done = run_python(program.read_text(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
