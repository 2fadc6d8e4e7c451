"""Times of MLflow's JSON (RFC 3339, in UTC)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FORM = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-]\d\d:\d\d))")


def to_rfc3339(milliseconds: int) -> str:
    """Write milliseconds since the Unix epoch; the fraction is left out where it is zero."""
    time = _EPOCH + timedelta(milliseconds=milliseconds)
    fraction = f".{time.microsecond // 1000:03}" if time.microsecond else ""
    return f"{time:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def from_rfc3339(text: str) -> int:
    """Read a time as milliseconds since the Unix epoch; digits below a millisecond are cut."""
    found = _FORM.fullmatch(text)
    if found is None:
        message = f"{text!r} is no time"
        raise ValueError(message)
    date, clock, fraction, offset = found.groups()
    time = datetime.fromisoformat(f"{date}T{clock}{offset or '+00:00'}")
    return (time - _EPOCH) // timedelta(milliseconds=1) + int((fraction or "")[:3].ljust(3, "0"))
