"""Pydantic AI: runs of agents, requests to models and tools as spans.

Agent.run [AGENT] > OpenAIChatModel.request [LLM], get_weather [TOOL]

A run gets one more capability, Pydantic AI's own kind of middleware, which sees what it does.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace._native import LiveSpan
from mlflow_trace.entities import NoOpSpan
from mlflow_trace.integrations.calls import Call, Spec, traced
from mlflow_trace.integrations.model_facts import TOOLS, USAGE, token_usage
from mlflow_trace.integrations.models import FORMAT, MODEL, PROVIDER
from mlflow_trace.integrations.registry import Integration
from mlflow_trace.integrations.streams import passing_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow_trace.integrations.runs import Span

__all__ = ["autolog"]

integration = Integration("pydantic_ai")
# By which a tool steers its agent.
_STEERING = {"ApprovalRequired", "CallDeferred", "SkipToolExecution"}
# What stands between a method and its caller: the name of an agent is that of a variable there.
_BETWEEN = {"contextlib", "mlflow_trace"}
_NAME = "Agent.run"


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace what runs with Pydantic AI, or stop doing so.

    Works before and after the import of Pydantic AI, and does not import it.

    Args:
        log_traces: False has the same effect as `disable`.
        disable: Stop tracing and put back the library's own functions.
        silent: Log nothing about parts of a run that could not be recorded.

    """
    integration.autolog(disable=disable, log_traces=log_traces, silent=silent)


class _Run(Spec):
    """A run of an agent."""

    span_type = "AGENT"

    def name(self, call: Call) -> str | None:
        agent = call.instance
        if agent.name is None and call.kwargs.get("infer_name", True):
            agent._infer_name(_frame_below_caller())
        return f"Agent.{call.function.__name__}"

    def begin(self, call: Call, span: LiveSpan) -> None:
        given = call.arguments()
        left_out = ("deps", "infer_name", "capabilities")
        span.set_inputs({k: v for k, v in given.items() if v is not None and k not in left_out})
        agent = call.instance
        attributes = {
            FORMAT: "pydantic_ai",
            "agent_name": agent.name,
            "model": _model_name(given.get("model") or agent.model),
            "output_type": getattr(agent.output_type, "__name__", None),
            "end_strategy": getattr(agent, "end_strategy", None),
        }
        span.set_attributes({k: v for k, v in attributes.items() if v is not None})

    def result(self, call: Call, span: LiveSpan, content: Any) -> None:  # noqa: ARG002
        if type(content).__name__ == "AgentRun" or getattr(content, "is_complete", False):
            content = getattr(content, "result", content)
        if content is None:
            return
        if hasattr(content, "output"):
            span.set_outputs(_outputs(content.output, content.new_messages()))
            return
        # Of a stream that is left, there is nothing but the reply, as far as it came.
        reply = content.response
        messages = content.new_messages() if content.is_complete else [reply]
        span.set_outputs(_outputs(reply.text, messages))

    def items(self, call: Call, span: LiveSpan, items: list[Any]) -> None:
        self.result(call, span, items[-1])


class _Iteration(_Run):
    """Iterating a run, which is what every other way to run an agent does."""

    def name(self, call: Call) -> str | None:
        here = _native.get_current_active_span()
        name = here.name if isinstance(here, LiveSpan) and here.span_type == "AGENT" else ""
        is_inside = name.startswith(_NAME)
        return None if is_inside else super().name(call)


class _Part(Spec):
    """A part of a run, which may go on while the program reads its stream."""

    def name(self, call: Call) -> str | None:
        is_recorded = not isinstance(call.instance.span, NoOpSpan)
        return self.part(call) if is_recorded else None

    def part(self, call: Call) -> str:
        """Return the name of the span."""
        return str(call.kwargs["call"].tool_name)

    def parent(self, call: Call) -> LiveSpan | None:
        run, here = call.instance.span, _native.get_current_active_span()
        if not isinstance(run, LiveSpan) or isinstance(here, NoOpSpan):
            return None
        # Otherwise what is current is of the program that reads the stream, or around the run.
        is_inside = (
            here is not None
            and here.trace_id == run.trace_id
            and (here.start_time_ns or 0) > (run.start_time_ns or 0)
        )
        return None if is_inside else run


class _Model(_Part):
    """A request to a model."""

    span_type = "LLM"

    def part(self, call: Call) -> str:
        return f"{type(_requested(call).model).__name__}.request"

    def begin(self, call: Call, span: LiveSpan) -> None:
        request = _requested(call)
        parameters = request.model_request_parameters
        settings = {**(request.model_settings or {})}
        settings.pop("extra_headers", None)
        inputs = {
            "messages": request.messages,
            "model_settings": settings,
            "model_request_parameters": _set_members(parameters),
        }
        span.set_inputs({key: value for key, value in inputs.items() if value is not None})
        model = request.model
        attributes = {
            FORMAT: "pydantic_ai",
            "model_name": model.model_name,
            "system": model.system,
            MODEL: model.model_name,
            PROVIDER: model.system,
        }
        tools = [_tool(each) for each in (*parameters.function_tools, *parameters.output_tools)]
        if tools:
            attributes[TOOLS] = tools
        span.set_attributes({k: v for k, v in attributes.items() if v})

    def result(self, call: Call, span: LiveSpan, content: Any) -> None:  # noqa: ARG002
        span.set_outputs(content)
        used = content.usage
        usage = token_usage(
            used.input_tokens,
            used.output_tokens,
            cache_read=used.cache_read_tokens or None,
            cache_creation=used.cache_write_tokens or None,
        )
        # What tells no tokens tells 0.
        if usage and usage["total_tokens"]:
            span.set_attribute(USAGE, usage)


