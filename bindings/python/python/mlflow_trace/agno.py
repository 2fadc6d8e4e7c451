"""Agno: runs of agents, teams and workflows, calls of models and tools as spans.

Agent.run, Team.run [AGENT] > a call of the model [LLM], a tool [TOOL]
Workflow.run [CHAIN] > a step [CHAIN] > the runs that it makes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow_trace import _native
from mlflow_trace.integrations.agno_models import trace_models
from mlflow_trace.integrations.calls import Spec, traced
from mlflow_trace.integrations.registry import Integration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlflow_trace._native import LiveSpan
    from mlflow_trace.integrations.calls import Call

__all__ = ["autolog"]

integration = Integration("agno")
_WHOLE = {"RunCompleted", "TeamRunCompleted", "WorkflowCompleted"}
_FAILED = {"RunError", "TeamRunError", "WorkflowError"}
_PARTS = {"RunContent", "TeamRunContent", "StepOutput"}
# By which a tool steers its agent.
_STEERING = {"RetryAgentRun", "StopAgentRun"}


def autolog(*, log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace what runs with Agno, or stop doing so.

    Works before and after the import of Agno, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own functions.
        silent: Log nothing about parts of a run that could not be recorded.

    """
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)


class _Event(NamedTuple):
    """What is kept of an event of a streamed run."""

    kind: str
    content: Any
    session_id: Any
    user_id: Any


class _Run(Spec):
    """A run, whose result may be a stream of events."""

    def __init__(self, span_type: str) -> None:
        self.span_type = span_type

    def name(self, call: Call) -> str:
        method = call.function.__name__.removesuffix("_stream")
        return f"{_name(call.instance)}.{method}"

    def begin(self, call: Call, span: LiveSpan) -> None:
        arguments = call.arguments()
        given = arguments.get("input", arguments.get("step_input"))
        given = getattr(given, "input", given)
        span.set_inputs(arguments if given is None else given)
        if self.span_type == "AGENT":
            span.set_attribute("agent.name", _name(call.instance))
        self._belongs(call, span, arguments.get("session_id"), arguments.get("user_id"))

    def _belongs(self, call: Call, span: LiveSpan, session: Any, user: Any) -> None:
        """Note the conversation and the user, of the span and of its trace."""
        found = {
            "session.id": session or getattr(call.instance, "session_id", None),
            "user.id": user or getattr(call.instance, "user_id", None),
        }
        known = {key: str(value) for key, value in found.items() if value}
        if known and self.span_type == "AGENT":
            span.set_attributes(known)
            with call.active:
                session, user = known.get("session.id"), known.get("user.id")
                _native.update_current_trace(session_id=session, user=user)

    def result(self, call: Call, span: LiveSpan, result: Any) -> str | None:
        return self.items(call, span, [self.item(result)])

    def item(self, item: Any) -> _Event:
        kind = getattr(item, "event", None)
        if kind is None or hasattr(item, "status"):
            status = getattr(item, "status", None)
            is_error = str(getattr(status, "value", status)).upper() == "ERROR"
            kind = "RunError" if is_error else "RunCompleted"
        content = getattr(item, "content", None)
        about = getattr(item, "session_id", None), getattr(item, "user_id", None)
        return _Event(str(getattr(kind, "value", kind)), content, *about)

    def items(self, call: Call, span: LiveSpan, items: list[_Event]) -> str | None:
        last = items[-1]
        self._belongs(call, span, last.session_id, last.user_id)
        end = next((item for item in reversed(items) if item.kind in _WHOLE | _FAILED), None)
        if end is None:
            span.set_outputs(_text(item for item in items if item.kind in _PARTS) or None)
            return None
        span.set_outputs(end.content)
        return str(end.content or "the run failed") if end.kind in _FAILED else None


class _Tool(Spec):
    """A call of a tool; Agno tells a failure by its result."""

    span_type = "TOOL"

    def name(self, call: Call) -> str:
        return str(call.instance.function.name)

    def begin(self, call: Call, span: LiveSpan) -> None:
        span.set_inputs(call.instance.arguments)
        if description := call.instance.function.description:
            span.set_attribute("tool.description", description)

    def result(self, call: Call, span: LiveSpan, result: Any) -> str | None:  # noqa: ARG002
        failure = result.error if result.status == "failure" else None
        span.set_outputs(result.result if failure is None else failure)
        return failure if failure is None else str(failure)

    def source(self, result: Any) -> str | None:
        answer = getattr(result, "result", None)
        is_stream = hasattr(answer, "__next__") or hasattr(answer, "__anext__")
        return "result" if is_stream else None

    def replaced(self, call: Call, source: Any) -> None:
        call.instance.result = source

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> None:  # noqa: ARG002
        # Events of the runs that the tool makes, or pieces of its answer.
        span.set_outputs(_text(items))

    def is_failure(self, error: BaseException) -> bool:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        return not kinds & _STEERING and super().is_failure(error)


def _text(items: Iterable[Any]) -> str:
    """Join what is text, and what events have of it."""
    texts = (item if isinstance(item, str) else getattr(item, "content", None) for item in items)
    return "".join(text for text in texts if isinstance(text, str))


def _name(runner: Any) -> str:
    return str(getattr(runner, "name", None) or type(runner).__name__)


_RUNS = ("run", "arun", "continue_run", "acontinue_run")
_STEPS = ("execute", "aexecute", "execute_stream", "aexecute_stream")
for _class, _type, _methods in (
    ("agno.agent.agent:Agent", "AGENT", _RUNS),
    ("agno.team.team:Team", "AGENT", _RUNS),
    ("agno.workflow.workflow:Workflow", "CHAIN", _RUNS),
    ("agno.workflow.step:Step", "CHAIN", _STEPS),
):
    _targets = [f"{_class}.{method}" for method in _methods]
    integration.replace(_targets, traced(integration, _Run(_type)))
trace_models(integration)
integration.replace(
    ("agno.tools.function:FunctionCall.execute", "agno.tools.function:FunctionCall.aexecute"),
    traced(integration, _Tool()),
)
