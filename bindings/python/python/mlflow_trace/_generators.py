"""Spans around generators: open from the first item that is asked for to exhaustion.

The span is current only while the generator's own code runs, so that it neither leaks into its
consumer nor misses what the generator calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_trace._arguments import Arguments
from mlflow_trace._logging import logger
from mlflow_trace._native import LiveSpan
from mlflow_trace.entities import SpanEvent, SpanStatusCode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from mlflow_trace._native import SpanScope

    Reducer = Callable[[list[Any]], Any]


class _Stream:
    """The span of one generator and what it has yielded."""

    __slots__ = ("_items", "_reducer", "active", "span")

    def __init__(
        self, scope: SpanScope, inputs: dict[str, Any] | None, reducer: Reducer | None
    ) -> None:
        self.span, self.active = scope.detached()
        self.span.set_inputs(inputs)
        self._items: list[Any] = []
        self._reducer = reducer

    def item(self, item: Any) -> None:
        if isinstance(self.span, LiveSpan):
            self.span._record_chunk(len(self._items), item)
            self._items.append(item)

    def end(self) -> None:
        outputs: Any = self._items
        if self._reducer is not None:
            try:
                outputs = self._reducer(self._items)
            except Exception:  # noqa: BLE001 - the items are better than nothing
                logger.debug("output_reducer failed; the items are recorded", exc_info=True)
        self.span.end(outputs=outputs)

    def fail(self, error: BaseException) -> None:
        self.span.add_event(SpanEvent.from_exception(error))
        self.span.end(status=SpanStatusCode.ERROR)


def wrap_generator(
    function: Callable[..., Any], scope: Callable[[], SpanScope], reducer: Reducer | None
) -> Callable[..., Any]:
    """Wrap a generator function."""
    arguments = Arguments(function)

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        stream = _Stream(scope(), arguments.read(args, kwargs), reducer)
        try:
            generator = function(*args, **kwargs)
            resume, value = generator.send, None
            while True:
                try:
                    with stream.active:
                        item = resume(value)
                except StopIteration as stop:
                    stream.end()
                    return stop.value
                stream.item(item)
                try:
                    resume, value = generator.send, (yield item)
                except GeneratorExit:
                    with stream.active:
                        generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - it belongs to the generator
                    resume, value = generator.throw, error
        except GeneratorExit:
            # Its consumer had enough.
            stream.end()
            raise
        except BaseException as error:
            stream.fail(error)
            raise

    return wrapper


def wrap_async_generator(
    function: Callable[..., Any], scope: Callable[[], SpanScope], reducer: Reducer | None
) -> Callable[..., Any]:
    """Wrap an asynchronous generator function."""
    arguments = Arguments(function)

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        stream = _Stream(scope(), arguments.read(args, kwargs), reducer)
        try:
            generator = function(*args, **kwargs)
            resume, value = generator.asend, None
            while True:
                try:
                    with stream.active:
                        item = await resume(value)
                except StopAsyncIteration:
                    stream.end()
                    return
                stream.item(item)
                try:
                    resume, value = generator.asend, (yield item)
                except GeneratorExit:
                    with stream.active:
                        await generator.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - it belongs to the generator
                    resume, value = generator.athrow, error
        except GeneratorExit:
            # Its consumer had enough.
            stream.end()
            raise
        except BaseException as error:
            stream.fail(error)
            raise

    return wrapper
