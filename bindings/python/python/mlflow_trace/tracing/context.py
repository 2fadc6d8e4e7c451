"""Settings for the traces of one scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_trace import _native

if TYPE_CHECKING:
    from mlflow_trace._native import ContextScope

__all__ = ["context"]


def context(
    metadata: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    enabled: bool | None = None,
    session_id: str | None = None,
    user: str | None = None,
) -> ContextScope:
    """Give tags and metadata to every trace that starts inside a `with` block, or record none.

    Blocks nest; the inner one wins key by key.

    Args:
        metadata: Metadata of the traces, which cannot be changed later.
        tags: Tags of the traces.
        enabled: With False, nothing is recorded inside; None leaves it to the outer block.
        session_id: Conversation that the traces belong to.
        user: End user that the traces belong to.

    """
    return _native.trace_scope(metadata, tags, enabled, session_id, user)
