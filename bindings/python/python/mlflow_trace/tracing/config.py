"""Functions of the program that see every span before it ends."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from mlflow_trace import _native
from mlflow_trace._logging import logger
from mlflow_trace.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from typing_extensions import Self

    from mlflow_trace._native import LiveSpan

__all__ = ["TracingConfigContext", "configure", "reset_config"]

_Processor: TypeAlias = "Callable[[LiveSpan], None]"
_processors: tuple[_Processor, ...] = ()


class TracingConfigContext:
    """What `configure` returns: a `with` block at whose end the settings before it hold again."""

    def __init__(self, before: tuple[_Processor, ...]) -> None:
        """Remember the settings before."""
        self._before = before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _install(self._before)


def configure(
    span_processors: list[Callable[[LiveSpan], None]] | None = None,
) -> TracingConfigContext:
    """Set the functions that see every span of this process before it ends, and may change it.

    They are called in this order, on the thread that ends the span, with status and log level as
    they will be. What they return is ignored, and spans that they start are not recorded. Where one
    raises, the others are called all the same and the span is sent with its content replaced by
    `[redaction failed]`. So is a span that ends without them, because its trace takes too long.

    Settings hold until they are changed; as a context manager, until the end of the block.

    Args:
        span_processors: The functions; none with an empty list, and those before with None.

    Raises:
        InvalidArgumentError: For what cannot be called with one argument. Until functions are
            given that can, spans are sent without their content.

    """
    before = _processors
    if span_processors is not None:
        try:
            _install(_checked(span_processors))
        except InvalidArgumentError:
            _native.refuse_end_hook()
            raise
    return TracingConfigContext(before)


def reset_config() -> None:
    """Go back to the beginning: no span processors."""
    _install(())


def _install(processors: tuple[_Processor, ...]) -> None:
    global _processors
    _processors = processors
    _native.set_end_hook(functools.partial(_run, processors) if processors else None)


def _checked(processors: Iterable[_Processor]) -> tuple[_Processor, ...]:
    import inspect

    try:
        checked = tuple(processors)
    except TypeError:
        message = "span_processors must be a list of functions."
        raise InvalidArgumentError(message) from None
    for processor in checked:
        if not callable(processor):
            message = "Span processor must be a callable function."
            raise InvalidArgumentError(message)
        try:
            signature = inspect.signature(processor)
        except (TypeError, ValueError):
            continue
        try:
            signature.bind(None)
        except TypeError:
            message = (
                "Span processor must take exactly one argument that accepts a LiveSpan object."
            )
            raise InvalidArgumentError(message) from None
    return checked


def _run(processors: tuple[_Processor, ...], span: LiveSpan) -> bool:
    """Call the functions with a span; tell whether it may be sent."""
    passes = True
    returned = []
    for processor in processors:
        try:
            # A function may return anything, whatever its type says.
            result: Any = processor(span)
        except Exception as error:  # noqa: BLE001 - it is the program's code
            passes = False
            # Messages of exceptions may hold what the function was there to take out.
            logger.warning(
                "span processor %s failed with %s; the content of the span is withheld",
                _name_of(processor),
                type(error).__name__,
                exc_info=logger.isEnabledFor(logging.DEBUG),
            )
            continue
        if result is not None:
            returned.append(_name_of(processor))
    if returned:
        logger.warning("span processors should not return a value; ignored: %s", returned)
    return passes


def _name_of(processor: _Processor) -> str:
    return getattr(processor, "__name__", None) or type(processor).__name__
