"""CrewAI: crews, tasks, agents, models, tools and flows as spans, by CrewAI's own event bus.

Crew.kickoff [CHAIN] > Task.execute_sync [CHAIN] > the agent's role [AGENT] > a model [LLM]
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow_trace.integrations.model_facts import TOOLS, USAGE, chat_tools, token_usage
from mlflow_trace.integrations.models import FORMAT, MODEL, PROVIDER
from mlflow_trace.integrations.registry import Integration
from mlflow_trace.integrations.runs import LIMIT, Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

__all__ = ["autolog"]

integration = Integration("crewai")
_ENDS = ("_completed", "_finished", "_failed", "_error", "_paused", "_canceled")
_FAILURES = ("_failed", "_error", "_canceled")


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace what runs with CrewAI, or stop doing so.

    Works before and after the import of CrewAI, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing.
        silent: Log nothing about parts of a run that could not be recorded.

    """
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)


def _scopes() -> tuple[tuple[str, str], ...]:
    """Return what is executing in the present context, each with the event that began it."""
    context = sys.modules.get("crewai.events.event_context")
    return () if context is None else context._event_id_stack.get()


def _running() -> Iterable[str]:
    return (event_id for event_id, _ in _scopes())


_runs = Runs(_running)
# The open ones: with which event they began, and who announced it.
_begun: dict[str, tuple[str, int]] = {}
# What a model is asked, while its call is announced.
_given: ContextVar[dict[str, Any] | None] = ContextVar("mlflow_trace_crewai", default=None)


class _Begin(NamedTuple):
    """How what begins with an event becomes a span."""

    name: str
    span_type: str
    inputs: Any
    attributes: dict[str, Any]


class CrewAIError(Exception):
    """What CrewAI tells of an error: its text."""


def _crew(source: Any, event: Any) -> _Begin:
    crew = getattr(event, "crew", None) or source
    about = {
        "process": getattr(crew.process, "value", None),
        "agents": [agent.role for agent in crew.agents],
        "tasks": [task.description for task in crew.tasks],
    }
    name = crew.name if crew.name not in (None, "crew") else "Crew.kickoff"
    return _Begin(name, "CHAIN", {"inputs": event.inputs} if event.inputs else {}, about)


def _task(source: Any, event: Any) -> _Begin:
    task = event.task or source
    about = {
        "description": task.description,
        "expected_output": task.expected_output,
        "agent": getattr(task.agent, "role", None),
        "async_execution": task.async_execution or None,
    }
    inputs = {"context": event.context} if event.context else {}
    return _Begin(task.name or "Task.execute_sync", "CHAIN", inputs, about)


def _agent(_source: Any, event: Any) -> _Begin:
    agent = event.agent
    inputs = {"task": event.task_prompt}
    return _Begin(agent.role, "AGENT", inputs, _agent_facts(vars(agent), event.tools))


def _lite_agent(_source: Any, event: Any) -> _Begin:
    info = event.agent_info
    return _Begin(
        info["role"], "AGENT", {"messages": event.messages}, _agent_facts(info, event.tools)
    )


def _agent_facts(agent: dict[str, Any], tools: Iterable[Any] | None) -> dict[str, Any]:
    about = {key: agent.get(key) for key in ("role", "goal", "backstory")}
    return {**about, "tools": [tool.name for tool in tools or ()] or None}


def _model(source: Any, event: Any) -> _Begin:
    # Events have a copy, in which what is nested deeply is text.
    given = _given.get() or {"messages": event.messages, "tools": event.tools}
    tools = given.get("tools")
    inputs = {"messages": given.get("messages"), "tools": tools}
    names = ("temperature", "top_p", "max_tokens", "stream", "seed", "stop_sequences")
    settings = {name: getattr(event, name, None) for name in names}
    model = event.model or getattr(source, "model", None)
    provider = getattr(source, "provider", None)
    if model and "/" in model:
        provider = model.partition("/")[0]
    attributes = {FORMAT: "crewai", MODEL: model, PROVIDER: provider, **settings}
    if described := chat_tools(tools):
        attributes[TOOLS] = described
    return _Begin(model or "LLM.call", "LLM", inputs, attributes)


def _tool(_source: Any, event: Any) -> _Begin:
    arguments = event.tool_args
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):
            arguments = json.loads(arguments)
    return _Begin(event.tool_name, "TOOL", arguments, {})


def _flow(source: Any, event: Any) -> _Begin | None:
    # Agents are flows inside, since version 1.14.
    if getattr(source, "suppress_flow_events", False):
        return None
    inputs = event.inputs or {}
    return _Begin(f"{event.flow_name}.kickoff", "CHAIN", inputs, {})


def _method(_source: Any, event: Any) -> _Begin:
    return _Begin(event.method_name, "CHAIN", event.params or {}, {})


def _lookup(name: str, span_type: str) -> Callable[[Any, Any], _Begin]:
    def begin(_source: Any, event: Any) -> _Begin:
        names = ("query", "task_prompt", "value", "limit", "metadata")
        given = {key: getattr(event, key, None) for key in names}
        return _Begin(name, span_type, {k: v for k, v in given.items() if v is not None}, {})

    return begin


