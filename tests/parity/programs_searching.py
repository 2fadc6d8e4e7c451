"""What programs look for: by each field, in each order, page by page; and what they do with it."""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import json
import re
from typing import Any

from programs_reading import ids, search
from reading import failed, raised, reads, shown


def found(mlflow: Any, *filters: str) -> object:
    """What each filter finds, or how it is refused."""

    def one(text: str) -> list[str]:
        return ids(search(mlflow, text, include_spans=False, order_by=["timestamp ASC"]))

    return {text: raised(one, text) for text in filters}


@reads
def filters_of_times(mlflow: Any, _experiment: str) -> object:
    infos = [trace.info for trace in search(mlflow, order_by=["timestamp ASC"])]
    middle = infos[len(infos) // 2]
    start, duration = middle.request_time, middle.execution_duration
    filters = []
    for name, value in [
        ("timestamp_ms", start),
        ("timestamp", start),
        ("execution_time_ms", duration),
        ("attributes.execution_time", duration),
        ("end_time_ms", start + duration),
        ("trace.end_time", start + duration),
    ]:
        filters += [f"{name} {sign} {value}" for sign in ("=", "!=", ">", ">=", "<", "<=")]
    filters.append(f"timestamp_ms >= {infos[0].request_time} AND timestamp_ms < {start}")
    filters += ["timestamp_ms = 'text'", "timestamp_ms LIKE '1%'", "execution_time_ms > 1.5"]
    return found(mlflow, *filters)


@reads
def filters_of_ids(mlflow: Any, _experiment: str) -> object:
    first, second = ids(search(mlflow, order_by=["timestamp ASC"]))[:2]
    return found(
        mlflow,
        f"request_id = '{first}'",
        f"trace.request_id != '{first}'",
        f"request_id IN ('{first}', '{second}')",
        f"request_id NOT IN ('{first}')",
        f"request_id LIKE '{first[:20]}%'",
        f"trace_id = '{second}'",
        "client_request_id = 'req-1'",
        "client_request_id != 'req-1'",
        "client_request_id LIKE 'REQ%'",
        "client_request_id ILIKE 'REQ%'",
        "run_id = 'none'",
        "prompt = 'a/1'",
    )


@reads
def filters_of_names(mlflow: Any, _experiment: str) -> object:
    return found(
        mlflow,
        "name = 'nested'",
        "name != 'nested'",
        'attributes.name = "nested"',
        "trace.name = 'nested'",
        "name IN ('nested', 'linked')",
        "name NOT IN ('nested', 'linked')",
        "name LIKE 'NEST%'",
        "name ILIKE 'NEST%'",
        "name LIKE 'dot.t_d'",
        "name RLIKE '^(ne|li)'",
        "name RLIKE '('",
        "tags.`mlflow.traceName` = 'linked'",
        "name = ''",
        "name = 'it''s'",
        "name = 'é%日'",
    )


@reads
def filters_of_tags_and_metadata(mlflow: Any, _experiment: str) -> object:
    return found(
        mlflow,
        "tag.env = 'prod'",
        "tags.env != 'prod'",
        "tags.env LIKE 'pr%'",
        "tags.env ILIKE 'PR%'",
        "tags.env RLIKE 'p.*d'",
        "tags.\"env\" = 'prod'",
        "tags.`my key` IS NOT NULL",
        "tags.my key = 'v'",
        "metadata.`mlflow.trace.session` != 's'",
        "metadata.`mlflow.trace.session` IS NULL",
        "metadata.`mlflow.trace.session` IN ('s')",
        "request_metadata.`mlflow.trace.session` LIKE 's%'",
        "metadata.`mlflow.source.type` = 'LOCAL'",
        "metadata.none = 'x'",
        "tags.env = 5",
    )


@reads
def filters_of_states(mlflow: Any, _experiment: str) -> object:
    return found(
        mlflow,
        "status = 'OK'",
        "status != 'ERROR'",
        "state = 'OK'",
        "attributes.status = 'IN_PROGRESS'",
        "status IN ('OK', 'ERROR')",
        "status NOT IN ('OK')",
        "status LIKE 'E%'",
        "status = 'ok'",
        "status = 'BOGUS'",
        "status = 'OK' AND status = 'ERROR'",
        "status = 'OK' and name = 'nested'",
        "status='OK'AND name='nested'",
        "  status  =  'OK'  ",
        "",
    )


@reads
def filters_of_spans(mlflow: Any, _experiment: str) -> object:
    return found(
        mlflow,
        "span.name = 'child'",
        "span.name != 'child'",
        "span.name LIKE 'ch%'",
        "span.name ILIKE 'CH%'",
        "span.name RLIKE 'c.*d'",
        "span.name NOT IN ('child')",
        "span.type = 'LLM'",
        "span.type != 'LLM'",
        "span.type IN ('LLM', 'CHAIN')",
        "span.status = 'ERROR'",
        "span.status = 'OK'",
        "span.name = 'child' AND span.type = 'LLM'",
        "span.name = 'nested' AND span.type = 'LLM'",
        "span.name = 'child' AND tags.env = 'prod'",
        "span.attributes.text LIKE '%plain%'",
        "span.attributes.text ILIKE '%PLAIN%'",
        "span.attributes.`text` LIKE '%no such%'",
        "span.attributes.int = '5'",
        "span.bogus = 'x'",
    )


@reads
def filters_of_texts(mlflow: Any, _experiment: str) -> object:
    return found(
        mlflow,
        "trace.text LIKE '%answer%'",
        "trace.text ILIKE '%ANSWER%'",
        "trace.text LIKE '%plain%'",
        "trace.text LIKE '%no such thing%'",
        "text LIKE '%answer%'",
        "trace.text = 'answer'",
    )


@reads
def filters_of_assessments(mlflow: Any, _experiment: str) -> object:
    return found(
        mlflow,
        "feedback.f IS NOT NULL",
        "feedback.f IS NULL",
        "feedback.none = 'x'",
        "feedback.f LIKE '%a%'",
        "feedback.`failed` IS NOT NULL",
        "expectation.e IS NOT NULL",
        "expectation.e LIKE '%x%'",
        "expectation.e = 'y'",
        "feedback.f > 0",
        "issue.id = 'x'",
    )


@reads
def orders_by_everything(mlflow: Any, _experiment: str) -> object:
    clauses = [
        ["timestamp"],
        ["timestamp_ms ASC"],
        ["end_time DESC"],
        ["end_time_ms ASC"],
        ["execution_time_ms ASC", "timestamp DESC"],
        ["request_id ASC"],
        ["request_id DESC"],
        ["experiment_id ASC"],
        ["run_id ASC"],
        ["attributes.name desc"],
        ["tags.env ASC"],
        ["metadata.`mlflow.trace.session` DESC"],
        ["status DESC", "name ASC", "timestamp ASC"],
        ["name SIDEWAYS"],
        [""],
        [],
    ]

    def one(order: list[str]) -> list[str]:
        return ids(search(mlflow, order_by=order, include_spans=False))

    return [[order, raised(one, order)] for order in clauses]


@reads
def pages_of_every_size(mlflow: Any, experiment: str) -> object:
    client, out = mlflow.MlflowClient(), []
    for size in (1, 4, 100):
        together: list[str] = []
        token, sizes = None, []
        while True:
            page = client.search_traces(
                locations=[experiment],
                filter_string="status = 'OK'",
                order_by=["name ASC", "timestamp ASC"],
                max_results=size,
                page_token=token,
                include_spans=size != 1,
            )
            together += ids(page)
            sizes.append([len(page), len(page.to_list()), isinstance(page, list)])
            token = page.token
            if not token:
                break
        out.append([together, sizes])
    return out


@reads
def odd_pages(mlflow: Any, experiment: str) -> object:
    client, here = mlflow.MlflowClient(), [experiment]
    return [
        raised(lambda: ids(client.search_traces(locations=here, max_results=500))),
        failed(client.search_traces, locations=here, max_results=-1),
        failed(client.search_traces, locations=here, page_token="nonsense"),
        failed(client.search_traces, locations=[]),
        raised(lambda: ids(client.search_traces(locations=[*here, *here], max_results=100))),
        raised(lambda: ids(mlflow.search_traces(experiment_ids=here, return_type="list"))),
        failed(mlflow.search_traces, return_type="bogus"),
        failed(mlflow.search_traces, return_type="list", extract_fields=["a.inputs"]),
        failed(mlflow.search_traces, model_id="m-1", filter_string="name = 'a'"),
        raised(lambda: ids(mlflow.search_traces(model_id="m-1", return_type="list"))),
    ]


@reads
def many_at_once(mlflow: Any, _experiment: str) -> object:
    """MLflow's client has no call for this; what is missing is left out."""
    wanted = ids(search(mlflow, include_spans=False, order_by=["request_id ASC"]))
    wanted[2:2] = ["tr-" + "0" * 31 + "1", "nonsense"]
    client = mlflow.MlflowClient()
    if hasattr(client, "get_traces"):
        return client.get_traces(wanted)
    one_by_one = [mlflow.get_trace(trace_id, silent=True) for trace_id in wanted]
    return [trace for trace in one_by_one if trace]


@reads
def there_and_back(mlflow: Any, _experiment: str) -> object:
    entities, out = mlflow.entities, []
    for trace in search(mlflow, order_by=["timestamp ASC"]):
        text = trace.to_json()
        again = entities.Trace.from_json(text)
        out.append(
            [
                json.loads(text),
                json.loads(trace.to_json(pretty=True)) == json.loads(text),
                again.to_dict() == trace.to_dict(),
                entities.Trace.from_dict(trace.to_dict()).to_dict() == trace.to_dict(),
                entities.TraceInfo.from_dict(trace.info.to_dict()).to_dict(),
                [entities.Span.from_dict(span.to_dict()).to_dict() for span in trace.data.spans],
                raised(entities.Trace.from_json, text[:-20])[0],
            ]
        )
    return out


@reads
def looked_for_within_traces(mlflow: Any, _experiment: str) -> object:
    out = []
    for trace in search(mlflow, order_by=["timestamp ASC"]):
        spans = [
            trace.search_spans(name="child"),
            trace.search_spans(name=re.compile("^(ch|li)")),
            trace.search_spans(span_type="LLM", name="child"),
            trace.search_spans(span_type="NONE"),
            trace.search_spans(span_id=trace.data.spans[-1].span_id),
        ]
        said = [
            trace.search_assessments(type="feedback"),
            trace.search_assessments(type="expectation"),
            trace.search_assessments("f"),
            trace.search_assessments(all=True),
        ]
        out.append(
            [
                [[span.name for span in some] for some in spans],
                [sorted(item.name for item in some) for some in said],
                failed(trace.search_spans, name=5),
                failed(trace.search_spans, span_type=5),
            ]
        )
    return out


@reads
def what_was_said(mlflow: Any, _experiment: str) -> object:
    out = []
    for trace in search(mlflow, "name = 'dot.ted'", order_by=["timestamp ASC"]):
        for listed in sorted(trace.info.assessments, key=lambda item: item.name):
            read = mlflow.get_assessment(trace.info.trace_id, listed.assessment_id)
            out.append([shown(listed), shown(read)])
            if hasattr(read, "error") and read.error:
                error = read.error
                out.append([error.error_code, error.error_message, error.stack_trace])
    return out
