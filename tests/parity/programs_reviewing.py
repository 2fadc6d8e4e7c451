"""What programs change their minds about: overrides of overrides, expectations, tags, deletions."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from typing import Any

from programs_annotations import assessments, recorded, run, source
from reading import annotates, failed, raised, shown

NONE = "tr-" + "0" * 31 + "1"


@contextlib.contextmanager
def elsewhere(mlflow: Any, experiment: str, name: str) -> Iterator[str]:
    """Make an experiment the current one for a while, and give its id."""
    other = mlflow.create_experiment(f"{name}-{uuid.uuid4().hex}")
    mlflow.set_experiment(experiment_id=other)
    yield other
    mlflow.set_experiment(experiment_id=experiment)


def in_order(mlflow: Any, *names: str) -> list[str]:
    """Record traces whose times differ."""
    ids = []
    for name in names:
        ids.append(recorded(mlflow, name))
        time.sleep(0.005)
    return ids


@annotates
def overrides_of_overrides(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    chain = [mlflow.log_feedback(trace_id=trace_id, name="f", value=0)]
    for value in (1, 2):
        chain.append(
            mlflow.override_feedback(
                trace_id=trace_id, assessment_id=chain[-1].assessment_id, value=value
            )
        )

    def validity() -> object:
        found = mlflow.get_trace(trace_id).info.assessments
        return sorted([item.value, item.valid, bool(item.overrides)] for item in found)

    out = [validity()]
    mlflow.delete_assessment(trace_id, chain[2].assessment_id)
    out.append(validity())
    mlflow.delete_assessment(trace_id, chain[0].assessment_id)
    out.append(validity())
    mlflow.delete_assessment(trace_id, chain[1].assessment_id)
    return [*out, validity()]


@annotates
def overrides_of_a_span(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    span = mlflow.get_trace(trace_id).data.spans[1]
    first = mlflow.log_feedback(
        trace_id=trace_id, name="f", value={"old": [1]}, span_id=span.span_id, metadata={"a": "1"}
    )
    second = mlflow.override_feedback(
        trace_id=trace_id, assessment_id=first.assessment_id, value=["new", None]
    )
    trace = mlflow.get_trace(trace_id)
    return [
        second.span_id == span.span_id,
        second.overrides == first.assessment_id,
        [second.name, second.value, second.metadata, second.rationale, str(second.source)],
        [item.value for item in trace.search_assessments("f")],
        sorted(str(item.value) for item in trace.search_assessments("f", all=True)),
        raised(mlflow.override_feedback, trace_id=trace_id, assessment_id="a-none", value=1),
    ]


@annotates
def several_opinions(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    for kind, name, value in [
        ("HUMAN", "alice", True),
        ("HUMAN", "bob", False),
        ("LLM_JUDGE", "judge", 0.25),
        ("CODE", "rule", "partly"),
    ]:
        mlflow.log_feedback(
            trace_id=trace_id, name="right", value=value, source=source(mlflow, kind, name)
        )
    trace = mlflow.get_trace(trace_id)
    found = [
        [item.source.source_type, item.source.source_id, item.value, item.valid]
        for item in trace.search_assessments("right", type="feedback")
    ]
    return [sorted(found, key=str), trace.search_assessments("wrong")]


@annotates
def expectations_that_change(mlflow: Any, _experiment: str) -> object:
    entities, trace_id = mlflow.entities, recorded(mlflow)
    first = mlflow.log_expectation(trace_id=trace_id, name="e", value="text")
    values: list[Any] = [
        {"deep": [{"er": {"é": [None, True, 1, 0.5, "x"]}}]},
        [],
        [[1, 2], [3.0]],
        0,
        False,
        "",
        {"value": {"serialized_value": "x"}},
    ]
    out = []
    for value in values:
        update = entities.Expectation("e", value, metadata={"m": "1"})
        changed = mlflow.update_assessment(trace_id, first.assessment_id, update)
        read = mlflow.get_assessment(trace_id, first.assessment_id)
        out.append([changed.value, read.value, read.metadata, str(read.source.source_type)])
    return [out, assessments(mlflow, trace_id)]


@annotates
def errors_that_are_put_right(mlflow: Any, _experiment: str) -> object:
    entities, trace_id = mlflow.entities, recorded(mlflow)
    logged = mlflow.log_feedback(trace_id=trace_id, name="f", error=TimeoutError("too late"))
    right = entities.Feedback("f", 0.75, rationale="the second time")
    changed = mlflow.update_assessment(trace_id, logged.assessment_id, right)
    again = entities.Feedback("f", error=entities.AssessmentError("CODE", "message"))
    wrong = mlflow.update_assessment(trace_id, logged.assessment_id, again)
    return [logged, changed, wrong, assessments(mlflow, trace_id)]


@annotates
def assessments_as_json(mlflow: Any, _experiment: str) -> object:
    entities, trace_id = mlflow.entities, recorded(mlflow)
    given = [
        entities.Feedback("f", {"a": [1.5]}, rationale="r", metadata={"k": "v"}),
        entities.Feedback("error", error=entities.AssessmentError("C", "m", "s")),
        entities.Expectation("scalar", "v"),
        entities.Expectation("list", [1, {"b": None}]),
    ]
    out = []
    for assessment in given:
        plain = mlflow.log_assessment(trace_id, assessment).to_dictionary()
        again = type(assessment).from_dictionary(plain)
        same = entities.Assessment.from_dictionary(plain)
        out.append([plain, again.to_dictionary() == plain, type(same).__name__, again.value])
    return out


@annotates
def what_is_wrong_with_assessments(mlflow: Any, _experiment: str) -> object:
    entities, trace_id = mlflow.entities, recorded(mlflow)
    feedback = mlflow.log_feedback(trace_id=trace_id, name="f", value=1)
    update, change = entities.Feedback("f", 2), mlflow.update_assessment
    return [
        raised(change, NONE, feedback.assessment_id, update),
        raised(change, trace_id, "a-none", update),
        raised(mlflow.get_assessment, NONE, feedback.assessment_id),
        failed(mlflow.log_expectation, trace_id=NONE, name="e", value=1),
        failed(mlflow.log_feedback, trace_id="nonsense", name="e", value=1),
        failed(mlflow.log_feedback, trace_id=trace_id, name="nothing"),
        failed(entities.AssessmentSource, "NOBODY", "x"),
        len(assessments(mlflow, trace_id)),
    ]


@annotates
def the_longest_tags(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    pairs = {"k" * 250: "long key", "4096": "x" * 4096, "4097": "y" * 4097, "é" * 3: "odd key"}
    pairs |= {"8000": "z" * 8000, "8001": "日" * 8001, "spaces ": " a b ", "lines": "a\nb"}
    outcomes = [raised(mlflow.set_trace_tag, trace_id, *pair) for pair in pairs.items()]
    outcomes += [
        failed(mlflow.set_trace_tag, trace_id, "", "no key"),
        failed(mlflow.delete_trace_tag, trace_id, ""),
        failed(mlflow.set_trace_tag, "nonsense", "k", "v"),
        failed(mlflow.delete_trace_tag, NONE, "k"),
    ]
    for value in (True, 1.5, None, ["a"]):
        outcomes.append(raised(mlflow.set_trace_tag, trace_id, f"of {type(value)}"[:6], value))
    found = mlflow.get_trace(trace_id).info.tags
    mine = {key: [len(text), text[:9]] for key, text in found.items() if "mlflow." not in key}
    return [outcomes, dict(sorted(mine.items()))]


@annotates
def searched_by_changed_tags(mlflow: Any, experiment: str) -> object:
    with elsewhere(mlflow, experiment, "tags"):
        ids = in_order(mlflow, "a", "b", "c")
        for trace_id in ids:
            mlflow.set_trace_tag(trace_id, "stage", "new")
        mlflow.set_trace_tag(ids[0], "stage", "old")
        mlflow.delete_trace_tag(ids[1], "stage")
        filters = [
            "tags.stage = 'new'",
            "tags.stage != 'new'",
            "tags.stage IS NULL",
            "tags.stage IS NOT NULL",
            "tag.stage LIKE 'o%'",
            "tags.stage IN ('old', 'new')",
            "tags.stage NOT IN ('old')",
            "tags.stage RLIKE '^(ne|ol)'",
        ]
        return {text: raised(names, mlflow, text) for text in filters}


def names(mlflow: Any, filter_string: str, **more: Any) -> list[str]:
    found = mlflow.search_traces(filter_string=filter_string, return_type="list", **more)
    return [trace.info.tags["mlflow.traceName"] for trace in found]


@annotates
def deleted_up_to_a_time(mlflow: Any, experiment: str) -> object:
    client = mlflow.MlflowClient()
    with elsewhere(mlflow, experiment, "times") as other:
        ids = in_order(mlflow, *"abcde")
        times = [mlflow.get_trace(trace_id).info.timestamp_ms for trace_id in ids]
        out: list[object] = []
        for until, most in [(times[0] - 1, None), (times[0], None), (times[3], 2), (1, 5)]:
            limit = {"max_traces": most} if most else {}
            deleted = client.delete_traces(other, max_timestamp_millis=until, **limit)
            out.append([deleted, names(mlflow, "", order_by=["timestamp ASC"])])
        gone = [mlflow.get_trace(trace_id, silent=True) is None for trace_id in ids]
    return [out, gone, failed(client.delete_traces, "987654321", trace_ids=ids)]


@annotates
def deleted_by_ids(mlflow: Any, experiment: str) -> object:
    client = mlflow.MlflowClient()
    with elsewhere(mlflow, experiment, "ids") as other:
        ids = in_order(mlflow, *"abcd")
        feedback = mlflow.log_feedback(trace_id=ids[0], name="f", value=1)
        mlflow.set_trace_tag(ids[0], "k", "v")
        deleted = [
            client.delete_traces(experiment, trace_ids=ids[:1]),
            client.delete_traces(other, trace_ids=[ids[0], ids[0], ids[1]]),
            client.delete_traces(other, trace_ids=ids[:2]),
            client.delete_traces(other, trace_ids=[*(f"tr-{n:032x}" for n in range(150)), ids[2]]),
        ]
        left = names(mlflow, "")
    afterwards = [
        failed(mlflow.get_assessment, ids[0], feedback.assessment_id),
        failed(mlflow.log_feedback, trace_id=ids[0], value=1),
        failed(mlflow.set_trace_tag, ids[0], "k", "w"),
        failed(client.get_trace, ids[0]),
    ]
    return [deleted, left, afterwards]


@annotates
def linked_to_two_runs(mlflow: Any, experiment: str) -> object:
    client = mlflow.MlflowClient()
    with elsewhere(mlflow, experiment, "runs") as other:
        ids = in_order(mlflow, *"abcd")
        runs = [run(mlflow, other) for _ in range(3)]
        client.link_traces_to_run(ids[:3], runs[0])
        client.link_traces_to_run(ids[1:], runs[1])
        client.link_traces_to_run(ids[1:2], runs[1])
        of_runs = [names(mlflow, "", run_id=run_id, order_by=["name ASC"]) for run_id in runs]
        of_runs.append(names(mlflow, f"run_id = '{runs[0]}' AND name != 'a'"))
        few = names(mlflow, "", run_id=runs[1], max_results=2)
        failures = [
            failed(client.link_traces_to_run, ids[:1], "no such run"),
            failed(client.link_traces_to_run, [NONE], runs[2]),
        ]
    return [of_runs, few, failures]


@annotates
def a_deleted_experiment(mlflow: Any, experiment: str) -> object:
    client = mlflow.MlflowClient()
    with elsewhere(mlflow, experiment, "gone") as other:
        trace_id = recorded(mlflow, "left behind")
    mlflow.delete_experiment(other)
    return [
        mlflow.get_experiment(other).lifecycle_stage,
        shown(mlflow.get_trace(trace_id).info.tags["mlflow.traceName"]),
        raised(len_of_search, client, other),
        failed(mlflow.delete_experiment, other),
        failed(mlflow.set_experiment, experiment_id=other),
        raised(mlflow.set_trace_tag, trace_id, "k", "v"),
        raised(client.delete_traces, other, trace_ids=[trace_id]),
    ]


def len_of_search(client: Any, experiment: str) -> int:
    return len(client.search_traces(locations=[experiment]))
