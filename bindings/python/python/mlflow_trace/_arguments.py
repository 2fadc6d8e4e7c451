"""The arguments of a call by parameter name, as `inspect.Signature.bind` gives them, but fast."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Arguments:
    """Reads the arguments of calls of one function."""

    __slots__ = ("_defaults", "_names", "_positional", "_receiver", "_signature")

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):
            self._signature = None
        parameters = list(self._signature.parameters.values()) if self._signature else []
        first = parameters[0].name if parameters else None
        self._receiver = first if first in ("self", "cls") else None
        # None where only a real binding knows: positional-only parameters, *args, **kwargs.
        self._names: tuple[str, ...] | None = None
        if self._signature and all(parameter.kind in _KEYWORD for parameter in parameters):
            self._names = tuple(parameter.name for parameter in parameters)
        self._positional = sum(p.kind is not inspect.Parameter.KEYWORD_ONLY for p in parameters)
        self._defaults = {
            p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty
        }

    def read(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what is recorded as inputs; None where the call does not fit the function."""
        bound = self._bind(args, kwargs)
        receiver = self._receiver
        if (
            bound
            and receiver in bound
            and (receiver == "self" or isinstance(bound[receiver], type))
        ):
            del bound[receiver]
        return bound

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
        names = self._names
        if names is None:
            return self._bind_by_signature(args, kwargs)
        given = len(args)
        if given > self._positional:
            return None
        bound = dict(zip(names, args, strict=False))
        if given == len(names) and not kwargs:
            return bound
        used = 0
        for name in names[given:]:
            if name in kwargs:
                bound[name] = kwargs[name]
                used += 1
            elif name in self._defaults:
                bound[name] = self._defaults[name]
            else:
                return None
        return bound if used == len(kwargs) else None

    def _bind_by_signature(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        if self._signature is None:
            return None
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError:
            return None
        bound.apply_defaults()
        return bound.arguments
