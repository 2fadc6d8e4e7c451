"""Whether notebooks show traces."""

from __future__ import annotations

__all__ = ["disable_notebook_display", "enable_notebook_display"]

_enabled = True


def disable_notebook_display() -> None:
    """Let notebooks show a trace as text."""
    global _enabled
    _enabled = False


def enable_notebook_display() -> None:
    """Let notebooks show a trace as a waterfall, which is the default."""
    global _enabled
    _enabled = True


def is_enabled() -> bool:
    """Tell whether notebooks show a waterfall."""
    return _enabled
