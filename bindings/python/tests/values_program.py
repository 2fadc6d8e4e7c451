"""Prints the values that MLflow's encoder and ours write differently, one to a line."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import importlib
import importlib.util
import ipaddress
import json
import pathlib
import re
import sys
import types
import uuid
from typing import Any, NamedTuple

import pydantic
from mlflow.tracing.utils import dump_span_attribute_value
from pydantic import v1

from mlflow_trace._native import to_json


class Old(v1.BaseModel):
    a: int = 1
    when: datetime.date = datetime.date(2024, 1, 2)


class OldNested(v1.BaseModel):
    inner: Old = Old()


class New(pydantic.BaseModel):
    a: int = 1
    when: datetime.datetime = datetime.datetime(2024, 1, 2)
    id: uuid.UUID = uuid.UUID(int=1)
    more: dict[str, Any] = pydantic.Field(default_factory=dict)


@pydantic.dataclasses.dataclass
class Validated:
    a: int = 1


@dataclasses.dataclass
class Data:
    a: object = None


@dataclasses.dataclass
class Required:
    a: object


@dataclasses.dataclass(slots=True)
class Slotted:
    a: object = None

    def __str__(self):
        return "not this"


class Plain(enum.Enum):
    A = 1


class Number(enum.IntEnum):
    A = 1


class Flags(enum.Flag):
    A = 1


class Word(str, enum.Enum):
    A = "x"


class Dumping:
    """Looks like a model, and is none."""

    def model_dump(self):
        return {"a": 1}

    def dict(self):
        return {"a": 1}

    def to_dict(self):
        return {"a": 1}

    def __repr__(self):
        return "Dumping()"


class Pair(NamedTuple):
    x: int
    y: int


class Bytes(bytes):
    pass


VALUES = {
    "old model": Old(),
    "nested old model": OldNested(),
    "new model": New(more={"a": Old()}),
    "models inside": {"m": [New(), Old()]},
    "classes": [Old, New, Data, Required, int],
    "validated": Validated(),
    "dataclasses": [Data(Old()), Data(Data(New())), Slotted([1]), Required(2)],
    "dataclass itself": Data,
    "dataclass without defaults": Required,
    "enums": [Plain.A, Number.A, Flags.A, Word.A],
    "enum keys": {Number.A: 1, Word.A: 2},
    "enum key": {Plain.A: 1},
    "datetimes": [
        datetime.datetime(2024, 1, 2, 3, 4, 5),
        datetime.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc),
        datetime.date(2024, 1, 2),
        datetime.time(1, 2),
        datetime.timedelta(1),
    ],
    "numbers": [
        decimal.Decimal("1.50"),
        fractions.Fraction(1, 2),
        1 + 2j,
        1e22,
        1e-7,
        -0.0,
        10**15,
    ],
    "bytes": [b"\x00\xff", bytearray(b"x"), Bytes(b"y")],
    "ids": [uuid.UUID(int=5), ipaddress.ip_address("1.2.3.4"), pathlib.PurePosixPath("/a")],
    "sets": [{1}, frozenset()],
    "exceptions": [ValueError("no"), KeyError("k"), Exception()],
    "collections": [
        collections.deque([1]),
        collections.OrderedDict(a=1),
        collections.defaultdict(int, a=1),
        collections.Counter("aab"),
        collections.ChainMap({"a": 1}),
        Pair(1, 2),
        types.SimpleNamespace(a=1),
        types.MappingProxyType({"a": 1}),
        array.array("i", [1]),
        range(3),
        {1: 2}.keys(),
        {1: 2}.values(),
        {1: 2}.items(),
    ],
    "others": [re.compile("a"), len, ..., NotImplemented, json, Dumping(), (1, (2,))],
    "keys": {None: 1, True: 2, 1.5: 3, "s": 4},
    "tuple key": {(1, 2): 3},
    "texts": ["é😀\u2028", '\x00\x1f"\\/'],
    "empty": [{}, [], (), ""],
}


def numpy(np: types.ModuleType) -> dict[str, Any]:
    return {
        "numpy scalars": [
            np.int64(3),
            np.uint8(3),
            np.float16(0.1),
            np.float32(0.1),
            np.float64(0.1),
            np.bool_(True),
            np.str_("x"),
            np.bytes_(b"x"),
            np.complex64(1 + 2j),
            np.datetime64("2024-01-02"),
            np.timedelta64(1, "s"),
        ],
        "numpy arrays": [
            np.arange(4).reshape(2, 2),
            np.array([1, "x"], dtype=object),
            np.zeros(2000),
            np.array([(1, 2.0)], dtype="i4,f4"),
        ],
        "numpy keys": {np.float64(1.5): 1, np.str_("k"): 2},
        "numpy key": {np.int64(1): 1},
    }


def pandas(pd: types.ModuleType) -> dict[str, Any]:
    table = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    return {
        "pandas": [
            table,
            table["a"],
            table.index,
            pd.Timestamp("2024-01-02T03:04:05"),
            pd.Timedelta("1s"),
            pd.Interval(0, 1),
            pd.Categorical(["a"]),
            pd.NA,
            pd.NaT,
        ]
    }


def torch(module: types.ModuleType) -> dict[str, Any]:
    return {"tensors": [module.arange(3), module.tensor(1.5)]}


for found in (numpy, pandas, torch):
    if importlib.util.find_spec(found.__name__):
        VALUES |= found(importlib.import_module(found.__name__))

for name, value in VALUES.items():
    theirs, ours = dump_span_attribute_value(value), to_json(value)
    if theirs != ours:
        sys.stdout.write(f"{name}: MLflow {theirs}, ours {ours}\n")
