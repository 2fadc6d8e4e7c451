"""Threads that continue the trace of whoever gives them work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

__all__ = ["ContextThreadPoolExecutor"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class ContextThreadPoolExecutor(ThreadPoolExecutor):
    """Runs every call in a copy of the context in which it was submitted, so with its current span.

    A drop-in for `concurrent.futures.ThreadPoolExecutor`, whose threads have contexts of their own.
    For `asyncio.to_thread` and tasks nothing is needed: they copy the context themselves.
    """

    def submit(self, fn: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Schedule a call."""
        call: Callable[..., Any] = copy_context().run
        return super().submit(call, fn, *args, **kwargs)
