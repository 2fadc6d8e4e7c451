"""Values of every kind that a program may record."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import uuid
from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy
import pydantic

TIME = 1_700_000_000_000_000_000
TRACE = "tr-" + "ab" * 16
SPAN = "cd" * 8


class Color(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Text(str, enum.Enum):
    A = "a"


@dataclasses.dataclass
class Point:
    x: float
    label: str = "é"
    color: Color = Color.RED
    items: list[Any] = dataclasses.field(default_factory=list)


class Model(pydantic.BaseModel):
    name: str
    size: int = 3
    when: datetime.datetime = datetime.datetime(2024, 1, 2, 3, 4, 5)
    inner: Point | None = None
    amount: decimal.Decimal = decimal.Decimal("1.50")


class Opaque:
    def __str__(self) -> str:
        return "an opaque é"

    def __repr__(self) -> str:
        return "Opaque()"


class Label(str):
    pass


class Words(list[int]):
    pass


class Pair(NamedTuple):
    left: int
    right: str


SCALARS: dict[str, Any] = {
    "text": "plain",
    "empty": "",
    "blank": " ",
    "quotes": "\"'\\/",
    "controls": "".join(map(chr, range(32))) + "\x7f\x80",
    "separators": "\u2028\u2029\ufeff",
    "unicode": "Größe 日本 😀 e\u0301",
    "digits": "5",
    "true text": "true",
    "null text": "null",
    "broken json": '{"a": 1',
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "int": -(2**63),
    "big": 2**63 - 1,
    "whole": 3.0,
    "sum": 0.1 + 0.2,
    "small": 1e-7,
    "border": 1e-4,
    "below": 9.999e-5,
    "large": 1e22,
    "e16": 1e16,
    "e15": 1e15,
    "tie": 733082449316978.25,
    "denormal": 5e-324,
    "greatest": 1.7976931348623157e308,
    "minus zero": -0.0,
    "third": 1 / 3,
}

OBJECTS: dict[str, Any] = {
    "bytes": b"\x00\xffabc",
    "bytearray": bytearray(b"ab"),
    "memory": range(3),
    "datetime": datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
    "aware": datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
    "date": datetime.date(2024, 1, 2),
    "delta": datetime.timedelta(days=1, seconds=2),
    "decimal": decimal.Decimal("1.50"),
    "uuid": uuid.UUID(int=5),
    "enum": Color.RED,
    "int enum": Number.ONE,
    "str enum": Text.A,
    "path": pathlib.PurePosixPath("/a/b"),
    "set": {1},
    "empty set": set(),
    "frozenset": frozenset(["a"]),
    "complex": 1 + 2j,
    "class": Point,
    "function": len,
    "ellipsis": ...,
    "dataclass": Point(1.5, items=[1, (2,)]),
    "model": Model(name="n", inner=Point(2.0)),
    "opaque": Opaque(),
    "str subclass": Label("label"),
    "list subclass": Words([1]),
    "named tuple": Pair(1, "r"),
    "ordered": OrderedDict(b=1, a=2),
    "defaultdict": defaultdict(int, {"a": 1}),
    "numpy int": numpy.int64(3),
    "numpy float": numpy.float64(0.5),
    "numpy float32": numpy.float32(0.1),
    "numpy bool": numpy.bool_(True),
    "numpy array": numpy.arange(3),
    "exception": ValueError("v"),
    "dict keys": {"a": 1}.keys(),
    "not implemented": NotImplemented,
}

CONTAINERS: dict[str, Any] = {
    "empty list": [],
    "empty dict": {},
    "empty tuple": (),
    "empties": [[], {}, (), "", None],
    "nested": {"é": [True, {"1": 1, "x": {"y": [None, 1.0, "日"]}}]},
    "tuple": (1, 2.5, "x"),
    "int keys": {1: "a", -5: "b", 2**40: "c"},
    "float keys": {1.5: "a", 1e-7: "b", 1e22: "c"},
    "bool keys": {True: "t", False: "f"},
    "none key": {None: "n"},
    "empty key": {"": 1},
    "enum key": {Number.ONE: 1},
    "str enum key": {Text.A: 1},
    "same keys": {1: "int", "1": "text"},
    "text in list": ['{"a": 1}', "[1]", "5", '"x"'],
    "objects": [
        Color.RED,
        Point(0.5),
        Opaque(),
        {
            1,
        },
        b"\x00",
        decimal.Decimal("2.5"),
    ],
    "objects in dict": {"model": Model(name="m"), "uuid": uuid.UUID(int=1), "np": numpy.int32(4)},
    "deep": json.loads("[" * 40 + "]" * 40),
    "long": "x" * 20_000,
    "long list": list(range(500)),
    "floats": [1e-7, 1e22, 0.1 + 0.2, 1e16, 123456789.123],
}


class StrangeError(Exception):
    def __init__(self, *args: Any, extra: Any = None) -> None:
        super().__init__(*args)
        self.extra = extra