class _Tool(_Part):
    """A call of a tool."""

    span_type = "TOOL"

    def begin(self, call: Call, span: LiveSpan) -> None:
        span.set_inputs(call.kwargs["args"])
        if description := call.kwargs["tool_def"].description:
            span.set_attribute("description", description)

    def is_failure(self, error: BaseException) -> bool:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        return not kinds & _STEERING and super().is_failure(error)


class _Validation(_Tool):
    """Arguments of a tool that are not as declared."""

    span_type = "PARSER"

    def part(self, call: Call) -> str:
        return f"{super().part(call)}.validation"


class _Remote(Spec):
    """What is asked of an MCP server."""

    span_type = "TOOL"

    def name(self, call: Call) -> str | None:
        return f"MCPToolset.{call.function.__name__}"


def _requested(call: Call) -> Any:
    return call.kwargs["request_context"]


def _outputs(output: Any, messages: list[Any]) -> dict[str, Any]:
    # The second is where MLflow's page looks for messages.
    return {"output": output, "_new_messages_serialized": messages}


def _model_name(model: Any) -> str | None:
    name = model if isinstance(model, str) else getattr(model, "model_name", None)
    return name if isinstance(name, str) else None


def _tool(definition: Any) -> dict[str, Any]:
    function = {
        "name": definition.name,
        "description": definition.description,
        "parameters": definition.parameters_json_schema,
        "strict": definition.strict,
    }
    return {"type": "function", "function": {k: v for k, v in function.items() if v is not None}}


def _set_members(value: Any) -> dict[str, Any]:
    members = vars(value).items()
    return {name: member for name, member in members if member and not name.startswith("_")}


def _frame_below_caller() -> Any:
    """Return the frame that the caller of the library has called."""
    frame = sys._getframe()
    while (above := frame.f_back) is not None:
        if above.f_globals.get("__name__", "").partition(".")[0] not in _BETWEEN:
            break
        frame = above
    return frame


@functools.cache
def _capability() -> Any:
    from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering

    # pydantic_ai is not there when types are checked.
    class MlflowTrace(AbstractCapability[Any]):  # type: ignore[misc]
        """Sees the requests and the tools of one run."""

        # Adds nothing that a durable run would have to know beforehand.
        _safe_at_runtime = True

        def __init__(self, span: Span | None) -> None:
            self.span = span

        @classmethod
        def get_serialization_name(cls) -> str | None:
            return None

        def get_ordering(self) -> CapabilityOrdering:
            return CapabilityOrdering(position="outermost")

        @traced(integration, _Model())
        async def wrap_model_request(self, _ctx: Any, **about: Any) -> Any:
            return await about["handler"](about["request_context"])

        @traced(integration, _Tool())
        async def wrap_tool_execute(self, _ctx: Any, **about: Any) -> Any:
            return await about["handler"](about["args"])

        @traced(integration, _Validation())
        async def on_tool_validate_error(self, _ctx: Any, **about: Any) -> Any:
            raise about["error"]

    return MlflowTrace


def _watched(call: Call) -> dict[str, Any]:
    """Return the arguments of a run, with the capability that watches it."""
    try:
        with call.active:
            span = _native.get_current_active_span()
        given = call.kwargs.get("capabilities") or ()
        return {**call.kwargs, "capabilities": [*given, _capability()(span)]}
    except Exception as error:  # noqa: BLE001 - the run itself is not to fail
        integration.report("capability", error)
        return call.kwargs


def _streamed(spec: Spec, arguments: Callable[[Call], dict[str, Any]]) -> Callable[[Any], Any]:
    """Return what wraps a function that makes an asynchronous manager of a generator."""

    def wrap(function: Any) -> Any:
        generate = function.__wrapped__
        begin = functools.partial(Call, integration, spec, function)

        def open_source(call: Call) -> Any:
            return generate(*call.args, **arguments(call))

        manager = contextlib.asynccontextmanager(passing_async(begin, open_source))
        return functools.wraps(function)(manager)

    return wrap


_RUN = "pydantic_ai.agent.abstract:AbstractAgent"
integration.replace([f"{_RUN}.run", f"{_RUN}.run_sync"], traced(integration, _Run()))
integration.replace([f"{_RUN}.run_stream"], _streamed(_Run(), lambda call: call.kwargs))
integration.replace(["pydantic_ai.agent:Agent.iter"], _streamed(_Iteration(), _watched))
_MCP = "pydantic_ai.mcp:MCPToolset"
integration.replace(
    [f"{_MCP}.list_tools", f"{_MCP}.direct_call_tool"], traced(integration, _Remote())
)
