"""What programs read back, of traces that are there."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import json
from typing import Any

from reading import raised, reads, shown


def search(mlflow: Any, filter_string: str | None = None, **more: Any) -> Any:
    return mlflow.search_traces(filter_string=filter_string, return_type="list", **more)


def ids(traces: Any) -> list[str]:
    return [trace.info.trace_id for trace in traces]


@reads
def whole_traces(mlflow: Any, _experiment: str) -> object:
    found = search(mlflow, include_spans=False, order_by=["timestamp ASC"])
    return [mlflow.get_trace(trace_id) for trace_id in ids(found)]


@reads
def through_the_client(mlflow: Any, experiment: str) -> object:
    client = mlflow.MlflowClient()
    found = client.search_traces(locations=[experiment], include_spans=False)
    return [client.get_trace(trace_id, display=False) for trace_id in ids(found)[:5]]


@reads
def everything_found(mlflow: Any, _experiment: str) -> object:
    return search(mlflow)


@reads
def information_alone(mlflow: Any, _experiment: str) -> object:
    return search(mlflow, include_spans=False)


@reads
def pages(mlflow: Any, experiment: str) -> object:
    client, out, token = mlflow.MlflowClient(), [], None
    while True:
        page = client.search_traces(locations=[experiment], max_results=3, page_token=token)
        out.append([ids(page), page.token])
        token = page.token
        if not token:
            return out


@reads
def a_few(mlflow: Any, _experiment: str) -> object:
    return [ids(search(mlflow, max_results=most)) for most in (1, 2, 5, 1000)]


@reads
def filters(mlflow: Any, _experiment: str) -> object:
    texts = [
        "status = 'ERROR'",
        "status IN ('OK')",
        "trace.status != 'OK'",
        "name = 'failing'",
    ]
    texts += [
        "name LIKE '%a%'",
        "name ILIKE '%A%'",
        "tags.env = 'prod'",
        "tags.`my key` = 'v'",
    ]
    texts += [
        "tags.none IS NULL",
        "tags.env IS NOT NULL",
        "metadata.`mlflow.trace.session` = 's'",
    ]
    texts += [
        "timestamp_ms > 1700000000000",
        "execution_time_ms < 100000",
        "end_time_ms > 0",
    ]
    texts += [
        "span.type = 'LLM'",
        "span.name IN ('child', 'other')",
        "trace.text LIKE '%é%'",
    ]
    texts += ["request_id = 'x'", "status = 'OK' AND tags.env = 'prod'"]
    texts += ["client_request_id = 'req-1'"]

    def one(text: str) -> list[str]:
        return ids(search(mlflow, text, include_spans=False))

    # Not every server knows them all.
    return {text: raised(one, text) for text in texts}


@reads
def bad_searches(mlflow: Any, experiment: str) -> object:
    client = mlflow.MlflowClient()
    texts = [
        "bogus = 1",
        "name",
        "name ~ 'x'",
        "status = OK",
        "tags.a > 'b'",
        "name = 'a' OR 1",
    ]
    outcomes = {
        text: raised(client.search_traces, locations=[experiment], filter_string=text)
        for text in texts
    }
    order = raised(client.search_traces, locations=[experiment], order_by=["bogus ASC"])
    return [outcomes, order]


@reads
def orders(mlflow: Any, _experiment: str) -> object:
    clauses = [
        ["timestamp ASC"],
        ["timestamp_ms DESC"],
        ["execution_time DESC"],
        ["name ASC"],
    ]
    clauses += [["status ASC", "name DESC"]]
    return [ids(search(mlflow, order_by=order, include_spans=False)) for order in clauses]


@reads
def tables(mlflow: Any, _experiment: str) -> object:
    table = mlflow.search_traces()
    fields = [
        "nested.inputs",
        "nested.inputs.q",
        "child.outputs",
        "`dot.ted`.inputs.`a.b`",
    ]
    extracted = mlflow.search_traces(extract_fields=fields, return_type="pandas")
    empty = mlflow.search_traces(filter_string="name = 'none such'", extract_fields=["a.inputs"])
    out = []
    for found in (table, extracted, empty):
        rows = shown(found.to_dict("records"))
        # The members of an object have no order.
        for row in rows:
            row["trace"] = json.loads(row["trace"])
        out.append([list(found.columns), rows])
    return out


@reads
def properties(mlflow: Any, _experiment: str) -> object:
    names = [
        "request_id",
        "experiment_id",
        "timestamp_ms",
        "execution_time_ms",
        "status",
    ]
    names += [
        "token_usage",
        "cost",
        "request_preview",
        "response_preview",
        "client_request_id",
    ]
    parts = [
        "name",
        "span_id",
        "parent_id",
        "trace_id",
        "span_type",
        "inputs",
        "outputs",
    ]
    parts += [
        "attributes",
        "start_time_ns",
        "end_time_ns",
        "model_name",
        "llm_cost",
        "description",
    ]
    out = []
    for trace in search(mlflow, order_by=["timestamp ASC"]):
        data = trace.data
        out.append(
            [
                {name: shown(getattr(trace.info, name)) for name in names},
                [data.request, data.response, data.intermediate_outputs],
                [{part: shown(getattr(span, part)) for part in parts} for span in data.spans],
                [[event.name for event in span.events] for span in data.spans],
                [[shown(link.to_dict()) for link in span.links] for span in data.spans],
                [str(span.status.status_code) for span in data.spans],
                [
                    len(trace.search_spans(span_type="LLM")),
                    len(trace.search_spans(name="child")),
                ],
            ]
        )
    return out


@reads
def missing_ones(mlflow: Any, experiment: str) -> object:
    client, none = mlflow.MlflowClient(), "tr-" + "0" * 31 + "1"
    return [
        mlflow.get_trace(none, silent=True),
        mlflow.get_trace("nonsense", silent=True),
        raised(client.get_trace, none),
        raised(mlflow.get_assessment, none, "a-1"),
        raised(client.search_traces, locations=["987654321"])[0],
        ids(mlflow.search_traces(locations=[experiment], max_results=0, return_type="list")),
    ]


@reads
def the_experiment(mlflow: Any, experiment: str) -> object:
    found = mlflow.get_experiment(experiment)
    return [found, mlflow.get_experiment_by_name(found.name)]


@reads
def what_sessions_there_are(mlflow: Any, _experiment: str) -> object:
    return [[session.id, session.traces] for session in mlflow.search_sessions()]
