"""The work that is measured, the same for every library: the report that report.py writes says what each is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from peers import ATTRIBUTES, Peer

CHILDREN = 10
CALLS = 1000
TEXT = json.dumps({"text": "x" * 1000})
REQUEST = {
    "model": "gpt-4o-mini",
    "temperature": 0.2,
    "messages": [
        {"role": "system", "content": "You are a helpful assistant. " * 10},
        {"role": "user", "content": "What is the answer to the question of questions? " * 12},
    ],
}
REPLY = {
    "id": "chatcmpl-123",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "42 " * 270},
        }
    ],
    "usage": {"prompt_tokens": 120, "completion_tokens": 260, "total_tokens": 380},
}
SIZES = {"10 KB": 10_000, "1 MB": 1_000_000, "10 MB": 10_000_000}
GENERATOR = f"generator of {CALLS:,} items"


class Work(NamedTuple):
    run: Callable[[], object]
    # By what its time is divided.
    parts: int = 1


def tree(peer: Peer, children: int = CHILDREN) -> Work:
    start = peer.span

    def run() -> None:
        with start("root"):
            for _ in range(children):
                with start("child") as span:
                    span.set_attributes(ATTRIBUTES)

    return Work(run, children + 1)


def filled(peer: Peer, inputs: Any, outputs: Any, children: int = CHILDREN) -> Work:
    start, content = peer.span, peer.content

    def run() -> None:
        with start("root"):
            for _ in range(children):
                with start("child") as span:
                    span.set_attributes(ATTRIBUTES)
                    content(span, inputs, outputs)

    return Work(run, children + 1)


def trace10(peer: Peer) -> Work:
    """A trace of 10 spans of W3."""
    return filled(peer, TEXT, TEXT, 9)


def root(peer: Peer) -> Work:
    start = peer.span

    def run() -> None:
        with start("root"):
            pass

    return Work(run)


def value(peer: Peer, inputs: Any) -> Work:
    def run() -> None:
        with peer.span("root") as span:
            peer.content(span, inputs, None)

    return Work(run)


def messages(size: int) -> list[dict[str, Any]]:
    """A conversation that is about as long as text of this size."""
    message = {"role": "user", "content": "lorem ipsum " * 40, "tokens": 120, "cached": False}
    return [dict(message) for _ in range(size // len(json.dumps(message)))]


def decorated(peer: Peer) -> Work:
    def add(a: int, b: int) -> int:
        return a + b

    traced = peer.decorate(add)
    return Work(lambda: traced(1, b=2))


def decorated_async(peer: Peer) -> Work:
    async def add_later(a: int, b: int) -> int:
        return a + b

    traced = peer.decorate(add_later)

    async def many() -> None:
        for _ in range(CALLS):
            await traced(1, b=2)

    return Work(lambda: asyncio.run(many()), CALLS)


def generator(peer: Peer) -> Work:
    def items() -> Iterator[int]:
        yield from range(CALLS)

    traced = peer.decorate(items)
    return Work(lambda: sum(traced()))


WORKS: dict[str, Callable[[Peer], Work]] = {
    "W1": root,
    "W2": tree,
    "W3": lambda peer: filled(peer, TEXT, TEXT),
    "W3d": lambda peer: filled(peer, REQUEST, REPLY),
    "decorated": decorated,
    "decorated async": decorated_async,
    GENERATOR: generator,
}


def of_size(make: Callable[[int], Any], size: int) -> Callable[[Peer], Work]:
    return lambda peer: value(peer, make(size))


for _name, _size in SIZES.items():
    WORKS[f"text of {_name}"] = of_size(lambda size: "x" * size, _size)
    WORKS[f"object of {_name}"] = of_size(messages, _size)
