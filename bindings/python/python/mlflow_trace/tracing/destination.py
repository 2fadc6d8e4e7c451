"""Where the traces of a process, a thread or a task go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow_trace import _native
from mlflow_trace.exceptions import InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    from mlflow_trace.entities.trace_location import MlflowExperimentLocation

    MlflowExperiment = MlflowExperimentLocation
    """MLflow's old name."""
else:

    def __getattr__(name: str) -> object:
        # With what it imports it would be a good part of the package's own import.
        if name in __all__:
            from mlflow_trace.entities.trace_location import MlflowExperimentLocation

            return MlflowExperimentLocation
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = ["MlflowExperiment", "MlflowExperimentLocation", "set_destination"]


def set_destination(destination: Any, *, context_local: bool = False) -> None:
    """Send the traces that start from now on to an experiment, whatever `set_experiment` says.

    Args:
        destination: A `MlflowExperimentLocation`, MLflow's or ours.
        context_local: Only for the current thread or asynchronous task, and over the process's.

    Raises:
        InvalidArgumentError: For what names no experiment.
        UnsupportedError: For tables of Databricks.

    """
    experiment_id = getattr(destination, "experiment_id", None)
    if experiment_id is not None:
        _native.set_destination(str(experiment_id), context_local)
        return
    if hasattr(destination, "catalog_name") or hasattr(destination, "full_table_name"):
        message = "tables of Databricks are not supported as destinations"
        raise UnsupportedError(message)
    message = (
        f"Invalid destination type: {type(destination)}. The destination must be a "
        "MlflowExperimentLocation."
    )
    raise InvalidArgumentError(message)


def reset_destination() -> None:
    """Take back what `set_destination` chose for the process and for the current context."""
    _native.set_destination(None, False)
    _native.set_destination(None, True)
