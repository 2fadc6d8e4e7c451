"""The exceptions of this package: one class for every kind of error that the engine knows."""

from __future__ import annotations

__all__ = [
    "BadReplyError",
    "BufferTooSmallError",
    "CapacityError",
    "DamagedError",
    "DeletedError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidConfigError",
    "InvalidFilterError",
    "InvalidStateError",
    "MlflowException",
    "MlflowTraceError",
    "NotFoundError",
    "PanicError",
    "RejectedError",
    "TimeLimitError",
    "TransportError",
    "UnauthorizedError",
    "UnsupportedError",
]


class MlflowTraceError(Exception):
    """Anything that configuration or life-cycle calls report. Recording calls never raise."""

    kind: str = "Internal"
    """Name of the kind, the same in every language."""
    code: int = 10
    """Number of the kind, the status code of the C library."""

    @property
    def message(self) -> str:
        """The text of the error."""
        return str(self)


class InvalidArgumentError(MlflowTraceError, ValueError):
    """An argument that cannot be used, for instance a malformed header."""

    kind, code = "InvalidArgument", 1


class InvalidConfigError(MlflowTraceError, ValueError):
    """An unknown option, or a value outside its range; the message names the option."""

    kind, code = "InvalidConfig", 2


class InvalidStateError(MlflowTraceError, RuntimeError):
    """The span has ended or the tracer was shut down."""

    kind, code = "InvalidState", 3


class CapacityError(MlflowTraceError):
    """A bound was reached."""

    kind, code = "Capacity", 4


class TimeLimitError(MlflowTraceError, TimeoutError):
    """A time limit was reached."""

    kind, code = "Timeout", 5


class TransportError(MlflowTraceError, ConnectionError):
    """The server could not be reached; trying again may help."""

    kind, code = "Transport", 6


class RejectedError(MlflowTraceError):
    """The server refused for good."""

    kind, code = "Rejected", 7


class BufferTooSmallError(MlflowTraceError):
    """A buffer of the caller is too short."""

    kind, code = "BufferTooSmall", 8


class UnsupportedError(MlflowTraceError, NotImplementedError):
    """Not available with this configuration, server or platform."""

    kind, code = "Unsupported", 9


class InternalError(MlflowTraceError, RuntimeError):
    """A fault of this library, contained."""

    kind, code = "Internal", 10


class PanicError(InternalError):
    """A panic of the engine, caught at the boundary."""

    kind, code = "Panic", 11


class NotFoundError(MlflowTraceError, LookupError):
    """The named object does not exist."""

    kind, code = "NotFound", 12


class DeletedError(MlflowTraceError, LookupError):
    """The experiment is deleted: restore it or choose another."""

    kind, code = "Deleted", 13


class InvalidFilterError(MlflowTraceError, ValueError):
    """A filter or an order of a search that is not understood; the message is the server's."""

    kind, code = "InvalidFilter", 14


class UnauthorizedError(MlflowTraceError, PermissionError):
    """The server does not accept the credentials; they may have expired."""

    kind, code = "Unauthorized", 15


class BadReplyError(MlflowTraceError):
    """What answered is no MLflow server, or one that is broken."""

    kind, code = "BadReply", 16


class DamagedError(MlflowTraceError, ValueError):
    """Stored data cannot be read, for instance a file that was written by half."""

    kind, code = "Damaged", 17


MlflowException = MlflowTraceError
"""MLflow's name for the base class."""

_BY_CODE: dict[int, type[MlflowTraceError]] = {
    kind.code: kind
    for kind in (
        InvalidArgumentError,
        InvalidConfigError,
        InvalidStateError,
        CapacityError,
        TimeLimitError,
        TransportError,
        RejectedError,
        BufferTooSmallError,
        UnsupportedError,
        InternalError,
        PanicError,
        NotFoundError,
        DeletedError,
        InvalidFilterError,
        UnauthorizedError,
        BadReplyError,
        DamagedError,
    )
}


def from_kind(code: int, message: str) -> MlflowTraceError:
    """Make the exception for an error kind of the engine."""
    return _BY_CODE.get(code, InternalError)(message)
