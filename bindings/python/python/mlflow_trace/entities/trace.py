"""A whole trace."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlflow_trace.entities.assessment import Expectation, Feedback
from mlflow_trace.entities.span import Span
from mlflow_trace.entities.trace_info import TraceInfo
from mlflow_trace.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from typing_extensions import Self

    from mlflow_trace.entities.assessment import Assessment

__all__ = ["Trace", "TraceData"]

_INTERMEDIATE_OUTPUTS = "mlflow.trace.intermediate_outputs"


@dataclass(init=False)
class TraceData:
    """The spans of a trace, parents before children."""

    spans: list[Span]

    def __init__(self, spans: list[Span] | None = None, **_ignored: Any) -> None:
        """Take the spans; what MLflow 2 had besides them is ignored."""
        self.spans = spans or []

    def to_dict(self) -> dict[str, Any]:
        """Give the spans as in MLflow's trace JSON."""
        return {"spans": [span.to_dict() for span in self.spans]}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls([Span.from_dict(span) for span in d.get("spans") or ()])

    @property
    def request(self) -> str | None:
        """The inputs of the root as JSON text."""
        return self._text_of_root("mlflow.spanInputs")

    @property
    def response(self) -> str | None:
        """The outputs of the root as JSON text."""
        return self._text_of_root("mlflow.spanOutputs")

    @property
    def intermediate_outputs(self) -> dict[str, Any] | None:
        """Outputs of the spans below the root by name; what `log_trace` was given, if it was."""
        root = self._root()
        given = root.get_attribute(_INTERMEDIATE_OUTPUTS) if root else None
        if given:
            outputs: dict[str, Any] = given
            return outputs
        if len(self.spans) < 2:
            return None
        times = Counter(span.name for span in self.spans)
        seen: Counter[str] = Counter()
        outputs = {}
        for span in self.spans:
            name = span.name
            if times[name] > 1:
                seen[name] += 1
                name = f"{name}_{seen[name]}"
            if span.parent_id and span.outputs is not None:
                outputs[name] = span.outputs
        return outputs

    def _root(self) -> Span | None:
        return next((span for span in self.spans if span.parent_id is None), None)

    def _text_of_root(self, key: str) -> str | None:
        root = self._root()
        text: str | None = root.to_dict()["attributes"].get(key) if root else None
        return text


