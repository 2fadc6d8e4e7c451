"""The package's logger. Without a handler of the host, warnings reach stderr."""

from __future__ import annotations

import logging

logger = logging.getLogger("mlflow_trace")


def warn(message: str) -> None:
    """Log what the engine has to say about itself, or about a call that had no effect."""
    logger.warning(message)
