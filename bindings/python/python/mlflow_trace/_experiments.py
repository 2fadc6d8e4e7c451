"""Experiments: the groups that traces belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_trace._client import MlflowClient
from mlflow_trace.exceptions import UnsupportedError

if TYPE_CHECKING:
    from mlflow_trace.entities import Experiment


def create_experiment(
    name: str,
    artifact_location: str | None = None,
    tags: dict[str, Any] | None = None,
    trace_location: Any = None,
) -> str:
    """Make an experiment and return its id.

    Raises:
        RejectedError: Where there is one of this name.
        UnsupportedError: With a `trace_location`.

    """
    if trace_location is not None:
        message = "`trace_location` is not supported"
        raise UnsupportedError(message)
    return MlflowClient().create_experiment(name, artifact_location, tags)


def get_experiment(experiment_id: str) -> Experiment:
    """Return the experiment of this id, deleted or not.

    Raises:
        NotFoundError: Where there is none.

    """
    return MlflowClient().get_experiment(experiment_id)


def get_experiment_by_name(name: str) -> Experiment | None:
    """Return the experiment of this name, deleted or not; None if there is none."""
    return MlflowClient().get_experiment_by_name(name)


def search_experiments(
    view_type: int = 1,
    max_results: int | None = None,
    filter_string: str | None = None,
    order_by: list[str] | None = None,
) -> list[Experiment]:
    """Return the experiments that match, all of them by default.

    Args:
        view_type: One of `entities.ViewType`.
        max_results: The most that are returned.
        filter_string: For instance `name LIKE 'a%'`.
        order_by: For instance `["name ASC"]`.

    Raises:
        InvalidFilterError: With the server's words about the filter or the order.

    """
    client = MlflowClient()
    found: list[Experiment] = []
    token = None
    while max_results is None or len(found) < max_results:
        most = 1000 if max_results is None else min(1000, max_results - len(found))
        page = client.search_experiments(view_type, most, filter_string, order_by, token)
        found += page
        token = page.token
        if not token:
            break
    return found


def delete_experiment(experiment_id: str) -> None:
    """Mark an experiment, and its traces, as deleted.

    Raises:
        NotFoundError: Where there is none.

    """
    MlflowClient().delete_experiment(experiment_id)
