"""Passes on the items of a stream, and tells its call what went by.

The span is current only while the source works: what would stay attached across a `yield` leaks
into whoever holds the item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from mlflow_trace.integrations.calls import Call


def iterate(call: Call, source: Any) -> Generator[Any, Any, Any]:
    """Pass on the items of an iterator, and what is sent or thrown to a generator."""
    try:
        source = iter(source)
        send = getattr(source, "send", lambda _value: next(source))
        throw = getattr(source, "throw", None)
        resume, value = send, None
        while True:
            try:
                with call.active:
                    item = resume(value)
            except StopIteration as stop:
                call.done()
                return stop.value
            call.item(item)
            try:
                resume, value = send, (yield item)
            except GeneratorExit:
                close = getattr(source, "close", None)
                if close is not None:
                    with call.active:
                        close()
                raise
            except BaseException as error:  # it belongs to the source
                if throw is None:
                    raise
                resume, value = throw, error
    except BaseException as error:
        call.fail(error)
        raise


async def aiterate(call: Call, source: Any) -> AsyncGenerator[Any, Any]:
    """Pass on the items of an asynchronous iterator."""
    try:
        source = aiter(source)
        send = getattr(source, "asend", lambda _value: anext(source))
        throw = getattr(source, "athrow", None)
        resume, value = send, None
        while True:
            try:
                with call.active:
                    item = await resume(value)
            except StopAsyncIteration:
                call.done()
                return
            call.item(item)
            try:
                resume, value = send, (yield item)
            except GeneratorExit:
                close = getattr(source, "aclose", None)
                if close is not None:
                    with call.active:
                        await close()
                raise
            except BaseException as error:  # it belongs to the source
                if throw is None:
                    raise
                resume, value = throw, error
    except BaseException as error:
        call.fail(error)
        raise
