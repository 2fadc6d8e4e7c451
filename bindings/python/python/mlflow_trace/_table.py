"""Traces as a table of pandas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow_trace.entities import Trace
from mlflow_trace.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import pandas

_FIELD = re.compile(
    r"(?:`(?P<quoted_span>[^`]*)`|(?P<span>[^.]*))"
    r"\.(?P<kind>inputs|outputs)"
    r"(?:\.(?:`(?P<quoted_name>[^`]*)`|(?P<name>[^`].*)))?"
)


class _Field(NamedTuple):
    """Inputs or outputs of the spans of a name, or one member of them."""

    span: str
    kind: str
    name: str | None

    @classmethod
    def parse(cls, text: str) -> _Field:
        found = _FIELD.fullmatch(text)
        if found is None:
            message = f"{text!r} is no field; expected span.inputs or span.outputs.name"
            raise InvalidArgumentError(message)
        part = found.groupdict()
        span = part["span"] if part["quoted_span"] is None else part["quoted_span"]
        name = part["name"] if part["quoted_name"] is None else part["quoted_name"]
        return cls(span, part["kind"], name)

    def __str__(self) -> str:
        return ".".join(part for part in self if part is not None)

    def of(self, trace: Trace) -> Any:
        value = None
        for span in trace.data.spans:
            if span.name == self.span:
                whole = getattr(span, self.kind)
                if self.name is None:
                    value = whole
                else:
                    value = whole.get(self.name) if isinstance(whole, dict) else None
        return value


def table(traces: list[Trace], extract_fields: list[str] | None) -> pandas.DataFrame:
    """Make a table with a row for each trace; fields of spans are further columns."""
    import pandas

    fields = [_Field.parse(text) for text in extract_fields or ()]
    rows = [
        trace.to_pandas_dataframe_row() | {str(field): field.of(trace) for field in fields}
        for trace in traces
    ]
    columns = [*Trace.pandas_dataframe_columns(), *map(str, fields)]
    return pandas.DataFrame.from_records(rows, columns=columns)
