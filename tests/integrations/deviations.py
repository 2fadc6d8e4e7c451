"""Where every integration differs from MLflow's on purpose: rules from its trees to ours.

What one case alone does differently has a tree of its own, in `better/`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

from trees import Tree, sort

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
        if isinstance(outputs := span.get("outputs"), dict):
            outputs.pop("sdk_http_response", None)
            outputs.get("ResponseMetadata", {}).pop("HTTPHeaders", None)


def without_arguments_not_given(tree: Tree) -> None:
    for span in spans_of(tree):
        parts = (span.get("inputs"), span["attributes"])
        for part in (part for part in parts if isinstance(part, dict)):
            for key, value in list(part.items()):
                if value == "NOT_GIVEN" or str(value).startswith("<openai.Omit object"):
                    del part[key]


def with_whole_schemas(tree: Tree) -> None:
    for span in spans_of(tree):
        for tool in span["attributes"].get("mlflow.chat.tools", []):
            if "parameters" in tool["function"]:
                tool["function"]["parameters"].setdefault("type", "object")


def format_of(span: Tree) -> str | None:
    found = span["attributes"].get("mlflow.message.format")
    return None if found is None else str(found)


def with_usage_on_leaves(tree: Tree) -> None:
    for span in spans_of(tree):
        # Integrations of two libraries that are on both count; the sum of the trace knows.
        counting = (below for below in spans_of(span) if USAGE in below["attributes"])
        if any(format_of(below) == format_of(span) for below in counting):
            span["attributes"].pop(USAGE, None)
            span["attributes"].pop(COST, None)


OPENINFERENCE_KEPT = ("mlflow.", "session.id", "user.id", "agent.name", "tool.description")
LOG_LEVELS = {"CHAIN": 10}


def in_terms_of_mlflow(tree: Tree) -> None:
    """As the attributes are that MLflow's other integrations record, where it has OpenInference's."""
    for span in spans_of(tree):
        attributes = span["attributes"]
        if "openinference.span.kind" not in attributes:
            continue
        kept = {k: v for k, v in attributes.items() if k.startswith(OPENINFERENCE_KEPT)}
        if span["type"] != "AGENT":
            kept = {k: v for k, v in kept.items() if k not in ("session.id", "user.id")}
        failed = span["status"] == "ERROR"
        kept["mlflow.spanLogLevel"] = 40 if failed else LOG_LEVELS.get(span["type"], 20)
        if span["type"] == "LLM":
            kept["mlflow.message.format"] = "agno"
            tools = [v for k, v in attributes.items() if k.endswith(".tool.json_schema")]
            if tools:
                kept["mlflow.chat.tools"] = tools
        for event in span.get("events", []):
            event["attributes"].pop("exception.escaped", None)
            kind = event["attributes"].get("exception.type", "")
            event["attributes"]["exception.type"] = kind.rpartition(".")[2]
        span["attributes"] = kept


# Of AG2's own log of calls.
AG2_LOG = ("client_id", "invocation_id", "is_cached", "mlflow.spanStartTimeNs", "wrapper_id")
# What the server computes for what the fake provider counts: 21 tokens, 8 of them cached, and 9.
COST_WITH_CACHE = {"input_cost": 2.55e-06, "output_cost": 5.4e-06, "total_cost": 7.95e-06}


def with_cached_tokens(tree: Tree) -> None:
    counted = 0
    for span in spans_of(tree):
        attributes = span["attributes"]
        if format_of(span) != "ag2":
            continue
        for key in AG2_LOG:
            attributes.pop(key, None)
        if USAGE in attributes:
            details = span["outputs"]["usage"].get("prompt_tokens_details", {})
            if (cached := details.get("cached_tokens")) is None:
                continue
            attributes[USAGE]["cache_read_input_tokens"] = cached
            attributes[COST] = COST_WITH_CACHE
            counted += cached
            if "tools" in span["inputs"]:
                attributes["mlflow.chat.tools"] = span["inputs"]["tools"]
    if counted:
        tree["metadata"]["mlflow.trace.tokenUsage"]["cache_read_input_tokens"] = counted


# The clients whose replies are OpenAI's, and of which MLflow counts no cached tokens.
LIKE_OPENAI = ("groq", "mistral")


def with_tokens_from_cache(tree: Tree) -> None:
    counted = 0
    for span in spans_of(tree):
        if format_of(span) not in LIKE_OPENAI or USAGE not in span["attributes"]:
            continue
        details = span["outputs"]["usage"].get("prompt_tokens_details", {})
        if cached := details.get("cached_tokens"):
            span["attributes"][USAGE]["cache_read_input_tokens"] = cached
            counted += cached
    if counted:
        tree["metadata"]["mlflow.trace.tokenUsage"]["cache_read_input_tokens"] = counted


RULES: list[tuple[str, Callable[[Tree], None]]] = [
    ("no chunk events unless asked for", without_chunk_events),
    ("tokens of a stream once", without_chunks_of_tokens),
    ("status has its message", with_status_message),
    ("no HTTP headers recorded", without_headers),
    ("no arguments that were not given", without_arguments_not_given),
    ("tools with their whole schema", with_whole_schemas),
    ("usage counted once, on leaves", with_usage_on_leaves),
    ("tools and format of messages in MLflow's terms, not OpenInference's", in_terms_of_mlflow),
    ("AG2's tools and cached tokens", with_cached_tokens),
    ("cached tokens counted", with_tokens_from_cache),
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
    for tree in found:
        sort(tree)
    return found, reasons
