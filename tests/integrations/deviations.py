"""Where every integration differs from MLflow's on purpose: rules from its trees to ours.

What one case alone does differently has a tree of its own, in `better/`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

from trees import Tree

USAGE = "mlflow.chat.tokenUsage"
COST = "mlflow.llm.cost"


def spans_of(tree: Tree) -> Iterator[Tree]:
    """All spans of a trace or below one, each before those below it."""
    for span in tree.get("spans") or tree.get("children") or []:
        yield span
        yield from spans_of(span)


def without_chunk_events(tree: Tree) -> None:
    for span in spans_of(tree):
        events = [e for e in span.pop("events", []) if not e["name"].startswith("mlflow.chunk.")]
        if events:
            span["events"] = events


def without_chunks_of_tokens(tree: Tree) -> None:
    for span in spans_of(tree):
        for event in span.get("events", []):
            if event["name"] == "new_token":
                event["attributes"].pop("chunk", None)


def with_status_message(tree: Tree) -> None:
    for span in spans_of(tree):
        failures = [e for e in span.get("events", []) if e["name"] == "exception"]
        if span["status"] == "ERROR" and failures and not span.get("message"):
            found = failures[-1]["attributes"]
            span["message"] = f"{found['exception.type']}: {found['exception.message']}"


def without_headers(tree: Tree) -> None:
    for span in spans_of(tree):
        for part in (span.get("inputs"), span["attributes"]):
            if isinstance(part, dict):
                part.pop("extra_headers", None)
        inputs = span.get("inputs")
        config = inputs.get("config") if isinstance(inputs, dict) else None
        if isinstance(config, dict):
            config.pop("http_options", None)
        if isinstance(span.get("outputs"), dict):
            span["outputs"].pop("sdk_http_response", None)


def format_of(span: Tree) -> str | None:
    return span["attributes"].get("mlflow.message.format")


def with_usage_on_leaves(tree: Tree) -> None:
    for span in spans_of(tree):
        # Integrations of two libraries that are on both count; the sum of the trace knows.
        counting = (below for below in spans_of(span) if USAGE in below["attributes"])
        if any(format_of(below) == format_of(span) for below in counting):
            span["attributes"].pop(USAGE, None)
            span["attributes"].pop(COST, None)


RULES: list[tuple[str, Callable[[Tree], None]]] = [
    ("no chunk events unless asked for", without_chunk_events),
    ("tokens of a stream once", without_chunks_of_tokens),
    ("status has its message", with_status_message),
    ("no HTTP headers recorded", without_headers),
    ("usage counted once, on leaves", with_usage_on_leaves),
]


def expected(trees: list[Tree]) -> tuple[list[Tree], list[str]]:
    """What we record where MLflow records `trees`, and the reasons of what differs."""
    found = copy.deepcopy(trees)
    reasons = []
    for reason, rule in RULES:
        before = copy.deepcopy(found)
        for tree in found:
            rule(tree)
        if found != before:
            reasons.append(reason)
    return found, reasons
