"""Integrations by name, each switched on and off as one."""

from __future__ import annotations

import functools
import importlib
import threading
from typing import TYPE_CHECKING, Any

from mlflow_trace.integrations.guard import report, silence
from mlflow_trace.integrations.patch import is_patched, patch, when_loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from mlflow_trace.integrations.patch import Undo, Wrap

# Modules of this package, in MLflow's names.
NAMES = (
    "ag2",
    "agno",
    "anthropic",
    "bedrock",
    "crewai",
    "dspy",
    "gemini",
    "groq",
    "langchain",
    "litellm",
    "llama_index",
    "mistral",
    "openai",
    "pydantic_ai",
    "semantic_kernel",
    "smolagents",
)


class Integration:
    """One library: which of its functions are replaced when it is switched on.

    Wrappers read `on`: one that somebody else has wrapped cannot be taken away. `chunk_events` has
    every item of a stream recorded as an event of the span, besides the whole that they make.
    """

    def __init__(self, name: str) -> None:
        """Take the name of the library's module in this package."""
        self.name = name
        self.on = False
        self.chunk_events = False
        self._hooks: list[tuple[str, Callable[[ModuleType], Undo | None]]] = []
        self._undo: list[Undo] = []
        self._lock = threading.RLock()

    def replace(self, targets: Iterable[str], wrap: Wrap) -> None:
        """Declare functions to be replaced, each as `module:Class.method`.

        One that the library does not have, or not in this version, is left out.
        """
        for target in targets:
            module, _, path = target.partition(":")
            self._hooks.append((module, functools.partial(patch, path=path, wrap=wrap)))

    def replace_in(self, owner: type, name: str, wrap: Wrap) -> None:
        """Replace a function of a class that has turned up, unless it is replaced already."""
        with self._lock:
            if self.on and not is_patched(owner, name) and (undo := patch(owner, name, wrap)):
                self._undo.append(undo)

    def install(self, module: str, hook: Callable[[ModuleType], Undo | None]) -> None:
        """Declare something else to be done once a module is loaded.

        Args:
            module: The module's full name.
            hook: Gets the module; returns what undoes it, if anything does.

        """
        self._hooks.append((module, hook))

    def report(self, what: str, error: BaseException) -> None:
        """Log, once per process, that a part of this integration failed."""
        report(f"{self.name}: {what}", error)

    def enable(self) -> None:
        """Replace what is declared, now or once it is imported."""
        with self._lock:
            if self.on:
                return
            self.on = True
            for module, hook in self._hooks:
                self._undo.append(when_loaded(module, functools.partial(self._run, hook)))

    def _run(self, hook: Callable[[ModuleType], Undo | None], module: ModuleType) -> None:
        # Without the lock: this runs inside imports, which hold locks of their own.
        if self.on and (undo := hook(module)) is not None:
            self._undo.append(undo)

    def disable(self) -> None:
        """Put back what was replaced, exactly as it was."""
        with self._lock:
            self.on = False
            while self._undo:
                self._revert(self._undo.pop())

    def _revert(self, undo: Undo) -> None:
        try:
            undo()
        except Exception as error:  # noqa: BLE001 - the rest is to be undone as well
            self.report("switching off", error)

    def autolog(
        self, *, disable: bool, log_traces: bool, silent: bool, chunk_events: bool = False
    ) -> None:
        """Switch on, or off where it is disabled or no traces are wanted."""
        silence(self.name, silent=silent)
        self.chunk_events = chunk_events
        if disable or not log_traces:
            self.disable()
        else:
            self.enable()


def autolog(
    disable: bool = False,
    log_traces: bool = True,
    silent: bool = False,
    exclude_flavors: list[str] | None = None,
) -> None:
    """Trace every library that there is an integration for, whether it is imported yet or not.

    Args:
        disable: Stop tracing them.
        log_traces: False has the same effect.
        silent: Log nothing about parts of a call that could not be recorded.
        exclude_flavors: Names of integrations to leave as they are, for instance `["openai"]`.

    """
    options: dict[str, Any] = {"disable": disable, "log_traces": log_traces, "silent": silent}
    for name in NAMES:
        if name not in (exclude_flavors or ()):
            importlib.import_module(f"mlflow_trace.{name}").autolog(**options)
