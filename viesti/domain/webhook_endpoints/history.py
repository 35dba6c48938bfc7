"""What was tried at a webhook, what was given up, and sending it again; for API and hub."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.kit.ids import new_id

# Rows that one call revives, so that its transaction stays short.
REPLAY_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try; ``status_code`` is None where no answer came, ``error`` then says why."""

    id: UUID
    event_id: UUID
    event_type: str
    attempt: int
    status_code: int | None
    error: str
    response: str
    duration_ms: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many deliveries of a webhook wait, and how many were given up."""

    due: int
    dead: int


def list_attempts(
    conn: psycopg.Connection,
    account_id: UUID,
    webhook_id: UUID,
    *,
    before: UUID | None = None,
    limit: int = 50,
) -> list[Attempt]:
    """The attempts at a webhook, newest first, those older than the attempt ``before``."""
    rows = conn.execute(
        "SELECT a.id, a.event_id, coalesce(e.type, ''), a.attempt, a.status_code, a.error,"
        " a.response, a.duration_ms, a.at FROM webhook_attempts a"
        " LEFT JOIN events e ON e.account_id = %(account)s AND e.id = a.event_id"
        " WHERE a.account_id = %(account)s AND a.webhook_id = %(webhook)s"
        " AND (%(before)s::uuid IS NULL OR a.id < %(before)s::uuid)"
        " ORDER BY a.id DESC LIMIT %(limit)s",
        {"account": account_id, "webhook": webhook_id, "before": before, "limit": limit},
    ).fetchall()
    return [Attempt(*row) for row in rows]


def count_backlog(conn: psycopg.Connection, account_id: UUID, webhook_id: UUID) -> Backlog:
    row = conn.execute(
        "SELECT count(*) FILTER (WHERE state = 'due'), count(*) FILTER (WHERE state = 'dead')"
        " FROM webhook_deliveries WHERE account_id = %s AND webhook_id = %s",
        (account_id, webhook_id),
    ).fetchone()
    return Backlog(*row) if row else Backlog(0, 0)


def replay_event(
    conn: psycopg.Connection, account_id: UUID, webhook_id: UUID, event_id: UUID, now: datetime
) -> bool:
    """Send an event again, under its id and with the body of its first delivery.

    False if the account has no such webhook or event any more. A delivery that is under way or
    was given up begins its schedule anew.
    """
    revived = conn.execute(
        "UPDATE webhook_deliveries SET state = 'due', attempts = 0, not_before = %s,"
        " claimed_by = NULL, created_at = %s"
        " WHERE account_id = %s AND webhook_id = %s AND event_id = %s",
        (now, now, account_id, webhook_id, event_id),
    )
    if revived.rowcount:
        return True
    added = conn.execute(
        "INSERT INTO webhook_deliveries (account_id, id, webhook_id, event_id, not_before,"
        " created_at) SELECT %(account)s, %(id)s, w.id, e.id, %(now)s, %(now)s"
        " FROM webhooks w JOIN events e ON e.account_id = %(account)s AND e.id = %(event)s"
        " WHERE w.account_id = %(account)s AND w.id = %(webhook)s",
        {
            "account": account_id,
            "id": new_id(),
            "webhook": webhook_id,
            "event": event_id,
            "now": now,
        },
    )
    return added.rowcount == 1


def replay_dead(conn: psycopg.Connection, account_id: UUID, webhook_id: UUID, now: datetime) -> int:
    """Begin the schedule anew for what was given up; how many, at most ``REPLAY_AT_ONCE``."""
    done = conn.execute(
        "UPDATE webhook_deliveries SET state = 'due', attempts = 0, not_before = %(now)s,"
        " claimed_by = NULL, created_at = %(now)s"
        " WHERE account_id = %(account)s AND id = ANY(ARRAY("
        " SELECT id FROM webhook_deliveries WHERE account_id = %(account)s"
        " AND webhook_id = %(webhook)s AND state = 'dead' LIMIT %(limit)s"
        " FOR UPDATE SKIP LOCKED))",
        {"account": account_id, "webhook": webhook_id, "now": now, "limit": REPLAY_AT_ONCE},
    )
    return done.rowcount
