"""DSPy: modules, language models, adapters and tools as spans, by DSPy's own callbacks.

Predict.forward [LLM] > JSONAdapter.format [PARSER], LM.__call__ [CHAT_MODEL], JSONAdapter.parse
"""

from __future__ import annotations

import functools
import json
import sys
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.integrations.model_facts import USAGE
from mlflow_trace.integrations.models import FORMAT, MODEL, PROVIDER
from mlflow_trace.integrations.registry import Integration
from mlflow_trace.integrations.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

__all__ = ["autolog"]

integration = Integration("dspy")
# What is not traced, with all that it runs.
_untraced = {"compile"}
_KINDS = {"Retrieve": "RETRIEVER", "ReAct": "AGENT", "Predict": "LLM", "Adapter": "PARSER"}


def autolog(
    log_traces: bool = True,
    log_traces_from_compile: bool = False,
    log_traces_from_eval: bool = True,
    log_compiles: bool = False,
    log_evals: bool = False,
    disable: bool = False,
    silent: bool = False,
) -> None:
    """Trace what runs with DSPy, or stop doing so.

    Works before and after the import of DSPy, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        log_traces_from_compile: Trace what optimizers run as well.
        log_traces_from_eval: Trace what `Evaluate` runs as well.
        log_compiles: Accepted as MLflow does; without effect.
        log_evals: Accepted as MLflow does; without effect.
        disable: Stop tracing.
        silent: Log nothing about parts of a run that could not be recorded.

    """
    del log_compiles, log_evals
    _untraced.clear()
    _untraced.update({"compile"} if not log_traces_from_compile else ())
    _untraced.update({"evaluate"} if not log_traces_from_eval else ())
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)


def _guarded(handle: Any) -> Any:
    @functools.wraps(handle)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            handle(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - DSPy would log it at every call
            integration.report(handle.__name__, error)

    return guarded


class _Events:
    """What DSPy announces, each with the id of a call."""

    def __init__(self) -> None:
        self.runs = Runs(_running)
        self._quiet: set[str | None] = set()

    def _start(
        self,
        call_id: str,
        name: str,
        span_type: str,
        inputs: dict[str, Any],
        attributes: dict[str, Any] | None = None,
    ) -> None:
        parent = next(iter(_running()), None)
        if parent in self._quiet:
            self._quiet.add(call_id)
            return
        given = {**inputs, **inputs.get("kwargs", {})}
        given.pop("kwargs", None)
        if not given.get("args", True):
            del given["args"]
        # Writing a signature in full is slow.
        given = {
            key: repr(value) if isinstance(value, type) else value for key, value in given.items()
        }
        self.runs.start(call_id, parent, name, span_type, given, attributes)

    @_guarded
    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        names = [base.__name__ for base in type(instance).__mro__]
        kind = next((_KINDS[name] for name in names if name in _KINDS), "CHAIN")
        predict = getattr(instance, "predict", None) if "ChainOfThought" in names else None
        signature = getattr(predict or instance, "signature", None)
        is_known = kind == "LLM" or predict is not None
        attributes = {"signature": signature.signature} if is_known and signature else None
        name = f"{type(instance).__name__}.forward"
        self._start(call_id, name, kind, inputs, attributes)

    @_guarded
    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        attributes = {k: v for k, v in instance.kwargs.items() if not k.startswith("api_")}
        model = instance.model
        attributes |= {
            "model": model,
            "model_type": instance.model_type,
            "cache": instance.cache,
            FORMAT: "dspy",
            MODEL: model,
        }
        provider, slash, _ = model.partition("/")
        if slash:
            attributes[PROVIDER] = provider
        kind = "CHAT_MODEL" if instance.model_type == "chat" else "LLM"
        self._start(call_id, f"{type(instance).__name__}.__call__", kind, inputs, attributes)

    @_guarded
    def on_adapter_format_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start(call_id, f"{type(instance).__name__}.format", "PARSER", inputs)

    @_guarded
    def on_adapter_parse_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start(call_id, f"{type(instance).__name__}.parse", "PARSER", inputs)

    @_guarded
    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        # By which an agent says that it is done.
        if instance.name != "finish":
            told = {"name": instance.name, "description": instance.desc, "args": instance.args}
            given = {key: value for key, value in inputs.items() if key != "args"}
            self._start(call_id, f"Tool.{instance.name}", "TOOL", given, told)

    @_guarded
    def on_compile_start(self, call_id: str, **_: Any) -> None:
        if "compile" in _untraced or next(iter(_running()), None) in self._quiet:
            self._quiet.add(call_id)

    @_guarded
    def on_evaluate_start(self, call_id: str, **_: Any) -> None:
        if "evaluate" in _untraced or next(iter(_running()), None) in self._quiet:
            self._quiet.add(call_id)

    @_guarded
    def on_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self._quiet.discard(call_id)
        whole = getattr(outputs, "toDict", None)
        self.runs.end(call_id, outputs if whole is None else whole(), error=exception)

    on_module_end = on_lm_end = on_tool_end = on_end
    on_adapter_format_end = on_adapter_parse_end = on_compile_end = on_evaluate_end = on_end


def _running() -> Iterable[str | None]:
    callback = sys.modules.get("dspy.utils.callback")
    return () if callback is None else (callback.ACTIVE_CALL_ID.get(),)


@functools.cache
def _callback() -> Any:
    from dspy.utils.callback import BaseCallback

    return type("MlflowTraceCallback", (_Events, BaseCallback), {})()


def _with_callback(get: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the settings: whatever the program configures, and in whichever thread, it is there."""

    @functools.wraps(get)
    def get_traced(settings: Any, key: str, *default: Any) -> Any:
        found = get(settings, key, *default)
        if key != "callbacks" or not integration.on:
            return found
        callback = _callback()
        return found if callback in found else [*found, callback]

    return get_traced


def _counting(record: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what takes the reply of a model, inside its call: it has the tokens."""

    @functools.wraps(record)
    def record_counted(*args: Any, **kwargs: Any) -> Any:
        try:
            if integration.on:
                _count(args)
        except Exception as error:  # noqa: BLE001 - the program is to get its reply
            integration.report("tokens", error)
        return record(*args, **kwargs)

    return record_counted


def _count(args: tuple[Any, ...]) -> None:
    span = _callback().runs.nearest()
    reply = next((value for value in args if hasattr(value, "usage")), None)
    if span is None or reply is None or getattr(reply, "cache_hit", False):
        return
    told = _native.to_json({"usage": reply.usage})
    if usage := json.loads(_native.dialect_reply("openai.chat", told)).get("usage"):
        span.set_attribute(USAGE, usage)


def _install(_module: ModuleType) -> Callable[[], None]:
    runs = _callback().runs
    runs.follow()
    return runs.unfollow  # type: ignore[no-any-return]


integration.replace(["dspy.dsp.utils.settings:Settings.get"], _with_callback)
integration.replace(
    ["dspy.clients.execution:finalize", "dspy.clients.base_lm:BaseLM._process_lm_response"],
    _counting,
)
integration.install("dspy.utils.callback", _install)
