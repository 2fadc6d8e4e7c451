"""The arguments of a call by parameter name, as `inspect.Signature.bind` gives them, but fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_trace._native import Parameters

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable


class Arguments:
    """Reads the arguments of calls of one function.

    `read(args, kwargs)` returns what is recorded as inputs; None where the call does not fit the
    function.
    """

    __slots__ = ("_receiver", "_signature", "read")

    _signature: inspect.Signature
    _receiver: str | None

    read: Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any] | None]

    def __init__(self, function: Callable[..., Any]) -> None:
        import inspect

        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
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
            self.read = Parameters(names, defaults, positional).bind
        else:
            self._signature = signature
            first = next(iter(signature.parameters))
            self._receiver = first if first in ("self", "cls") else None
            self.read = self._bind

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


def _unknown(_args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    """Builtins may not tell their parameters."""
