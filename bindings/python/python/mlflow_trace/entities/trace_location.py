"""Where a trace is stored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "InferenceTableLocation",
    "MlflowExperimentLocation",
    "TraceLocation",
    "TraceLocationBase",
    "TraceLocationType",
    "UCSchemaLocation",
    "UnityCatalog",
]


class TraceLocationType(str, Enum):
    """Kind of a location."""

    TRACE_LOCATION_TYPE_UNSPECIFIED = "TRACE_LOCATION_TYPE_UNSPECIFIED"
    MLFLOW_EXPERIMENT = "MLFLOW_EXPERIMENT"
    INFERENCE_TABLE = "INFERENCE_TABLE"
    UC_SCHEMA = "UC_SCHEMA"
    UC_TABLE_PREFIX = "UC_TABLE_PREFIX"


class TraceLocationBase:
    """Base of the locations."""


@dataclass
class MlflowExperimentLocation(TraceLocationBase):
    """An experiment of an MLflow server."""

    experiment_id: str

    def to_dict(self) -> dict[str, Any]:
        """Give the location as in MLflow's JSON."""
        return {"experiment_id": self.experiment_id}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls(d["experiment_id"])


@dataclass
class InferenceTableLocation(TraceLocationBase):
    """A table of Databricks, for reading only."""

    full_table_name: str

    def to_dict(self) -> dict[str, Any]:
        """Give the location as in MLflow's JSON."""
        return {"full_table_name": self.full_table_name}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls(d["full_table_name"])


@dataclass
class UCSchemaLocation(TraceLocationBase):
    """A schema of Databricks Unity Catalog, for reading only."""

    catalog_name: str
    schema_name: str

    def to_dict(self) -> dict[str, Any]:
        """Give the location as in MLflow's JSON."""
        return {"catalog_name": self.catalog_name, "schema_name": self.schema_name}

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls(d["catalog_name"], d["schema_name"])


@dataclass
class UnityCatalog(TraceLocationBase):
    """Tables of one prefix in a schema of Databricks Unity Catalog, for reading only."""

    catalog_name: str
    schema_name: str
    table_prefix: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the location as in MLflow's JSON."""
        d = {"catalog_name": self.catalog_name, "schema_name": self.schema_name}
        return d | {"table_prefix": self.table_prefix} if self.table_prefix else d

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        return cls(d["catalog_name"], d["schema_name"], d.get("table_prefix"))


@dataclass
class TraceLocation(TraceLocationBase):
    """A location of any kind."""

    type: TraceLocationType
    mlflow_experiment: MlflowExperimentLocation | None = None
    inference_table: InferenceTableLocation | None = None
    uc_schema: UCSchemaLocation | None = None
    uc_table_prefix: UnityCatalog | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the location as in MLflow's JSON."""
        d: dict[str, Any] = {"type": self.type.value}
        for name in ("mlflow_experiment", "inference_table", "uc_schema", "uc_table_prefix"):
            part = getattr(self, name)
            if part is not None:
                d[name] = part.to_dict()
        return d

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        experiment, table = d.get("mlflow_experiment"), d.get("inference_table")
        schema, prefix = d.get("uc_schema"), d.get("uc_table_prefix")
        return cls(
            TraceLocationType(d["type"]),
            MlflowExperimentLocation.from_dict(experiment) if experiment else None,
            InferenceTableLocation.from_dict(table) if table else None,
            UCSchemaLocation.from_dict(schema) if schema else None,
            UnityCatalog.from_dict(prefix) if prefix else None,
        )

    @classmethod
    def from_experiment_id(cls, experiment_id: str) -> Self:
        """Name an experiment."""
        location = MlflowExperimentLocation(experiment_id)
        return cls(TraceLocationType.MLFLOW_EXPERIMENT, location)

    @property
    def experiment_id(self) -> str | None:
        """The experiment, where it is one."""
        return self.mlflow_experiment.experiment_id if self.mlflow_experiment else None
