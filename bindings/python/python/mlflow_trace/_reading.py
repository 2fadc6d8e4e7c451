"""Reading traces back, and their tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from mlflow_trace import _native
from mlflow_trace._client import MlflowClient
from mlflow_trace._logging import logger
from mlflow_trace.exceptions import (
    InvalidArgumentError,
    InvalidStateError,
    MlflowTraceError,
    UnsupportedError,
)

if TYPE_CHECKING:
    import pandas

    from mlflow_trace.entities import Session, Trace

_PAGE = 100
_SESSION = "mlflow.trace.session"


def get_trace(trace_id: str, silent: bool = False, flush: bool = False) -> Trace | None:
    """Return a whole trace, or None where it cannot be read; `MlflowClient.get_trace` says why.

    A trace of this process that was not delivered yet is delivered first.

    Args:
        trace_id: Its id.
        silent: Whether there is no warning with the reason.
        flush: Wait for the delivery of everything that was recorded first.

    """
    try:
        return MlflowClient().get_trace(trace_id, flush=flush)
    except MlflowTraceError as error:
        (logger.debug if silent else logger.warning)("no trace %s: %s", trace_id, error)
        return None


def search_traces(
    experiment_ids: list[str] | None = None,
    filter_string: str | None = None,
    max_results: int | None = None,
    order_by: list[str] | None = None,
    extract_fields: list[str] | None = None,
    run_id: str | None = None,
    return_type: Literal["pandas", "list"] | None = None,
    model_id: str | None = None,
    sql_warehouse_id: str | None = None,
    include_spans: bool = True,
    locations: list[str] | None = None,
    flush: bool = False,
) -> pandas.DataFrame | list[Trace]:
    """Return the traces that match, all of them by default.

    Args:
        experiment_ids: The old name of `locations`.
        filter_string: MLflow's filter, for instance `tags.env = 'prod' AND status = 'ERROR'`.
        max_results: The most that are returned.
        order_by: For instance `["timestamp DESC"]`, which is the default.
        extract_fields: Columns of the table, as `span.inputs`, `span.outputs.field`; names with
            dots in backticks.
        run_id: Only traces of this run.
        return_type: `pandas` for a table, `list`; by default a table where pandas is installed.
        model_id: Only traces of this model; not together with a filter.
        sql_warehouse_id: Not supported.
        include_spans: Without spans, only the information of the traces is asked for.
        locations: Ids of experiments; the configured one by default.
        flush: Wait for the delivery of what was recorded first.

    Raises:
        InvalidArgumentError: For arguments that do not go together.
        InvalidFilterError: With the server's words about the filter or the order.
        InvalidStateError: Without an experiment.

    """
    import importlib.util

    if sql_warehouse_id is not None:
        message = "`sql_warehouse_id` is not supported"
        raise UnsupportedError(message)
    has_pandas = importlib.util.find_spec("pandas") is not None
    if return_type is None:
        return_type = "pandas" if has_pandas else "list"
    if return_type not in ("pandas", "list"):
        message = (
            f"Invalid return type: {return_type}. Return type must be either 'pandas' or 'list'."
        )
        raise InvalidArgumentError(message)
    if return_type == "list" and extract_fields:
        message = (
            "The `extract_fields` parameter is only supported when return type is set to 'pandas'."
        )
        raise InvalidArgumentError(message)
    if return_type == "pandas" and not has_pandas:
        message = (
            "The `pandas` library is not installed. Please install `pandas` to use the "
            "`return_type='pandas'` option, or set `return_type='list'`."
        )
        raise UnsupportedError(message)
    if flush:
        _native.flush()
    search: dict[str, Any] = {
        "filter_string": filter_string,
        "order_by": order_by,
        "run_id": run_id,
        "include_spans": include_spans,
        "model_id": model_id,
        "locations": locations or experiment_ids or _current_experiment(),
    }
    client = MlflowClient()
    if max_results is None:
        traces = list(client.iterate_traces(_PAGE, **search))
    else:
        traces = client.search_traces(max_results=max_results, **search).to_list()
    if return_type == "list":
        return traces
    from mlflow_trace._table import table

    return table(traces, extract_fields)


def search_sessions(
    max_results: int = 100,
    run_id: str | None = None,
    model_id: str | None = None,
    include_spans: bool = True,
    locations: list[str] | None = None,
) -> list[Session]:
    """Return the sessions with the latest traces, each with all its traces in order of time.

    Args:
        max_results: The most sessions that are returned.
        run_id: Only traces of this run.
        model_id: Only traces of this model.
        include_spans: Without spans, only the information of the traces is asked for.
        locations: Ids of experiments; the configured one by default.

    """
    from mlflow_trace.entities import Session

    search: dict[str, Any] = {"run_id": run_id, "locations": locations or _current_experiment()}
    client = MlflowClient()
    found = client.iterate_traces(_PAGE, include_spans=False, model_id=model_id, **search)
    ids: dict[str, None] = {}
    for trace in found:
        session = trace.info.trace_metadata.get(_SESSION)
        if session and session not in ids:
            if len(ids) == max_results:
                break
            ids[session] = None
    of_model = f" AND metadata.`mlflow.modelId` = '{model_id}'" if model_id else ""
    return [
        Session(
            list(
                client.iterate_traces(
                    _PAGE,
                    filter_string=f"metadata.`{_SESSION}` = '{session}'{of_model}",
                    order_by=["timestamp ASC"],
                    include_spans=include_spans,
                    **search,
                )
            )
        )
        for session in ids
    ]


def set_trace_tag(trace_id: str, key: str, value: str) -> None:
    """Set a tag of a trace, one that is still recorded or one that the server has.

    Tags that only a server sets are left alone, with a warning.

    Raises:
        NotFoundError: Where there is no such trace.

    """
    MlflowClient().set_trace_tag(trace_id, key, value)


def delete_trace_tag(trace_id: str, key: str) -> None:
    """Delete a tag of a trace, one that is still recorded or one that the server has.

    Raises:
        NotFoundError: Where there is no such trace, or it has no such tag.

    """
    MlflowClient().delete_trace_tag(trace_id, key)


def _current_experiment() -> list[str]:
    """Return the configured experiment; none where files are read, which means all."""
    if not _native.get_option("tracking_uri"):
        return []
    chosen = _native.get_option("experiment_id")
    name = _native.get_option("experiment_name")
    if not chosen and name:
        found = MlflowClient().get_experiment_by_name(name)
        chosen = (found and found.experiment_id) or ""
    if not chosen:
        message = (
            "No active experiment found. Set an experiment using `mlflow.set_experiment`, "
            "or specify the list of experiment IDs in the `locations` parameter."
        )
        raise InvalidStateError(message)
    return [chosen]
