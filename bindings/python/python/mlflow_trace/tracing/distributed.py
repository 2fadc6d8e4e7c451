"""The current trace across processes, by the headers of W3C Trace Context."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from mlflow_trace import _native
from mlflow_trace._logging import logger
from mlflow_trace.exceptions import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "get_tracing_context_headers_for_http_request",
    "set_tracing_context_from_http_request_headers",
]

_HEADERS = {"traceparent", "tracestate"}


class _Headers(Protocol):
    """Headers as mappings and as web servers give them, a name possibly several times."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def get_tracing_context_headers_for_http_request() -> dict[str, str]:
    """Return the W3C headers by which the receiver of a request continues the current trace.

    Without a current span they are empty and a warning is logged.
    """
    headers = dict(_native.headers())
    if not headers:
        logger.warning("no active span to take headers from; they are empty")
    return headers


@contextlib.contextmanager
def set_tracing_context_from_http_request_headers(
    headers: _Headers | Iterable[tuple[str, str]],
) -> Iterator[None]:
    """Continue the trace of an incoming request: spans started inside are its children.

    A malformed `traceparent`, or more than one, is ignored, as the W3C specification asks.

    Args:
        headers: Headers of the request: a mapping, the headers object of a web framework, or pairs
            of name and value. The case of the names does not matter. Several `tracestate` headers
            are one list, which takes an object whose `items()` has them all, or the pairs.

    Raises:
        InvalidArgumentError: When there is no `traceparent` header.

    """
    try:
        scope = _native.remote_scope(_known(headers))
    except NotFoundError:
        message = (
            "The http request headers do not contain the required key 'traceparent', please "
            "generate them with get_tracing_context_headers_for_http_request."
        )
        raise InvalidArgumentError(message) from None
    except InvalidArgumentError:
        logger.debug("malformed traceparent header ignored", exc_info=True)
        yield
        return
    with scope:
        yield


def _known(headers: _Headers | Iterable[tuple[str, str]]) -> list[tuple[str, bytes]]:
    pairs = headers.items() if hasattr(headers, "items") else headers
    # Servers hand on bytes that are not text as lone surrogates, which make a header malformed.
    return [
        (str(name), value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b"")
        for name, value in pairs
        if str(name).lower() in _HEADERS
    ]
