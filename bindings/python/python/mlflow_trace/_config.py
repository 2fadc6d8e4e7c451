"""Where traces go, and the life cycle of the process-wide tracer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.exceptions import InvalidArgumentError, UnsupportedError
from mlflow_trace.tracing.otel_provider import unify

if TYPE_CHECKING:
    from mlflow_trace.entities import Experiment


def configure(**options: Any) -> None:
    """Set options of the engine for the traces that start from now on.

    Keys are those of the engine with `_` for `.`, for instance `file_directory` for
    `file.directory`; the engine's own spelling, passed by `**`, works as well. None gives an
    option back to its environment variable and its default. All or nothing is set.

    What takes several names, paths or patterns (`redact.keys`, `redact.paths`, `redact.patterns`)
    takes a list of texts as well, an empty one for none.

    Raises:
        InvalidConfigError: For an unknown option or a value that it does not accept, and for an
            environment variable with such a value; the message names it. After one about content
            (`redact.*`, `capture_content`), spans are sent without their content until such options
            are set to what they accept.

    """
    _native.configure(options)
    unify()


def set_tracking_uri(uri: str | os.PathLike[str]) -> None:
    """Send later traces to this server. Traces that have started keep their destination.

    Args:
        uri: An `http://` or `https://` URI; the empty string writes traces to files.

    Raises:
        InvalidConfigError: For a URI that cannot be used.

    """
    _native.configure({"tracking_uri": os.fspath(uri)})
    unify()


def get_tracking_uri() -> str:
    """Return the server's URI; the empty string where traces are written to files."""
    return _native.get_option("tracking_uri")


def set_experiment(
    experiment_name: str | None = None,
    experiment_id: str | None = None,
    trace_location: Any = None,
) -> Experiment:
    """Send later traces to this experiment; one that has no such name yet is created.

    Asks the server, within `http.timeout_ms`. Without a tracking URI nothing is asked and what was
    given holds for the server that is set later.

    Args:
        experiment_name: The experiment's name.
        experiment_id: The experiment's id. Exactly one of the two must be given.
        trace_location: Not supported.

    Raises:
        InvalidArgumentError: Unless exactly one of name and id is given.
        NotFoundError: When there is no experiment with this id.
        TransportError: When the server cannot be reached.
        UnsupportedError: With a `trace_location`.

    """
    import json

    from mlflow_trace.entities import Experiment

    if (experiment_name is None) == (experiment_id is None):
        message = "Must specify exactly one of: `experiment_id` or `experiment_name`."
        raise InvalidArgumentError(message)
    if trace_location is not None:
        message = "`trace_location` is not supported"
        raise UnsupportedError(message)
    unify()
    found = _native.set_experiment(experiment_name, experiment_id)
    return Experiment.from_dictionary(json.loads(found))


def health() -> dict[str, Any]:
    """Tell in brief whether tracing works.

    `recording` is False where it is switched off; `tracking_uri` is without credentials. `circuit`
    is `closed` while all is well, `open` while the server is away, `parked` while it takes nothing
    because of the credentials. `last_success_ms` and `last_error`, with `class`, `message` and
    `time_ms`, are None until there is something to tell; times are milliseconds since the Unix
    epoch. `pending` is a number of spans, `dropped` one for each reason, see `stats`. `messages`
    are those of `diagnostics`, which this call takes as well.
    """
    import json

    return {
        "recording": _native.is_enabled(),
        "tracking_uri": _native.tracking_server(),
        **json.loads(_native.health()),
        "messages": _native.diagnostics(),
    }


def flush_trace_async_logging(terminate: bool = False) -> None:
    """Wait until finished traces are delivered; MLflow's name for `flush`.

    Args:
        terminate: Also end recording, as `shutdown` does.

    """
    if terminate:
        _native.shutdown(timeout=30.0)
    else:
        _native.flush(timeout=30.0)
