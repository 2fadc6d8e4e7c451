"""Traces as trees of what is compared: no ids, no times, no nulls, siblings in no order."""

from __future__ import annotations

import json
import re
from typing import Any

# Said elsewhere in the tree, or different in every run.
LEFT_OUT = {"mlflow.traceRequestId", "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType"}
METADATA = ("mlflow.trace.session", "mlflow.trace.user", "mlflow.trace.tokenUsage")
VARYING = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "HASH"),
    # As much of an error's text as all versions of OpenAI's client give.
    (re.compile(r"(Error code: \d+ - ).*(fake error \d+).*"), r"\1\2"),
    (re.compile(r"(Traceback \(most recent call last\):\n)(?:[ ^].*\n)*"), r"\1"),
    (re.compile(r"0x[0-9a-f]{6,}"), "0xADDR"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?"), "TIME"),
    (re.compile(r"<class '(?:[\w.<>]+\.)?(\w+)'>"), r"<class '\1'>"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://127.0.0.1:PORT"),
)
# Numbers that differ in every run, and versions.
VARYING_KEYS = {
    "chat_id",
    "client_id",
    "created",
    "created_at",
    "duration",
    "lc_versions",
    "mlflow.spanStartTimeNs",
    "wrapper_id",
}

Tree = dict[str, Any]


def plain(value: Any) -> Any:
    """The value without nulls in objects, and with what differs in every run masked."""
    if isinstance(value, dict):
        return {
            key: "VARIES" if key in VARYING_KEYS else plain(item)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float):
        # What a server adds up comes out differently with the order.
        return float(f"{value:.9g}")
    if isinstance(value, str):
        for pattern, mask in VARYING:
            value = pattern.sub(mask, value)
    return value


def again(tree: Tree) -> Tree:
    """A tree that was written down, as `plain` and the order of siblings are by now."""
    found = plain(tree)
    assert isinstance(found, dict)
    sort(found)
    return found


def sort(tree: Tree) -> None:
    for below in ("spans", "children"):
        for span in tree.get(below, []):
            sort(span)
        if below in tree:
            tree[below].sort(key=canonical)


def node(span: dict[str, Any]) -> Tree:
    """A span as the goldens have it, as a tree without children."""
    attributes = {k: v for k, v in (span["attributes"] or {}).items() if k not in LEFT_OUT}
    events = [
        {"name": event["name"], "attributes": without_stack(event["attributes"] or {})}
        for event in span["events"]
    ]
    status = span["status"]
    found: Tree = {
        "name": span["name"],
        "type": span["type"],
        "status": status["code"].removeprefix("STATUS_CODE_"),
        "message": status["message"] or None,
        "inputs": span["inputs"],
        "outputs": span["outputs"],
        "attributes": attributes,
        "events": events or None,
    }
    result = plain(found)
    assert isinstance(result, dict)
    return result


def without_stack(attributes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key != "exception.stacktrace"}


def trace_tree(info: dict[str, Any], spans: list[dict[str, Any]]) -> Tree:
    """A trace: `spans` as the goldens have them, with `i` and `parent` to say who is below whom."""
    nodes = {span["i"]: node(span) for span in spans}
    roots: list[Tree] = []
    for span in spans:
        above = nodes.get(span["parent"])
        (roots if above is None else above.setdefault("children", [])).append(nodes[span["i"]])
    metadata = {key: info["trace_metadata"].get(key) for key in METADATA}
    parsed = {
        key: json.loads(value) if value and value.startswith("{") else value
        for key, value in metadata.items()
    }
    return again({"state": info["state"], "metadata": parsed, "spans": roots})


def from_server(trace: Any) -> Tree:
    """A trace that MLflow's client has read."""
    spans = [
        {
            "i": span.span_id,
            "parent": span.parent_id,
            "name": span.name,
            "type": span.span_type,
            "status": {
                "code": span.status.status_code.value,
                "message": span.status.description,
            },
            "inputs": span.inputs,
            "outputs": span.outputs,
            "attributes": span.attributes,
            "events": [
                {
                    "name": event.name,
                    "attributes": {k: as_json(v) for k, v in event.attributes.items()},
                }
                for event in span.events
            ],
        }
        for span in trace.data.spans
    ]
    return trace_tree(
        {"state": trace.info.state.value, "trace_metadata": trace.info.trace_metadata}, spans
    )


def as_json(value: Any) -> Any:
    """The value of a chunk event, which is JSON text."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            pass
    return value


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
