"""`trace`: a span around every call of a function."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from mlflow_trace._arguments import Arguments, name_of
from mlflow_trace._native import start_sampled_span, start_span
from mlflow_trace.exceptions import InvalidArgumentError
from mlflow_trace.tracing.otel_provider import unify

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow_trace._native import SpanScope
    from mlflow_trace.entities import Link, SpanLogLevel

_P = ParamSpec("_P")
_R = TypeVar("_R")


@overload
def trace(
    func: Callable[_P, _R],
    name: str | None = None,
    span_type: str = "UNKNOWN",
    attributes: dict[str, Any] | None = None,
    output_reducer: Callable[[list[Any]], Any] | None = None,
    trace_destination: Any = None,
    sampling_ratio_override: float | None = None,
    log_level: SpanLogLevel | str | None = None,
    links: list[Link] | None = None,
    description: str | None = None,
) -> Callable[_P, _R]: ...


@overload
def trace(
    func: None = None,
    name: str | None = None,
    span_type: str = "UNKNOWN",
    attributes: dict[str, Any] | None = None,
    output_reducer: Callable[[list[Any]], Any] | None = None,
    trace_destination: Any = None,
    sampling_ratio_override: float | None = None,
    log_level: SpanLogLevel | str | None = None,
    links: list[Link] | None = None,
    description: str | None = None,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...


def trace(
    func: Callable[..., Any] | None = None,
    name: str | None = None,
    span_type: str = "UNKNOWN",
    attributes: dict[str, Any] | None = None,
    output_reducer: Callable[[list[Any]], Any] | None = None,
    trace_destination: Any = None,
    sampling_ratio_override: float | None = None,
    log_level: SpanLogLevel | str | None = None,
    links: list[Link] | None = None,
    description: str | None = None,
) -> Callable[..., Any]:
    """Record a span for every call: arguments as inputs, result as outputs, exceptions as ERROR.

    Works as `@trace`, as `@trace(name=..., ...)` and as a wrapper, `trace(math.factorial)(5)`, of
    plain and asynchronous functions, methods, generators and asynchronous generators.

    Args:
        func: The function; left out where the decorator has arguments.
        name: Name of the span, the function's name by default.
        span_type: Type of the span, for instance `SpanType.TOOL`.
        attributes: Attributes of the span.
        output_reducer: For generators, makes the outputs of the list of items.
        trace_destination: Experiment of the trace, an object with an `experiment_id`; roots only.
        sampling_ratio_override: Share of the traces begun here that is recorded, from 0 to 1,
            instead of the option `sampling.ratio`; roots only.
        log_level: Severity of the span.
        links: Spans that this one refers to.
        description: A description for people.

    Raises:
        InvalidArgumentError: At decoration, for a ratio outside 0 to 1 and for an
            `output_reducer` of a function that is no generator.

    """
    if sampling_ratio_override is not None and not 0.0 <= sampling_ratio_override <= 1.0:
        message = (
            f"sampling_ratio_override must be between 0.0 and 1.0, got {sampling_ratio_override}"
        )
        raise InvalidArgumentError(message)
    unify()

    def decorate(decorated: Callable[..., Any]) -> Callable[..., Any]:
        descriptor = type(decorated) if isinstance(decorated, (classmethod, staticmethod)) else None
        function = decorated.__func__ if descriptor else decorated  # type: ignore[attr-defined]
        start = start_span
        if sampling_ratio_override is not None:
            start = functools.partial(start_sampled_span, sampling_ratio_override)
        options: list[Any] = [
            name or name_of(function),
            span_type,
            attributes,
            trace_destination,
            log_level,
            None,
            links,
            description,
        ]
        # Every call hands them over, so only those up to the last that is given.
        while options[-1] is None:
            options.pop()
        scope = functools.partial(start, *options)
        wrapped = _dress(_wrap(function, scope, output_reducer), function)
        return descriptor(wrapped) if descriptor else wrapped

    return decorate if func is None else decorate(func)


def _wrap(
    function: Callable[..., Any],
    scope: Callable[[], SpanScope],
    output_reducer: Callable[[list[Any]], Any] | None,
) -> Callable[..., Any]:
    import inspect

    if inspect.isgeneratorfunction(function):
        from mlflow_trace._generators import wrap_generator

        return wrap_generator(function, scope, output_reducer)
    if inspect.isasyncgenfunction(function):
        from mlflow_trace._generators import wrap_async_generator

        return wrap_async_generator(function, scope, output_reducer)
    if output_reducer is not None:
        message = "The output_reducer argument is only supported for generator functions."
        raise InvalidArgumentError(message)
    if inspect.iscoroutinefunction(function):
        return _wrap_coroutine(function, scope)
    return _wrap_function(function, scope)


def _wrap_function(
    function: Callable[..., Any], scope: Callable[[], SpanScope]
) -> Callable[..., Any]:
    record = Arguments(function).record

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with scope() as span:
            record(span, args, kwargs)
            result = function(*args, **kwargs)
            span._returned(result)
            return result

    return wrapper


def _wrap_coroutine(
    function: Callable[..., Any], scope: Callable[[], SpanScope]
) -> Callable[..., Any]:
    record = Arguments(function).record

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with scope() as span:
            record(span, args, kwargs)
            result = await function(*args, **kwargs)
            span._returned(result)
            return result

    return wrapper


def _dress(wrapper: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    wrapped = functools.wraps(function)(wrapper)
    # MLflow's mark, by which integrations know that a function is traced already.
    wrapped.__mlflow_traced__ = True  # type: ignore[attr-defined]
    return wrapped
