"""Lets texts go that waited for credit; called by top-ups, and by housekeeping as a safety net."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.domain.messages.parked import release_suspended
from viesti.domain.messages.progress import advance

AT_ONCE = 1_000


@dataclass(slots=True)
class Released:
    """How many texts went into the queue, and whom to wake after the commit."""

    messages: int = 0
    lanes: set[UUID] = field(default_factory=set[UUID])
    has_events: bool = False


def release_credited(conn: psycopg.Connection, account_id: UUID, now: datetime) -> Released:
    """Queue what the balance reaches for, oldest first, ``AT_ONCE`` texts at most."""
    steps, hints = release_suspended(conn, account_id, now, AT_ONCE)
    advanced = advance(conn, steps)
    return Released(len(steps), {hint.lane_id for hint in hints}, advanced.has_events)


def release_all_credited(conn: psycopg.Connection, now: datetime) -> bool:
    """One account's waiting texts that its balance covers by now; True if more may be left.

    One account a call: a transaction touches one account. Waking is left to the lanes' sweep.
    """
    # An account is due when its oldest text is covered: that one goes first, or none does.
    row = conn.execute(
        "SELECT b.account_id FROM balances b CROSS JOIN LATERAL ("
        "  SELECT p.message_id FROM parked_messages p WHERE p.account_id = b.account_id"
        "  AND p.reason = 'no_credit' ORDER BY p.message_id LIMIT 1) AS oldest"
        " JOIN messages m ON m.account_id = b.account_id AND m.id = oldest.message_id"
        " WHERE m.price_micros <= b.available_micros LIMIT 1"
    ).fetchone()
    return row is not None and release_credited(conn, row[0], now).messages > 0
