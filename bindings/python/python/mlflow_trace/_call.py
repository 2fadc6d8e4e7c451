"""The way to the engine's client: methods by name, arguments and results as JSON."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from mlflow_trace import _native
from mlflow_trace.exceptions import InvalidArgumentError

T = TypeVar("T")


class PagedList(list[T], Generic[T]):
    """A page of results. `token` leads to the next one; None on the last."""

    def __init__(self, items: list[T], token: str | None) -> None:
        """Take the items of a page and the token of the next."""
        super().__init__(items)
        self.token = token

    def to_list(self) -> list[T]:
        """Return the items as a plain list."""
        return list(self)


def call(method: str, tracking_uri: str | None = None, **arguments: Any) -> Any:
    """Call a method of the client; arguments that are None are left out."""
    import json

    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        text = json.dumps(given, allow_nan=False)
    except (TypeError, ValueError) as error:
        message = f"arguments of {method} must be what JSON can hold: {error}"
        raise InvalidArgumentError(message) from error
    return json.loads(_native.client(method, text, tracking_uri))
