"""Agno: runs of agents, teams and workflows, calls of models and tools as spans.

Agent.run, Team.run [AGENT] > a call of the model [LLM], a tool [TOOL]
Workflow.run [CHAIN] > a step [CHAIN] > the runs that it makes
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow_trace import _native
from mlflow_trace.integrations.calls import Spec, traced
from mlflow_trace.integrations.model_facts import TOOLS, USAGE, chat_tools, token_usage
from mlflow_trace.integrations.models import FORMAT, MODEL, PROVIDER
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

    Works before and after the import of Agno, and does not import it. Calls of models are traced
    from version 2.3.9 on.

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


class _Model(Spec):
    """A call of a model, with all attempts that it takes."""

    span_type = "LLM"

    def name(self, call: Call) -> str | None:
        # An attempt with guidance is made inside the call that it belongs to.
        if call.kwargs.get("retries_with_guidance_count"):
            return None
        method = call.function.__name__.removesuffix("_with_retry").lstrip("_")
        return f"{type(call.instance).__name__}.{method}"

    def begin(self, call: Call, span: LiveSpan) -> None:
        model = call.instance
        _native.record_request(span, None, {"messages": _each(call.kwargs.get("messages"))})
        tools = (
            tool if isinstance(tool, dict) else {"type": "function", "function": tool.to_dict()}
            for tool in call.kwargs.get("tools") or ()
        )
        attributes = {
            FORMAT: "agno",
            MODEL: model.id,
            PROVIDER: model.provider,
            TOOLS: chat_tools(tools),
        }
        span.set_attributes({key: value for key, value in attributes.items() if value})

    def result(self, call: Call, span: LiveSpan, result: Any) -> None:  # noqa: ARG002
        span.set_outputs([_message(result.content, result.tool_calls)])
        _count(span, result.response_usage)

    def item(self, item: Any) -> tuple[str, Any]:
        delta: dict[str, Any] = {"content": item.content if isinstance(item.content, str) else None}
        if item.tool_calls:
            delta["tool_calls"] = list(item.tool_calls)
        chunk = _native.to_json({"choices": [{"index": 0, "delta": delta}]})
        return chunk, item.response_usage

    def items(self, call: Call, span: LiveSpan, items: list[tuple[str, Any]]) -> None:  # noqa: ARG002
        chunks = [_numbered(chunk, number) for number, (chunk, _) in enumerate(items)]
        choices = json.loads(_native.dialect_fold("openai.chat", chunks)).get("choices") or [{}]
        message = choices[0].get("message") or {}
        whole = _message(message.get("content"), message.get("tool_calls"))
        span.set_outputs({"messages": [whole]})
        _count(span, next((usage for _, usage in reversed(items) if usage), None))


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


def _each(messages: Any) -> list[Any]:
    return [m.to_dict() if hasattr(m, "to_dict") else m for m in messages or ()]


def _message(content: Any, tool_calls: Any) -> dict[str, Any]:
    found = {"role": "assistant", "content": content, "tool_calls": tool_calls}
    return {key: value for key, value in found.items() if value}


def _numbered(chunk: str, number: int) -> str:
    """Give numbers to tool calls that came whole; those that came in parts have them."""
    if '"tool_calls"' not in chunk:
        return chunk
    value = json.loads(chunk)
    for position, tool_call in enumerate(value["choices"][0]["delta"]["tool_calls"]):
        tool_call.setdefault("index", number * 1000 + position)
    return json.dumps(value)


def _count(span: LiveSpan, used: Any) -> None:
    if not used:
        return
    usage = token_usage(
        used.input_tokens,
        used.output_tokens,
        used.total_tokens,
        cache_read=used.cache_read_tokens or None,
        cache_creation=used.cache_write_tokens or None,
    )
    if usage:
        span.set_attribute(USAGE, usage)


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
integration.replace(
    (
        f"agno.models.base:Model._{method}_with_retry"
        for method in ("invoke", "ainvoke", "invoke_stream", "ainvoke_stream")
    ),
    traced(integration, _Model()),
)
integration.replace(
    ("agno.tools.function:FunctionCall.execute", "agno.tools.function:FunctionCall.aexecute"),
    traced(integration, _Tool()),
)
