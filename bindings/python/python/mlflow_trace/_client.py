"""Reading and annotating traces of one server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace._call import PagedList, call
from mlflow_trace._logging import logger
from mlflow_trace.exceptions import InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow_trace.entities import Assessment, Experiment, Trace, TraceInfo

__all__ = ["MlflowClient"]

_VIEW_TYPES = {1: "ACTIVE_ONLY", 2: "DELETED_ONLY", 3: "ALL"}
_IMMUTABLE = frozenset(
    {
        "mlflow.user",
        "mlflow.artifactLocation",
        "mlflow.trace.spansLocation",
        "mlflow.trace.archiveLocation",
    }
)
_ARCHIVAL_FAILURE = "mlflow.trace.archivalFailure"


class MlflowClient:
    """A client of a tracking server, or of the files that are written where none is configured.

    Every method asks within `http.timeout_ms` per request and raises the exception of one kind of
    error: `NotFoundError`, `DeletedError`, `InvalidFilterError` (in the server's words),
    `UnauthorizedError`, `UnsupportedError` (for a server of an older version, and for what files
    cannot do), `BadReplyError`, `DamagedError` or `TransportError`.
    """

    def __init__(
        self,
        tracking_uri: str | os.PathLike[str] | None = None,
        registry_uri: str | None = None,
        workspace_store_uri: str | None = None,
    ) -> None:
        """Take the server's URI; by default, whatever is configured when a method is called.

        Raises:
            UnsupportedError: With a `registry_uri` or a `workspace_store_uri`.

        """
        if registry_uri is not None or workspace_store_uri is not None:
            message = "`registry_uri` and `workspace_store_uri` are not supported"
            raise UnsupportedError(message)
        self._uri = None if tracking_uri is None else os.fspath(tracking_uri)

    @property
    def tracking_uri(self) -> str:
        """The server's URI; empty where files are read."""
        return _native.get_option("tracking_uri") if self._uri is None else self._uri

    def _call(self, method: str, **arguments: Any) -> Any:
        return call(method, self._uri, **arguments)

    def create_experiment(
        self,
        name: str,
        artifact_location: str | None = None,
        tags: dict[str, Any] | None = None,
    ) -> str:
        """Make an experiment and return its id."""
        texts = None if tags is None else {key: str(value) for key, value in tags.items()}
        created: str = self._call(
            "create_experiment", name=name, artifact_location=artifact_location, tags=texts
        )
        return created

    def get_experiment(self, experiment_id: str) -> Experiment:
        """Return the experiment of this id, deleted or not."""
        from mlflow_trace.entities import Experiment

        found = self._call("find_experiment", experiment_id=str(experiment_id))
        return Experiment.from_dictionary(found)

    def get_experiment_by_name(self, name: str) -> Experiment | None:
        """Return the experiment of this name, deleted or not; None if there is none."""
        from mlflow_trace.entities import Experiment

        found = self._call("find_experiment_by_name", name=name)
        return None if found is None else Experiment.from_dictionary(found)

    def search_experiments(
        self,
        view_type: int = 1,
        max_results: int | None = 1000,
        filter_string: str | None = None,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[Experiment]:
        """Return a page of the experiments that match."""
        from mlflow_trace.entities import Experiment

        if view_type not in _VIEW_TYPES:
            message = f"{view_type!r} is no view type"
            raise InvalidArgumentError(message)
        page = self._call(
            "search_experiments",
            view_type=_VIEW_TYPES[view_type],
            max_results=max_results,
            filter=filter_string,
            order_by=order_by,
            page_token=page_token,
        )
        found = [Experiment.from_dictionary(item) for item in page["items"]]
        return PagedList(found, page["next_page_token"])

    def delete_experiment(self, experiment_id: str) -> None:
        """Mark an experiment as deleted."""
        self._call("delete_experiment", experiment_id=str(experiment_id))

    def get_trace(self, trace_id: str, display: bool = True, flush: bool = False) -> Trace:  # noqa: ARG002 - MLflow's
        """Return a whole trace, wherever its spans are stored.

        Args:
            trace_id: Its id.
            display: Without effect: a notebook draws what its last line returns.
            flush: Wait for the delivery of what was recorded first.

        Raises:
            NotFoundError: Where there is none, or its spans are not all there yet.
            DamagedError: Where its spans were written by half.

        """
        from mlflow_trace.entities import Trace

        if flush:
            _native.flush()
        return Trace.from_dict(self._call("get_trace", trace_id=trace_id))

    def get_trace_info(self, trace_id: str) -> TraceInfo:
        """Return what is known of a trace besides its spans."""
        from mlflow_trace.entities import TraceInfo

        return TraceInfo.from_dict(self._call("get_trace_info", trace_id=trace_id))

    def get_traces(self, trace_ids: list[str]) -> list[Trace]:
        """Return the traces with these ids, in this order, without those that there are not."""
        from mlflow_trace.entities import Trace

        found = self._call("get_traces", trace_ids=list(trace_ids))
        return [Trace.from_dict(item) for item in found]

    def search_traces(
        self,
        experiment_ids: list[str] | None = None,
        filter_string: str | None = None,
        max_results: int = 100,
        order_by: list[str] | None = None,
        page_token: str | None = None,
        run_id: str | None = None,
        include_spans: bool = True,
        model_id: str | None = None,
        locations: list[str] | None = None,
        flush: bool = False,
    ) -> PagedList[Trace]:
        """Return up to `max_results` of the traces that match, and the token of the next page.

        Args:
            experiment_ids: The old name of `locations`.
            filter_string: MLflow's filter, for instance `tags.env = 'prod'`.
            max_results: The most that are returned.
            order_by: For instance `["timestamp DESC"]`, which is the default.
            page_token: Of the page before.
            run_id: Only traces of this run.
            include_spans: Without spans, only the information of the traces is asked for.
            model_id: Only traces of this model; not together with a filter.
            locations: Ids of experiments; in files, all by default.
            flush: Wait for the delivery of what was recorded first.

        Raises:
            InvalidFilterError: With the server's words about the filter or the order.

        """
        from mlflow_trace.entities import Trace

        if flush:
            _native.flush()
        traces: list[Trace] = []
        token = page_token
        while len(traces) < max_results:
            page = self._call(
                "search_traces",
                locations=[str(item) for item in (locations or experiment_ids or ())],
                filter=filter_string,
                max_results=min(max_results - len(traces), 500),
                order_by=order_by,
                page_token=token,
                run_id=run_id,
                include_spans=include_spans,
                model_id=model_id,
            )
            if page["unreadable"]:
                logger.warning("left out, their spans cannot be read: %s", page["unreadable"])
            traces += [Trace.from_dict(item) for item in page["items"]]
            token = page["next_page_token"]
            if not token:
                break
        return PagedList(traces, token)

    def iterate_traces(self, page_size: int = 100, **search: Any) -> Iterator[Trace]:
        """Give all traces that match, asked for page by page; `search` as for `search_traces`."""
        token = None
        while True:
            page = self.search_traces(max_results=page_size, page_token=token, **search)
            yield from page
            token = page.token
            if not token:
                return

    def delete_traces(
        self,
        experiment_id: str,
        max_timestamp_millis: int | None = None,
        max_traces: int | None = None,
        trace_ids: list[str] | None = None,
    ) -> int:
        """Delete traces for good and return how many.

        Args:
            experiment_id: Their experiment.
            max_timestamp_millis: The oldest ones up to this time.
            max_traces: With a time, at most so many.
            trace_ids: The ones with these ids. Exactly one of time and ids must be given.

        Raises:
            InvalidArgumentError: Unless exactly one of time and ids is given.

        """
        if (max_timestamp_millis is None) == (trace_ids is None):
            message = (
                "Either `max_timestamp_millis` or `trace_ids` must be specified, but not both."
            )
            raise InvalidArgumentError(message)
        if trace_ids is not None and max_traces is not None:
            message = "`max_traces` can't be specified if `trace_ids` is specified."
            raise InvalidArgumentError(message)
        if max_traces is not None and max_traces <= 0:
            message = f"`max_traces` must be a positive integer, received {max_traces}."
            raise InvalidArgumentError(message)
        deleted: int = self._call(
            "delete_traces",
            experiment_id=str(experiment_id),
            max_timestamp_millis=max_timestamp_millis,
            max_traces=max_traces,
            trace_ids=trace_ids,
        )
        return deleted

    def set_trace_tag(self, trace_id: str, key: str, value: str) -> None:
        """Set a tag of a trace. One that is still recorded here keeps it until it is sent.

        Tags that only a server sets are left alone, with a warning.
        """
        if key in _IMMUTABLE or key == _ARCHIVAL_FAILURE:
            logger.warning("tag %r is immutable and cannot be set on a trace", key)
            return
        if not isinstance(value, str):
            logger.warning("the value of the tag %r is no string; str(value) is used", key)
        self._call("set_trace_tag", trace_id=trace_id, key=key, value=str(value))

    def delete_trace_tag(self, trace_id: str, key: str) -> None:
        """Delete a tag of a trace. Tags that only a server deletes stay, with a warning.

        Raises:
            NotFoundError: Where the trace has no such tag.

        """
        if key in _IMMUTABLE:
            logger.warning("tag %r is immutable and cannot be deleted on a trace", key)
            return
        self._call("delete_trace_tag", trace_id=trace_id, key=key)

    def link_traces_to_run(self, trace_ids: list[str], run_id: str) -> None:
        """Make traces part of a run.

        Raises:
            InvalidArgumentError: For no run, and for more than 100 traces.

        """
        if not trace_ids:
            return
        if not run_id:
            message = "run_id cannot be empty"
            raise InvalidArgumentError(message)
        if len(trace_ids) > 100:
            message = f"Cannot link more than 100 traces to a run, got {len(trace_ids)}"
            raise InvalidArgumentError(message)
        self._call("link_traces_to_run", trace_ids=list(trace_ids), run_id=run_id)

    def import_trace(self, trace: Trace, experiment_id: str) -> TraceInfo:
        """Store a finished trace under its own id in an experiment; again changes nothing more."""
        from mlflow_trace.entities import TraceInfo

        stored = self._call("import_trace", trace=trace.to_dict(), experiment_id=str(experiment_id))
        return TraceInfo.from_dict(stored)

    def log_assessment(self, trace_id: str, assessment: Assessment) -> Assessment:
        """Add feedback or an expectation to a trace; a trace that is recorded takes it along."""
        return self._assessed("log_assessment", trace_id, assessment=assessment.to_dictionary())

    def get_assessment(self, trace_id: str, assessment_id: str) -> Assessment:
        """Return an assessment of a trace."""
        return self._assessed("get_assessment", trace_id, assessment_id=assessment_id)

    def update_assessment(
        self, trace_id: str, assessment_id: str, assessment: Assessment
    ) -> Assessment:
        """Change name, value, rationale and metadata of an assessment."""
        return self._assessed(
            "update_assessment",
            trace_id,
            assessment_id=assessment_id,
            assessment=assessment.to_dictionary(),
        )

    def delete_assessment(self, trace_id: str, assessment_id: str) -> None:
        """Delete an assessment; one that there is not is no error."""
        self._call("delete_assessment", trace_id=trace_id, assessment_id=assessment_id)

    def _assessed(self, method: str, trace_id: str, **arguments: Any) -> Assessment:
        from mlflow_trace.entities import Assessment

        stored = self._call(method, trace_id=trace_id, **arguments)
        return Assessment.from_dictionary(stored)
