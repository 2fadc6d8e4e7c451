"""What programs say about their traces: feedback, expectations, tags; and experiments."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from typing import Any

from reading import annotates, failed, raised, shown


def recorded(mlflow: Any, name: str = "recorded", **tags: str) -> str:
    """Record a trace that the server has, and return its id."""
    with mlflow.start_span(name, span_type="CHAIN") as span:
        span.set_inputs({"q": name})
        if tags:
            mlflow.update_current_trace(tags=tags)
        with mlflow.start_span("child"):
            pass
    mlflow.flush_trace_async_logging()
    return str(span.trace_id)


def source(mlflow: Any, kind: str, name: str = "default") -> Any:
    return mlflow.entities.AssessmentSource(kind, name)


def assessments(mlflow: Any, trace_id: str) -> Any:
    """Return what is said about a trace, by name."""
    found = shown(mlflow.get_trace(trace_id).info.assessments)
    return sorted(found, key=lambda item: (item["assessment_name"], str(item.get("overrides"))))


@annotates
def feedback_of_every_kind(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    values: list[Any] = [
        True,
        False,
        3,
        0.1 + 0.2,
        -1e-7,
        "yes",
        "",
        "é日😀",
        ["a", True, 1],
    ]
    values += [{"k": 1.5, "nested": {"l": [None, "x"]}}, [], {}, 10**12]
    returned = [
        mlflow.log_feedback(trace_id=trace_id, name=f"f{index:02}", value=value)
        for index, value in enumerate(values)
    ]
    return [returned, assessments(mlflow, trace_id)]


@annotates
def feedback_with_everything(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    returned = [
        mlflow.log_feedback(
            trace_id=trace_id,
            name=f"by {kind}",
            value=0.5,
            source=source(mlflow, kind, "someone"),
            rationale="because é",
            metadata={"k": "v", "run": "x", "number": 5},
        )
        for kind in ("HUMAN", "LLM_JUDGE", "CODE", "ai_judge", "human")
    ]
    returned.append(
        mlflow.log_feedback(
            trace_id=trace_id,
            value=1.0,
            metadata={"mlflow.assessment.sourceRunId": "r-1"},
        )
    )
    return [returned, assessments(mlflow, trace_id)]


@annotates
def feedback_that_failed(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    error = mlflow.entities.AssessmentError
    errors = [
        ("exception", ValueError("judge failed")),
        (
            "error",
            error(error_code="RATE_LIMIT", error_message="é", stack_trace="trace"),
        ),
        ("code alone", error(error_code="ONLY")),
        ("long", error(error_code="LONG", stack_trace="x" * 20_000)),
    ]
    for name, failure in errors:
        mlflow.log_feedback(trace_id=trace_id, name=name, error=failure)
    mlflow.log_feedback(trace_id=trace_id, name="with value", value=1.0, error=ValueError("v"))
    return assessments(mlflow, trace_id)


@annotates
def expectations(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    values: list[Any] = [
        "paris",
        42,
        0.5,
        True,
        ["a", {"b": 1}],
        {"facts": ["é", None]},
        "",
        [],
        {},
    ]
    returned = [
        mlflow.log_expectation(trace_id=trace_id, name=f"e{index}", value=value)
        for index, value in enumerate(values)
    ]
    returned.append(
        mlflow.log_expectation(
            trace_id=trace_id,
            name="sourced",
            value="v",
            source=source(mlflow, "LLM_JUDGE", "m"),
            metadata={"a": "b"},
        )
    )
    missing = failed(mlflow.log_expectation, trace_id=trace_id, name="none", value=None)
    return [returned, missing, assessments(mlflow, trace_id)]


@annotates
def of_a_span(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    span = mlflow.get_trace(trace_id).data.spans[1]
    feedback = mlflow.log_feedback(trace_id=trace_id, value=True, span_id=span.span_id)
    expectation = mlflow.log_expectation(
        trace_id=trace_id, name="e", value="x", span_id=span.span_id
    )
    trace = mlflow.get_trace(trace_id)
    of_span = trace.search_assessments(span_id=span.span_id)
    return [
        [item.span_id == span.span_id for item in (feedback, expectation)],
        sorted(item.name for item in of_span),
        [item.name for item in trace.search_assessments(type="feedback")],
    ]


@annotates
def of_a_trace_that_runs(mlflow: Any, _experiment: str) -> object:
    with mlflow.start_span("running") as span:
        feedback = mlflow.log_feedback(
            trace_id=span.trace_id, name="early", value="good", rationale="r"
        )
        mlflow.log_expectation(trace_id=span.trace_id, name="expected", value={"a": [1]})
        mlflow.set_trace_tag(span.trace_id, "early tag", "1")
        mlflow.set_trace_tag(span.trace_id, "gone", "1")
        mlflow.delete_trace_tag(span.trace_id, "gone")
        missing = failed(mlflow.delete_trace_tag, span.trace_id, "gone")
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_trace(span.trace_id)
    tags = {key: value for key, value in trace.info.tags.items() if not key.startswith("mlflow.")}
    return [
        feedback.name,
        feedback.value,
        missing,
        tags,
        assessments(mlflow, span.trace_id),
    ]


@annotates
def updates(mlflow: Any, _experiment: str) -> object:
    entities, trace_id = mlflow.entities, recorded(mlflow)
    feedback = mlflow.log_feedback(
        trace_id=trace_id,
        name="f",
        value=0.1,
        rationale="old",
        metadata={"a": "1", "b": "2"},
    )
    expectation = mlflow.log_expectation(trace_id=trace_id, name="e", value={"a": 1})
    changed = [
        mlflow.update_assessment(
            trace_id,
            feedback.assessment_id,
            entities.Feedback("renamed", 0.9, rationale="new", metadata={"b": "3", "c": "4"}),
        ),
        mlflow.update_assessment(
            trace_id, feedback.assessment_id, entities.Feedback("renamed", "text")
        ),
        mlflow.update_assessment(
            trace_id, expectation.assessment_id, entities.Expectation("e", ["x"])
        ),
        mlflow.update_assessment(trace_id, expectation.assessment_id, entities.Expectation("e", 5)),
    ]
    other_kind = raised(
        mlflow.update_assessment,
        trace_id,
        expectation.assessment_id,
        entities.Feedback("e", True),
    )
    return [changed, other_kind[0], assessments(mlflow, trace_id)]


@annotates
def overrides(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    first = mlflow.log_feedback(trace_id=trace_id, name="f", value=0.1, rationale="model says")
    second = mlflow.override_feedback(
        trace_id=trace_id,
        assessment_id=first.assessment_id,
        value=0.9,
        rationale="person says",
        source=source(mlflow, "HUMAN", "bob"),
        metadata={"why": "wrong"},
    )
    before = assessments(mlflow, trace_id)
    found = mlflow.get_assessment(trace_id, first.assessment_id)
    mlflow.delete_assessment(trace_id, second.assessment_id)
    after = assessments(mlflow, trace_id)
    expectation = mlflow.log_expectation(trace_id=trace_id, name="e", value=1)
    wrong = raised(
        mlflow.override_feedback,
        trace_id=trace_id,
        assessment_id=expectation.assessment_id,
        value=1,
    )
    return [second, before, found, after, wrong]


@annotates
def deletions(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow)
    feedback = mlflow.log_feedback(trace_id=trace_id, value=True)
    mlflow.delete_assessment(trace_id, feedback.assessment_id)
    mlflow.delete_assessment(trace_id, feedback.assessment_id)
    mlflow.delete_assessment(trace_id, "a-none")
    missing = raised(mlflow.get_assessment, trace_id, "a-none")
    nowhere = raised(mlflow.log_feedback, trace_id="tr-" + "0" * 31 + "1", value=True)
    return [missing, nowhere, assessments(mlflow, trace_id)]


@annotates
def assessment_objects(mlflow: Any, _experiment: str) -> object:
    entities, trace_id = mlflow.entities, recorded(mlflow)
    feedback = entities.Feedback("f", [1, "a"], valid=True, metadata={"m": "1"})
    logged = mlflow.log_assessment(trace_id, feedback)
    expectation = entities.Expectation("e", {"a": None}, source=source(mlflow, "HUMAN", "alice"))
    mlflow.log_assessment(trace_id=trace_id, assessment=expectation)
    read = mlflow.get_assessment(trace_id, logged.assessment_id)
    return [logged, feedback.trace_id == trace_id, read, assessments(mlflow, trace_id)]


@annotates
def tags(mlflow: Any, _experiment: str) -> object:
    trace_id = recorded(mlflow, a="1", b="2")
    for key, value in [
        ("a", "changed"),
        ("c", "é日"),
        ("d.e/f:g h-i_j", "x"),
        ("empty", ""),
    ]:
        mlflow.set_trace_tag(trace_id, key, value)
    mlflow.set_trace_tag(trace_id, "long", "x" * 5000)
    mlflow.set_trace_tag(trace_id, "number", 5)
    mlflow.delete_trace_tag(trace_id, "b")
    mlflow.set_trace_tag(trace_id, "mlflow.artifactLocation", "elsewhere")
    mlflow.delete_trace_tag(trace_id, "mlflow.trace.spansLocation")
    mlflow.set_trace_tag(trace_id, "mlflow.traceName", "renamed")
    found = mlflow.get_trace(trace_id).info.tags
    del found["mlflow.artifactLocation"]
    # Where MLflow's own SDK stored its spans depends on which request came first.
    found.pop("mlflow.trace.spansLocation", None)
    return [
        dict(sorted(found.items())),
        raised(mlflow.delete_trace_tag, trace_id, "none"),
        raised(mlflow.set_trace_tag, trace_id, "k" * 251, "v"),
        raised(mlflow.set_trace_tag, trace_id, "what?", "v"),
        failed(mlflow.set_trace_tag, "tr-" + "0" * 31 + "1", "k", "v"),
    ]


@annotates
def deleted_traces(mlflow: Any, _experiment: str) -> object:
    client = mlflow.MlflowClient()
    experiment = mlflow.create_experiment(f"deleted-{uuid.uuid4().hex}")
    mlflow.set_experiment(experiment_id=experiment)
    ids = [recorded(mlflow, f"t{n}") for n in range(3)]
    mlflow.set_experiment(experiment_id=_experiment)
    deleted = [client.delete_traces(experiment, trace_ids=[ids[0], "tr-none"])]
    left = len(mlflow.search_traces(locations=[experiment], return_type="list"))
    now = int(time.time() * 1000) + 1000
    deleted.append(client.delete_traces(experiment, max_timestamp_millis=now, max_traces=1))
    deleted.append(client.delete_traces(experiment, max_timestamp_millis=now))
    wrong = [
        failed(client.delete_traces, experiment),
        failed(client.delete_traces, experiment, max_timestamp_millis=1, trace_ids=["x"]),
        failed(client.delete_traces, experiment, trace_ids=["x"], max_traces=1),
        failed(client.delete_traces, experiment, max_timestamp_millis=1, max_traces=0),
    ]
    return [deleted, left, wrong, mlflow.get_trace(ids[0], silent=True)]


@annotates
def experiments(mlflow: Any, _experiment: str) -> object:
    client, word = mlflow.MlflowClient(), uuid.uuid4().hex
    names = [f"{word} é/? {n}" for n in range(3)]
    ids = [mlflow.create_experiment(name, tags={"n": str(n)}) for n, name in enumerate(names)]
    again = failed(mlflow.create_experiment, names[0])
    mlflow.delete_experiment(ids[2])
    read = [mlflow.get_experiment(ids[0]), mlflow.get_experiment_by_name(names[1])]
    gone = [mlflow.get_experiment(ids[2]), mlflow.get_experiment_by_name(names[2])]
    view, mine = mlflow.entities.ViewType, f"name LIKE '{word}%'"
    searched = [
        mlflow.search_experiments(filter_string=mine, order_by=["name ASC"]),
        mlflow.search_experiments(view.ALL, filter_string=mine, order_by=["name DESC"]),
        mlflow.search_experiments(view.DELETED_ONLY, filter_string=mine),
        mlflow.search_experiments(filter_string=mine, max_results=1, order_by=["name ASC"]),
    ]
    page = client.search_experiments(filter_string=mine, max_results=1, order_by=["name ASC"])
    token = page.token
    second = client.search_experiments(
        filter_string=mine, max_results=1, order_by=["name ASC"], page_token=token
    )
    failures = [
        again,
        failed(mlflow.set_experiment, names[2]),
        failed(mlflow.set_experiment, experiment_id="987654321"),
        failed(mlflow.delete_experiment, "987654321"),
        failed(mlflow.get_experiment, "987654321"),
        mlflow.get_experiment_by_name("no such one"),
    ]
    chosen = mlflow.set_experiment(names[1])
    created = mlflow.set_experiment(f"{word} new")
    mlflow.set_experiment(experiment_id=_experiment)
    text = json.dumps(shown([read, gone, searched, page, second, chosen, created]))
    return [json.loads(text.replace(word, "<word>")), bool(token), failures]


def run(mlflow: Any, experiment: str) -> str:
    """Create a run, for which our package has no call."""
    request = urllib.request.Request(
        f"{mlflow.get_tracking_uri()}/api/2.0/mlflow/runs/create",
        data=json.dumps({"experiment_id": experiment}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as reply:
        return str(json.load(reply)["run"]["info"]["run_id"])


@annotates
def linked_to_a_run(mlflow: Any, experiment: str) -> object:
    run_id = run(mlflow, experiment)
    ids = [recorded(mlflow, f"run {n}") for n in range(2)]
    client = mlflow.MlflowClient()
    client.link_traces_to_run(ids, run_id)
    search = {"run_id": run_id, "return_type": "list"}
    found = mlflow.search_traces(order_by=["timestamp ASC"], **search)
    filtered = mlflow.search_traces(filter_string="name = 'run 1'", **search)
    wrong = [
        failed(client.link_traces_to_run, ids, ""),
        failed(client.link_traces_to_run, ["t"] * 101, run_id),
        failed(client.link_traces_to_run, [], run_id),
    ]
    return [[trace.info.trace_id == id for trace, id in zip(found, ids, strict=True)],
            [trace.data.spans[0].name for trace in filtered], wrong]  # fmt: skip


@annotates
def sessions(mlflow: Any, experiment: str) -> object:
    mlflow.set_experiment(experiment_id=mlflow.create_experiment(f"sessions-{uuid.uuid4().hex}"))
    for name, session in [
        ("a1", "a"),
        ("b1", "b"),
        ("a2", "a"),
        ("none", None),
        ("b2", "b"),
    ]:
        with mlflow.start_span(name) as span:
            span.set_inputs(name)
            # Their order is one of milliseconds.
            time.sleep(0.002)
            if session:
                mlflow.update_current_trace(metadata={"mlflow.trace.session": session})
    mlflow.flush_trace_async_logging()
    found = mlflow.search_sessions()
    one = mlflow.search_sessions(max_results=1, include_spans=False)
    mlflow.set_experiment(experiment_id=experiment)
    names = [[session.id, [trace.info.tags["mlflow.traceName"] for trace in session]]
             for session in found]  # fmt: skip
    spans = [len(trace.data.spans) for session in one for trace in session]
    return [
        names,
        [(session.id, len(session), repr(session)) for session in one],
        spans,
    ]


@annotates
def searched_by_what_was_said(mlflow: Any, _experiment: str) -> object:
    word = uuid.uuid4().hex
    ids = {name: recorded(mlflow, name, word=word) for name in ("good", "bad")}
    for name, trace_id in ids.items():
        mlflow.log_feedback(trace_id=trace_id, name="verdict", value=name)
        mlflow.log_feedback(trace_id=trace_id, name="score", value=len(name))
        mlflow.log_expectation(trace_id=trace_id, name="wanted", value=name)
    filters = ["", "feedback.verdict = 'good'", "feedback.verdict != 'good'"]
    filters += [
        "expectation.wanted = 'bad'",
        "feedback.score > 3",
        "feedback.none = 'x'",
    ]
    found = []
    for text in filters:
        both = " AND ".join(part for part in (f"tags.word = '{word}'", text) if part)
        # Not every server knows them all.
        found.append(raised(found_names, mlflow, both))
    return found


def found_names(mlflow: Any, filter_string: str) -> list[str]:
    traces = mlflow.search_traces(filter_string=filter_string, return_type="list", flush=True)
    return sorted(trace.info.tags["mlflow.traceName"] for trace in traces)
