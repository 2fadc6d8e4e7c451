"""Generators that pass on the items of a stream, and tell its call what went by.

The span is current only while the source works: what would stay attached across a `yield` leaks
into whoever holds the item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from mlflow_trace.integrations.calls import Call

    Begin = Callable[[tuple[Any, ...], dict[str, Any]], Call]
    Open = Callable[[Call], Any]


def passing(begin: Begin, source_of: Open) -> Callable[..., Generator[Any, Any, Any]]:
    """Return a generator function: a call begins with its first item, and opens the source.

    What is sent and thrown to a generator reaches the source, if that is one as well.
    """

    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = begin(args, kwargs)
        try:
            source = iter(source_of(call))
            send = getattr(source, "send", lambda _value: next(source))
            throw = getattr(source, "throw", None)
            resume, value = send, None
            while True:
                if call.unseen and value is None:
                    returned = yield from source
                    call.done()
                    return returned
                try:
                    with call.reading:
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
                        with call.reading:
                            close()
                    raise
                except BaseException as error:  # it belongs to the source
                    if throw is None:
                        raise
                    resume, value = throw, error
        except BaseException as error:
            call.fail(error)
            raise

    return run


def passing_async(begin: Begin, source_of: Open) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Return what `passing` does for an asynchronous source."""

    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = begin(args, kwargs)
        try:
            source = aiter(source_of(call))
            send = getattr(source, "asend", lambda _value: anext(source))
            throw = getattr(source, "athrow", None)
            resume, value = send, None
            while True:
                try:
                    with call.reading:
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
                        with call.reading:
                            await close()
                    raise
                except BaseException as error:  # it belongs to the source
                    if throw is None:
                        raise
                    resume, value = throw, error
        except BaseException as error:
            call.fail(error)
            raise

    return run
