"""A span around each call of a function, whatever the call gives back.

    value                   the span ends with the call
    coroutine               it ends when the coroutine does
    generator, stream       it ends when the items do, or when nobody wants more of them
    manager                 see `deferred`: it begins when the manager sends its request

The caller gets what the function gave: a library's stream object keeps its type, only the source
that it reads from is replaced. The span is current while the library works, and never while the
caller holds an item. Nothing that goes wrong here reaches the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import weakref
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace._native import LiveSpan
from mlflow_trace.entities import SpanLogLevel, SpanStatus, SpanStatusCode
from mlflow_trace.integrations.streams import passing, passing_async

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mlflow_trace.integrations.registry import Integration

_NOTHING: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
_signature = functools.lru_cache(maxsize=None)(inspect.signature)
# OpenAI's, Anthropic's and Mistral's marks of arguments that were not given.
_NOT_GIVEN = frozenset({"Omit", "NotGiven", "Unset"})


class Spec:
    """How calls become spans. What a method raises is reported once; the rest is recorded."""

    span_type = "UNKNOWN"
    # Whether what the library does while it reads a stream may have spans of its own.
    active_while_reading = True

    def name(self, call: Call) -> str | None:
        """Return the name of the span; None for a call that is not to be traced."""
        return call.function.__qualname__

    def parent(self, call: Call) -> LiveSpan | None:  # noqa: ARG002 - for those who override it
        """Return the span that this one belongs below, where the context does not know it.

        Thread pools that start without a copy of the context lose it.
        """
        return None

    def begin(self, call: Call, span: LiveSpan) -> None:
        """Record the request. May change `call.args` and `call.kwargs`, after that."""
        span.set_inputs(call.arguments())

    def is_whole(self, result: Any) -> bool:  # noqa: ARG002 - for those who override it
        """Whether a result is plainly what was asked for: nothing to wait for, read or unwrap."""
        return False

    def content(self, result: Any) -> Any:
        """Return what the result is about, for instance what a raw response is parsed to."""
        return result

    def source(self, content: Any) -> str | None:  # noqa: ARG002 - for those who override it
        """Return the attribute of a stream object that holds the iterator which it reads from."""
        return None

    def follows(self, call: Call, content: Any) -> bool:  # noqa: ARG002
        """Whether `call` is told of the items of a stream in another way than by its source."""
        return False

    def replaced(self, call: Call, source: Any) -> None:
        """Put the iterator that is read from now where else the library looks for it."""

    def tap(self, content: Any, kept: list[Any]) -> bool:  # noqa: ARG002
        """Have what a stream object reads appended to `kept`, before it is made items of.

        Returns whether it will be; otherwise the items themselves are kept.
        """
        return False

    def result(self, call: Call, span: LiveSpan, content: Any) -> str | None:  # noqa: ARG002
        """Record what was returned. Returns the text of a failure that it tells about, if any."""
        span.set_outputs(content)
        return None

    def item(self, item: Any) -> Any:
        """Return what is kept of an item of a stream, which its owner may change afterwards."""
        return item

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> str | None:  # noqa: ARG002
        """Record a stream as far as it came. Returns as `result` does."""
        span.set_outputs(items)
        return None

    def is_failure(self, error: BaseException) -> bool:
        """Whether an exception means that the call failed, and is no way of steering it."""
        return not isinstance(error, GeneratorExit)


class Call:
    """One call of a traced function. `span` is there from its start to its end."""

    __slots__ = (
        "__weakref__",
        "_forget",
        "_items",
        "_number",
        "_tapped",
        "active",
        "args",
        "function",
        "integration",
        "kwargs",
        "reading",
        "span",
        "spec",
        "unseen",
    )

    def __init__(
        self,
        integration: Integration,
        spec: Spec,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Begin the span, if the integration is on."""
        self.integration, self.spec, self.function = integration, spec, function
        self.args, self.kwargs = args, kwargs
        self.span: LiveSpan | None = None
        self.active: contextlib.AbstractContextManager[Any] = _NOTHING
        self.reading = self.active
        self._items: list[Any] = []
        self._number = 0
        self._tapped = False
        # Nobody has to see the items that are still to come.
        self.unseen = False
        self._forget: Callable[[], Any] | None = None
        try:
            if integration.on:
                self._begin()
        except Exception as error:  # noqa: BLE001 - the call itself is not to fail
            integration.report("request", error)

    @property
    def instance(self) -> Any:
        """The object whose method is called."""
        return self.args[0] if self.args else None

    def arguments(self) -> dict[str, Any]:
        """Return what the caller gave, by the names of the parameters."""
        given = self.kwargs
        if len(self.args) > 1:
            signature = _signature(self.function)
            given = dict(signature.bind_partial(*self.args, **self.kwargs).arguments)
            for name, parameter in signature.parameters.items():
                if parameter.kind is parameter.VAR_KEYWORD:
                    given.update(given.pop(name, {}))
            given.pop(next(iter(signature.parameters)), None)
        return {
            name: value for name, value in given.items() if type(value).__name__ not in _NOT_GIVEN
        }

    def _begin(self) -> None:
        spec = self.spec
        name = spec.name(self)
        if name is None:
            return
        start = _native.start_span(name, spec.span_type)
        if (parent := spec.parent(self)) is None:
            span, self.active = start.detached()
        else:
            with _native.span_scope(parent):
                span, self.active = start.detached()
        if spec.active_while_reading:
            self.reading = self.active
        if isinstance(span, LiveSpan):
            self.span = span
            spec.begin(self, span)

    def item(self, item: Any) -> None:
        """Take an item of a stream that goes to the caller."""
        if self.span is None:
            return
        try:
            if self.integration.chunk_events:
                self.span._record_chunk(self._number, item)
                self._number += 1
            # A stream that had begun, or reads in another way by now, has given the tap nothing.
            self._tapped = self._tapped and bool(self._items)
            if not self._tapped:
                self._items.append(self.spec.item(item))
            elif self.reading is _NOTHING and not self.integration.chunk_events:
                self.unseen = True
        except Exception as error:  # noqa: BLE001 - the caller is to get its item
            self.integration.report("item of a stream", error)

    def _take(self) -> LiveSpan | None:
        span, self.span = self.span, None
        if self._forget is not None:
            self._forget()
        return span

    def done(self, *result: Any) -> None:
        """End the span with the result of the call, or with the items that there were."""
        if (span := self._take()) is None:
            return
        failure = None
        try:
            if result:
                failure = self.spec.result(self, span, result[0])
            elif self._items:
                failure = self.spec.items(self, span, self._items)
        except Exception as error:  # noqa: BLE001 - the caller has its result
            self.integration.report("reply", error)
        if failure:
            span.set_status(SpanStatus(SpanStatusCode.ERROR, failure))
            span.set_log_level(SpanLogLevel.ERROR)
        span.end()

    def fail(self, error: BaseException) -> None:
        """End the span with the exception that ends the call."""
        if (span := self._take()) is None:
            return
        is_failure = True
        try:
            is_failure = self.spec.is_failure(error)
            if self._items:
                self.spec.items(self, span, self._items)
        except Exception as unreadable:  # noqa: BLE001 - the failure is what counts
            self.integration.report("reply", unreadable)
        if is_failure:
            span.record_exception(error)
        span.end()

    def finish(self, result: Any) -> Any:
        """Give back the result of the function, and end the span when the work is over."""
        if self.span is None and (self.active is _NOTHING or not inspect.iscoroutine(result)):
            return result
        try:
            if self.spec.is_whole(result):
                self.done(result)
                return result
            return self._follow(result)
        except Exception as error:  # noqa: BLE001 - the caller is to get its result
            self.integration.report("result", error)
            self.done()
            return result

    def _follow(self, result: Any) -> Any:
        if inspect.iscoroutine(result):
            return self.wait_for(result)
        if asyncio.isfuture(result):
            result.add_done_callback(self._settled)
            return result
        if inspect.isgenerator(result):
            return self._watch(self._pass_on(passing, result))
        if inspect.isasyncgen(result):
            return self._watch(self._pass_on(passing_async, result))
        content = self.spec.content(result)
        if self.spec.follows(self, content):
            self._watch(content)
            return result
        name = self.spec.source(content)
        if name is None:
            self.done(content)
            return result
        # Before the source is there: some streams make it when it is first asked for.
        self._tapped = self.spec.tap(content, self._items)
        source = getattr(content, name)
        make = passing_async if hasattr(source, "__anext__") else passing
        replacement = self._watch(self._pass_on(make, source))
        setattr(content, name, replacement)
        self.spec.replaced(self, replacement)
        _on_close(content, self.done)
        return result

    def _pass_on(self, make: Callable[..., Any], source: Any) -> Any:
        return make(lambda _args, _kwargs: self, lambda _call: source)()

    def _watch(self, stream: Any) -> Any:
        # Ends what is dropped before the end, and at the latest when the interpreter exits.
        self._forget = weakref.finalize(stream, self.done).detach
        return stream

    def _settled(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self.fail(asyncio.CancelledError())
        elif (error := future.exception()) is not None:
            self.fail(error)
        else:
            self.done(self.spec.content(future.result()))

    async def wait_for(self, awaitable: Any) -> Any:
        """Wait for the result of an asynchronous call."""
        try:
            with self.active:
                result = await awaitable
        except BaseException as error:
            self.fail(error)
            raise
        return self.finish(result)


def _on_close(stream: Any, done: Callable[[], None]) -> None:
    """Have `done` called before a stream is closed, which is also how its `with` block ends.

    The stream is not part of a cycle by this: one that is dropped is closed at once, if it was.
    """
    close = getattr(type(stream), "close", None)
    if close is None:
        return
    find = weakref.ref(stream)

    async def aclose(*args: Any, **kwargs: Any) -> Any:
        done()
        return None if (found := find()) is None else await close(found, *args, **kwargs)

    def close_traced(*args: Any, **kwargs: Any) -> Any:
        done()
        return None if (found := find()) is None else close(found, *args, **kwargs)

    replacement = aclose if inspect.iscoroutinefunction(close) else close_traced
    stream.close = functools.wraps(close)(replacement)


def traced(integration: Integration, spec: Spec) -> Callable[[Any], Any]:
    """Return what wraps a function so that `spec` records its calls while `integration` is on.

    A coroutine function stays one, and so do generator functions: frameworks choose by it.
    """

    def wrap(function: Any) -> Any:
        begin = functools.partial(Call, integration, spec, function)

        def run(*args: Any, **kwargs: Any) -> Any:
            if not integration.on:
                return function(*args, **kwargs)
            call = begin(args, kwargs)
            try:
                with call.active:
                    result = function(*call.args, **call.kwargs)
            except BaseException as error:
                call.fail(error)
                raise
            return call.finish(result)

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            call = begin(args, kwargs)
            return await call.wait_for(function(*call.args, **call.kwargs))

        def open_source(call: Call) -> Any:
            return function(*call.args, **call.kwargs)

        if inspect.iscoroutinefunction(function):
            wrapper: Any = run_async
        elif inspect.isgeneratorfunction(function):
            wrapper = passing(begin, open_source)
        elif inspect.isasyncgenfunction(function):
            wrapper = passing_async(begin, open_source)
        else:
            wrapper = run
        return functools.wraps(function)(wrapper)

    return wrap


def deferred(integration: Integration, spec: Spec, attribute: str) -> Callable[[Any], Any]:
    """Return what wraps a function whose result sends the request later, when it is entered.

    Args:
        integration: The integration that has to be on.
        spec: How a call becomes a span, from its first argument to the stream that it gives.
        attribute: Where the result keeps the request that is to be sent, a function without
            arguments or an awaitable; `{}` stands for the name of its class.

    """

    def wrap(function: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            manager = function(*args, **kwargs)
            if integration.on:
                try:
                    _defer(
                        manager, functools.partial(Call, integration, spec, function, args, kwargs)
                    )
                except Exception as error:  # noqa: BLE001 - the caller is to get its manager
                    integration.report("manager of a stream", error)
            return manager

        return functools.wraps(function)(run)

    def _defer(manager: Any, begin: Callable[[], Call]) -> None:
        name = attribute.format(type(manager).__name__)
        request = getattr(manager, name)

        def send(*args: Any, **kwargs: Any) -> Any:
            call = begin()
            try:
                with call.active:
                    result = request(*args, **kwargs)
            except BaseException as error:
                call.fail(error)
                raise
            return call.finish(result)

        setattr(manager, name, send if callable(request) else _Later(begin, request))

    return wrap


class _Later:
    """An awaitable that begins the call when it is awaited, and nothing if it never is."""

    def __init__(self, begin: Callable[[], Call], request: Any) -> None:
        self._begin, self._request = begin, request

    def __await__(self) -> Any:
        return self._send().__await__()

    def _send(self) -> Coroutine[Any, Any, Any]:
        return self._begin().wait_for(self._request)

    def close(self) -> None:
        """Close the request that nobody sends, as a coroutine can be closed."""
        if (close := getattr(self._request, "close", None)) is not None:
            close()
