"""Time as the platform writes it: aware UTC inside, millisecond ISO 8601 with ``Z`` outside."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """``2026-03-01T10:00:00.000Z``: an offset such as ``+00:00`` breaks clients in use."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def monotonic_s() -> float:
    """Seconds on CLOCK_BOOTTIME, which goes on while the machine sleeps: for leases."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
