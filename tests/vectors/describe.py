"""The descriptions in the vectors, as Python values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

Vector = dict[str, Any]


def load(name: str) -> list[Vector]:
    vectors: list[Vector] = json.loads((HERE / name).read_text())
    return vectors


def applies(vector: Vector, language: str) -> bool:
    return language not in vector.get("except", [])


def build(description: Vector) -> Any:
    """The value that is described."""
    ((kind, content),) = description.items()
    match kind:
        case "int":
            return int(content)
        case "double":
            return float(content)
        case "list":
            return [build(item) for item in content]
        case "object":
            return {key: build(item) for key, item in content}
        case "nested":
            return nested(content)
        case _:
            return content


def nested(content: Vector) -> Any:
    ((kind, depth),) = content.items()
    value: Any = "bottom"
    for _ in range(depth):
        value = [value] if kind == "list" else {"k": value}
    return value