@dataclass
class Trace:
    """Spans and information of one request."""

    info: TraceInfo
    data: TraceData

    @property
    def trace_id(self) -> str:
        """The id of the trace, `tr-` and 32 hexadecimal digits."""
        return self.info.trace_id

    def to_dict(self) -> dict[str, Any]:
        """Give the trace as MLflow's trace JSON."""
        return {"info": self.info.to_dict(), "data": self.data.to_dict()}

    def to_json(self, pretty: bool = False) -> str:
        """Give the trace as JSON text, indented with `pretty`."""
        return json.dumps(self.to_dict(), indent=2 if pretty else None)

    @classmethod
    def from_dict(cls, trace_dict: dict[str, Any]) -> Self:
        """Read what `to_dict` gave, here or in MLflow 3.

        Raises:
            InvalidArgumentError: For anything else.

        """
        info, data = trace_dict.get("info"), trace_dict.get("data")
        if info is None or data is None:
            message = (
                "Unable to parse Trace from dictionary. Expected keys: 'info' and 'data'. "
                f"Received keys: {list(trace_dict)}"
            )
            raise InvalidArgumentError(message)
        try:
            return cls(TraceInfo.from_dict(info), TraceData.from_dict(data))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            message = f"Unable to parse Trace from dictionary: {error!r}"
            raise InvalidArgumentError(message) from error

    @classmethod
    def from_json(cls, trace_json: str) -> Self:
        """Read what `to_json` gave.

        Raises:
            InvalidArgumentError: For anything else.

        """
        try:
            trace_dict = json.loads(trace_json)
        except ValueError as error:
            message = f"Unable to parse trace JSON: {trace_json}. Error: {error}"
            raise InvalidArgumentError(message) from error
        return cls.from_dict(trace_dict)

    def search_spans(
        self,
        span_type: str | None = None,
        name: str | re.Pattern[str] | None = None,
        span_id: str | None = None,
    ) -> list[Span]:
        """Return the spans that have this type, this name (or match this pattern) and this id.

        Raises:
            InvalidArgumentError: For a type that is no text and a name that is neither text nor
                pattern.

        """
        if not (name is None or isinstance(name, (str, re.Pattern))):
            message = f"Invalid type for 'name'. Expected str or re.Pattern. Got: {type(name)}"
            raise InvalidArgumentError(message)
        if not (span_type is None or isinstance(span_type, str)):
            message = (
                "Invalid type for 'span_type'. Expected str or mlflow.entities.SpanType. "
                f"Got: {type(span_type)}"
            )
            raise InvalidArgumentError(message)
        return [
            span
            for span in self.data.spans
            if (span_type is None or span.span_type == span_type)
            and (span_id is None or span.span_id == span_id)
            and (
                name is None
                or (name.search(span.name) if isinstance(name, re.Pattern) else span.name == name)
            )
        ]

    def search_assessments(
        self,
        name: str | None = None,
        *,
        span_id: str | None = None,
        all: bool = False,  # noqa: A002 - MLflow's name
        type: Literal["expectation", "feedback"] | None = None,  # noqa: A002 - MLflow's name
    ) -> list[Assessment]:
        """Return the assessments with this name, span and type; overridden ones only with `all`."""
        kinds = {"expectation": Expectation, "feedback": Feedback}
        kind = kinds.get(type) if type else None
        return [
            assessment
            for assessment in self.info.assessments
            if (name is None or assessment.name == name)
            and (span_id is None or assessment.span_id == span_id)
            and (all or assessment.valid is not False)
            and (kind is None or isinstance(assessment, kind))
        ]

    def to_pandas_dataframe_row(self) -> dict[str, Any]:
        """Give the trace as a row of the table that `search_traces` returns."""
        return {
            "trace_id": self.info.trace_id,
            "trace": self.to_json(),
            "client_request_id": self.info.client_request_id,
            "state": self.info.state,
            "request_time": self.info.request_time,
            "execution_duration": self.info.execution_duration,
            "request": _decoded(self.data.request),
            "response": _decoded(self.data.response),
            "trace_metadata": self.info.trace_metadata,
            "tags": self.info.tags,
            "spans": [span.to_dict() for span in self.data.spans],
            "assessments": [a.to_dictionary() for a in self.info.assessments],
        }

    @staticmethod
    def pandas_dataframe_columns() -> list[str]:
        """Return the names of the columns of that table."""
        return [
            "trace_id",
            "trace",
            "client_request_id",
            "state",
            "request_time",
            "execution_duration",
            "request",
            "response",
            "trace_metadata",
            "tags",
            "spans",
            "assessments",
        ]

    def __repr__(self) -> str:
        return f"Trace(trace_id={self.trace_id!r})"

    def _repr_html_(self) -> str | None:
        """Show the spans as a waterfall in a notebook, unless that is switched off."""
        from mlflow_trace.tracing.display import is_enabled

        return _waterfall(self) if is_enabled() else None


def _decoded(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _waterfall(trace: Trace) -> str:
    """Draw the spans over time, in the order of a depth-first walk."""
    spans = trace.data.spans
    begin = min((span.start_time_ns for span in spans), default=0)
    end = max((span.end_time_ns or span.start_time_ns for span in spans), default=begin)
    whole = max(end - begin, 1)
    known = {span.span_id for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span.start_time_ns):
        parent = span.parent_id if span.parent_id in known else None
        children.setdefault(parent, []).append(span)
    rows = []
    waiting = [(span, 0) for span in reversed(children.get(None, []))]
    while waiting:
        span, depth = waiting.pop()
        rows.append(_row(span, depth, begin, whole))
        waiting += [(child, depth + 1) for child in reversed(children.get(span.span_id, []))]
    title = f"{trace.trace_id} · {trace.info.state.value} · {whole / 1e6:.1f} ms"
    return (
        '<div class="mlflow-trace"><div>' + html.escape(title) + "</div>"
        '<table style="width:100%;font-size:90%;border-collapse:collapse">'
        + "".join(rows)
        + "</table></div>"
    )


def _row(span: Span, depth: int, begin: int, whole: int) -> str:
    length = (span.end_time_ns or span.start_time_ns) - span.start_time_ns
    left = 100 * (span.start_time_ns - begin) / whole
    width = max(100 * length / whole, 0.3)
    color = "#c0392b" if span.status.status_code.value == "ERROR" else "#2e86c1"
    kind = (
        ""
        if span.span_type in (None, "UNKNOWN")
        else f" <small>{html.escape(str(span.span_type))}</small>"
    )
    return (
        f'<tr><td style="text-align:left;white-space:nowrap;padding-left:{depth}em">'
        f"{html.escape(span.name)}{kind}</td>"
        f'<td style="text-align:right;white-space:nowrap">{length / 1e6:.1f} ms</td>'
        '<td style="width:60%"><div style="position:relative;height:0.8em">'
        f'<div style="position:absolute;left:{left:.2f}%;width:{width:.2f}%;height:100%;'
        f'background:{color}"></div></div></td></tr>'
    )
