"""The written table of message states: the only place that says which change is legal.

Wire names are lower case (product decisions, "status on the wire"). ``new`` and ``validated``
are passed inside the accepting request and never stored.
"""

from __future__ import annotations

import enum


class Status(enum.StrEnum):
    SCHEDULED = "scheduled"  # waits for its time -> as queued
    SUSPENDED = "suspended"  # no credit -> queued, error, canceled
    QUEUED = "queued"  # -> sent, delivered, held, error, canceled
    HELD = "held"  # outcome unknown -> queued (by a person), sent, delivered, error
    SENT = "sent"  # taken by the carrier -> delivered, error
    DELIVERED = "delivered"  # end
    ERROR = "error"  # end
    INVALID = "invalid"  # end
    CANCELED = "canceled"  # end
    RECEIVED = "received"  # end: inbound


_FORWARD: dict[Status, frozenset[Status]] = {
    Status.SCHEDULED: frozenset(
        {
            Status.QUEUED,
            Status.SENT,
            Status.DELIVERED,
            Status.HELD,
            Status.ERROR,
            Status.CANCELED,
        }
    ),
    Status.SUSPENDED: frozenset({Status.QUEUED, Status.CANCELED, Status.ERROR}),
    Status.QUEUED: frozenset(
        {Status.SENT, Status.DELIVERED, Status.HELD, Status.ERROR, Status.CANCELED}
    ),
    Status.HELD: frozenset({Status.QUEUED, Status.SENT, Status.DELIVERED, Status.ERROR}),
    Status.SENT: frozenset({Status.DELIVERED, Status.ERROR}),
    Status.DELIVERED: frozenset(),
    Status.ERROR: frozenset(),
    Status.INVALID: frozenset(),
    Status.CANCELED: frozenset(),
    Status.RECEIVED: frozenset(),
}

ENDS = frozenset(status for status, onward in _FORWARD.items() if not onward)


def may_become(now: Status, wanted: Status) -> bool:
    """Whether a message in ``now`` may change to ``wanted``."""
    return wanted in _FORWARD[now]


def sources_of(wanted: Status) -> list[str]:
    """Every status that may change to ``wanted``, for the WHERE clause of an update."""
    return sorted(status.value for status, onward in _FORWARD.items() if wanted in onward)
