"""The group that traces belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Experiment", "ViewType"]


class ViewType:
    """Which experiments a search is about: active ones, deleted ones or both."""

    ACTIVE_ONLY = 1
    DELETED_ONLY = 2
    ALL = 3


@dataclass(frozen=True)
class Experiment:
    """An experiment; one that no server has confirmed lacks its id or its name.

    Times are in milliseconds since the Unix epoch.
    """

    experiment_id: str | None
    name: str | None
    artifact_location: str | None = None
    lifecycle_stage: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    creation_time: int | None = None
    last_update_time: int | None = None
    workspace: str | None = None

    @classmethod
    def from_dictionary(cls, d: dict[str, Any]) -> Self:
        """Read MLflow's JSON, with the tags as an object."""
        known = {name: value for name, value in d.items() if name in cls.__dataclass_fields__}
        known["experiment_id"] = d.get("experiment_id") or None
        return cls(**{**known, "name": d.get("name") or None})
