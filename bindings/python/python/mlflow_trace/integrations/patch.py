"""Replaces attributes of a library, now or as soon as it is imported, and puts them back.

Nothing is imported here: a module that the program has not loaded is waited for.
"""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

from mlflow_trace.integrations.guard import report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Wrap = Callable[[Any], Any]
    Undo = Callable[[], None]

_MISSING = object()
_MARK = "__mlflow_trace_patch__"
# What is in place, by owner and name: a second replacement of the same gives back the first.
_replaced: dict[tuple[Any, str], Undo] = {}


def is_patched(owner: Any, name: str) -> bool:
    """Whether a function is replaced, or inherited from where it is."""
    return hasattr(getattr(owner, name, None), _MARK)


def patch(module: ModuleType | type, path: str, wrap: Wrap) -> Undo | None:
    """Replace a function of a module by what `wrap` makes of it.

    Args:
        module: The module, as it is loaded, or a class.
        path: The function below it, for instance `Completions.create`.
        wrap: Gets the function and returns the one to call instead.

    Returns:
        What puts back the attribute, or its absence where it was inherited; None where there is no
        such function, or it is inherited from a class where it is replaced already.

    """
    *parents, name = path.split(".")
    try:
        owner: Any = functools.reduce(getattr, parents, module)
        original = getattr(owner, name)
    except AttributeError:
        return None
    key = (owner, name)
    if (undo := _replaced.get(key)) is not None:
        return undo
    if hasattr(original, _MARK):
        return None
    own = vars(owner).get(name, _MISSING)
    kind = type(own) if isinstance(own, (classmethod, staticmethod)) else None
    wrapper = wrap(own.__func__ if kind else original)
    setattr(wrapper, _MARK, True)
    replacement = kind(wrapper) if kind else wrapper
    setattr(owner, name, replacement)

    def restore() -> None:
        # What somebody else has put around the replacement stays, and finds it switched off.
        if vars(owner).get(name) is not replacement:
            return
        if own is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, own)
        _replaced.pop(key, None)

    _replaced[key] = restore
    return restore


class _Waiting:
    """Finds nothing itself; sees modules being loaded and tells who waits for them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._callbacks: dict[str, list[Callable[[ModuleType], None]]] = {}

    def add(self, name: str, callback: Callable[[ModuleType], None]) -> None:
        with self._lock:
            self._callbacks.setdefault(name, []).append(callback)
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)

    def remove(self, name: str, callback: Callable[[ModuleType], None]) -> None:
        with self._lock:
            callbacks = self._callbacks.get(name, [])
            if callback in callbacks:
                callbacks.remove(callback)
            if not callbacks:
                self._callbacks.pop(name, None)
            if not self._callbacks and self in sys.meta_path:
                sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._callbacks:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            if find is not None and (spec := find(fullname, path, target)) is not None:
                self._watch(spec)
                return spec  # type: ignore[no-any-return]
        return None

    def _watch(self, spec: ModuleSpec) -> None:
        loader = spec.loader
        execute = getattr(loader, "exec_module", None)
        if loader is None or execute is None:
            return

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            execute(module)
            for callback in tuple(self._callbacks.get(spec.name, ())):
                callback(module)

        try:
            # The loader stays the library's own; only this object's way of loading changes, once.
            loader.exec_module = exec_module  # type: ignore[method-assign]
        except AttributeError as error:
            report(f"loading of {spec.name}", error)


_waiting = _Waiting()


def when_loaded(name: str, callback: Callable[[ModuleType], None]) -> Undo:
    """Call back with a module: now where it is loaded, and whenever it is loaded from now on.

    What the callback raises is reported, not raised. Returns what ends it.
    """

    def guarded(module: ModuleType) -> None:
        try:
            callback(module)
        except Exception as error:  # noqa: BLE001 - the library's import is not to fail
            report(f"patching of {name}", error)

    _waiting.add(name, guarded)
    if (module := sys.modules.get(name)) is not None:
        guarded(module)
    return functools.partial(_waiting.remove, name, guarded)