_BEGINNINGS: dict[str, Callable[[Any, Any], _Begin | None]] = {
    "crew_kickoff_started": _crew,
    "task_started": _task,
    "agent_execution_started": _agent,
    "lite_agent_execution_started": _lite_agent,
    "llm_call_started": _model,
    "tool_usage_started": _tool,
    "mcp_tool_execution_started": _tool,
    "flow_started": _flow,
    "method_execution_started": _method,
    "knowledge_query_started": _lookup("Knowledge.query", "RETRIEVER"),
    "memory_query_started": _lookup("Memory.query", "MEMORY"),
    "memory_save_started": _lookup("Memory.save", "MEMORY"),
}


def _observe(source: Any, event: Any) -> None:
    kind = event.type
    scopes = _scopes()
    if (begin := _BEGINNINGS.get(kind)) is not None:
        if (found := begin(source, event)) is None:
            return
        name, span_type, inputs, attributes = found
        above = (event.parent_event_id, *(id_ for id_, _ in reversed(scopes)))
        parent = next((id_ for id_ in above if _runs.get(id_) is not None), None)
        known = {key: value for key, value in attributes.items() if value is not None}
        given = {k: v for k, v in inputs.items() if v is not None} if inputs else inputs
        _begun[event.event_id] = (kind, id(source))
        if len(_begun) > LIMIT:
            del _begun[next(iter(_begun))]
        _runs.start(event.event_id, parent, name.strip(), span_type, given, known)
        return
    if not kind.endswith(_ENDS):
        return
    run = _begun_by(kind, source, scopes)
    if run is not None and (span := _runs.get(run)) is not None:
        del _begun[run]
        if kind == "llm_call_completed" and (usage := _usage(event)):
            span.set_attribute(USAGE, usage)
        _runs.end(run, _outputs(event), error=_error(event))


def _begun_by(kind: str, source: Any, scopes: tuple[tuple[str, str], ...]) -> str | None:
    """Return the innermost that the same source has begun, and that this kind of event ends.

    CrewAI ends what is innermost, but announces some ends twice.
    """
    family = kind[: -len(next(end for end in _ENDS if kind.endswith(end)))]
    wanted = (f"{family}_started", id(source))
    candidates = (*(id_ for id_, _ in reversed(scopes)), *reversed(tuple(_begun)))
    return next((id_ for id_ in candidates if _begun.get(id_) == wanted), None)


def _outputs(event: Any) -> Any:
    names = ("response", "output", "result", "retrieved_knowledge", "results", "memory_content")
    found = next((value for name in names if (value := getattr(event, name, None))), None)
    if not hasattr(found, "raw"):
        return found
    parts = {name: getattr(found, name, None) for name in ("raw", "pydantic", "json_dict")}
    return {name: part for name, part in parts.items() if part is not None}


def _error(event: Any) -> BaseException | None:
    if failure := getattr(event, "failure", None):
        return CrewAIError(getattr(failure, "message", None) or str(failure))
    if not event.type.endswith(_FAILURES):
        return None
    error = getattr(event, "error", None)
    return error if isinstance(error, BaseException) else CrewAIError(str(error))


def _usage(event: Any) -> dict[str, int] | None:
    told = getattr(event, "usage", None)
    metrics = sys.modules.get("crewai.types.usage_metrics")
    read = getattr(getattr(metrics, "UsageMetrics", None), "from_provider_dict", None)
    if not told or read is None:
        return None
    used = read(told)
    return token_usage(
        used.prompt_tokens,
        used.completion_tokens,
        cache_read=used.cached_prompt_tokens or None,
        cache_creation=used.cache_creation_tokens or None,
    )


def _observing(emit: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what announces an event, in the context of what it is about."""

    @functools.wraps(emit)
    def observed(bus: Any, source: Any, event: Any) -> Any:
        try:
            if integration.on:
                _observe(source, event)
        except Exception as error:  # noqa: BLE001 - the crew goes on without its span
            integration.report(str(getattr(event, "type", "event")), error)
        return emit(bus, source, event)

    return observed


def _keeping(announce: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap what announces the call of a model."""
    signature = inspect.signature(announce)

    @functools.wraps(announce)
    def kept(*args: Any, **kwargs: Any) -> Any:
        try:
            given = {**signature.bind_partial(*args, **kwargs).arguments}
        except TypeError:
            given = {}
        before = _given.set(given)
        try:
            return announce(*args, **kwargs)
        finally:
            _given.reset(before)

    return kept


def _install(_module: ModuleType) -> Callable[[], None]:
    _runs.follow()
    return _runs.unfollow


integration.replace(["crewai.events.event_bus:CrewAIEventsBus.emit"], _observing)
integration.replace(["crewai.llms.base_llm:BaseLLM._emit_call_started_event"], _keeping)
integration.install("crewai.events.event_bus", _install)
