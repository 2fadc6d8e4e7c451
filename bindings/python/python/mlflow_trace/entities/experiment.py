"""The group that traces belong to."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Experiment"]


@dataclass(frozen=True)
class Experiment:
    """An experiment; one that no server has confirmed lacks its id or its name."""

    experiment_id: str | None
    name: str | None
