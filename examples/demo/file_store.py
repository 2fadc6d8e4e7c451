"""Reads the spans that the file exporters of several processes wrote: OTLP/JSON, one request a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from span_tree import SpanRecord

STATUS_NAMES = ("UNSET", "OK", "ERROR")


def read(directory: Path) -> list[SpanRecord]:
    """Every span of every file in the directory."""
    return [
        record(span)
        for path in sorted(directory.glob("*.jsonl"))
        for line in path.read_text().splitlines()
        for resource_spans in json.loads(line)["resourceSpans"]
        for scope_spans in resource_spans["scopeSpans"]
        for span in scope_spans["spans"]
    ]


def record(span: dict[str, Any]) -> SpanRecord:
    attributes = {item["key"]: plain(item["value"]) for item in span.get("attributes", [])}
    return SpanRecord(
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId") or None,
        name=span["name"],
        span_type=attributes.get("mlflow.spanType", "UNKNOWN"),
        status=STATUS_NAMES[span["status"].get("code", 0)],
        start_ns=int(span["startTimeUnixNano"]),
        end_ns=int(span["endTimeUnixNano"]),
        inputs=attributes.get("mlflow.spanInputs"),
        outputs=attributes.get("mlflow.spanOutputs"),
        attributes=attributes,
    )


def plain(value: dict[str, Any]) -> Any:
    """The Python value of an OTLP AnyValue. Objects and arrays travel as JSON text."""
    for kind, content in value.items():
        match kind:
            case "stringValue":
                return decoded(content)
            case "intValue":
                return int(content)
            case "arrayValue":
                return [plain(item) for item in content.get("values", [])]
            case "kvlistValue":
                return {item["key"]: plain(item["value"]) for item in content.get("values", [])}
            case _:
                return content
    return None


def decoded(text: str) -> Any:
    if text[:1] not in ("{", "[", '"'):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
