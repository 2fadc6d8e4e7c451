"""The arguments of a call by parameter name, as `inspect.Signature.bind` gives them, but fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_trace._native import Parameters

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable

    from mlflow_trace.entities import LiveSpan, NoOpSpan


_FUNCTION_NAME = "mlflow.spanFunctionName"


class Arguments:
    """Reads the arguments of calls of one function.

    `read(args, kwargs)` returns what is recorded as inputs; None where the call does not fit the
    function. `record(span, args, kwargs)` records them, and the function's name.
    """

    __slots__ = ("_name", "_receiver", "_signature", "read", "record")

    _signature: inspect.Signature
    _receiver: str | None

    read: Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any] | None]
    record: Callable[[LiveSpan | NoOpSpan, tuple[Any, ...], dict[str, Any]], None]

    def __init__(self, function: Callable[..., Any]) -> None:
        import inspect

        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        self._name = name_of(function)
        self.record = self._record
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            self.read = _unknown
            return
        parameters = signature.parameters.values()
        if all(parameter.kind in named for parameter in parameters):
            defaults = {
                p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty
            }
            positional = sum(p.kind is not inspect.Parameter.KEYWORD_ONLY for p in parameters)
            names = tuple(signature.parameters)
            named_parameters = Parameters(self._name, names, defaults, positional)
            self.read = named_parameters.bind
            self.record = named_parameters.record
        else:
            self._signature = signature
            first = next(iter(signature.parameters))
            self._receiver = first if first in ("self", "cls") else None
            self.read = self._bind

    def _record(
        self, span: LiveSpan | NoOpSpan, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        span.set_attribute(_FUNCTION_NAME, self._name)
        span.set_inputs(self.read(args, kwargs))

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        try:
            call = self._signature.bind(*args, **kwargs)
        except TypeError:
            return None
        call.apply_defaults()
        bound = call.arguments
        receiver = self._receiver
        if receiver in bound and (receiver == "self" or isinstance(bound[receiver], type)):
            del bound[receiver]
        return bound


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, or of the class of what is called like one."""
    return getattr(function, "__name__", None) or type(function).__name__


def _unknown(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    """Builtins may not tell their parameters."""
