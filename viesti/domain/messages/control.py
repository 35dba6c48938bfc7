"""Pauses, resumes and cancels jobs: what of their texts has not begun to leave.

Called by the API, by campaigns, and by the ``work`` role, which goes on where a call stopped:
each call settles what a job becomes and handles the first of its texts, so that a small job is
done with at once; a large one is swept in pieces behind a cursor (``jobs.swept_until``), oldest
texts first, for those would leave next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from viesti.domain.messages.cancel import cancel_texts
from viesti.domain.messages.models import WakeHint
from viesti.domain.messages.store import CREDIT_WAIT, activate_lanes
from viesti.kit.errors import Conflict, NotFound

JOB_NOT_FOUND = "JOB-001"
JOB_ENDED = "JOB-002"
AT_ONCE = 2_000
# A paused text waits for a person, however long that takes.
_FOREVER = datetime(9999, 1, 1, tzinfo=UTC)

# A job that is being paused or the like -> what it is in the end.
SWEEPS = {"pausing": "paused", "resuming": "open", "canceling": "canceled"}


@dataclass(slots=True)
class Swept:
    """What one piece did: whether more is left, and whom to wake after the commit."""

    more: bool
    wake: list[WakeHint] = field(default_factory=list[WakeHint])
    has_events: bool = False


def pause_job(conn: psycopg.Connection, account_id: UUID, job_id: UUID, now: datetime) -> Swept:
    """Let no further text of the job start, and read no further contacts, until it is resumed.

    Pausing a paused job changes nothing. Raises NotFound (JOB-001), Conflict (JOB-002) for a
    canceled one.
    """
    return _turn(conn, account_id, job_id, "pausing", ("open", "resuming"), now)


def resume_job(conn: psycopg.Connection, account_id: UUID, job_id: UUID, now: datetime) -> Swept:
    """Go on where ``pause_job`` stopped. Raises as it does."""
    return _turn(conn, account_id, job_id, "resuming", ("paused", "pausing"), now)


def cancel_job(conn: psycopg.Connection, account_id: UUID, job_id: UUID, now: datetime) -> Swept:
    """Cancel every text of the job that has not begun to leave, and read no further contacts.

    Their prices are released. Canceling again changes nothing. Raises NotFound (JOB-001).
    """
    return _turn(
        conn, account_id, job_id, "canceling", ("open", "pausing", "paused", "resuming"), now
    )


def _turn(
    conn: psycopg.Connection,
    account_id: UUID,
    job_id: UUID,
    state: str,
    sources: Sequence[str],
    now: datetime,
) -> Swept:
    row = conn.execute(
        "SELECT state FROM jobs WHERE account_id = %s AND id = %s FOR UPDATE", (account_id, job_id)
    ).fetchone()
    if row is None:
        raise NotFound("There is no such job.", JOB_NOT_FOUND)
    if row[0] in sources:
        conn.execute(
            "UPDATE jobs SET state = %s, swept_until = NULL WHERE account_id = %s AND id = %s",
            (state, account_id, job_id),
        )
        return sweep(conn, account_id, job_id, now)
    if row[0] in ("canceling", "canceled") and state != "canceling":
        raise Conflict("The job was canceled.", JOB_ENDED)
    return Swept(row[0] in SWEEPS)


def pause_begun_jobs(conn: psycopg.Connection, now: datetime) -> int:
    """Pause every job of any account that would be at work by now; how many.

    For a database that was brought back from a backup: whom such a job had not reached then may
    have had the text since, and what was being resumed may have left.
    """
    done = conn.execute(
        "UPDATE jobs SET state = 'paused', swept_until = NULL"
        " WHERE (state = 'open' AND NOT expanded AND due_at <= %s) OR state = 'resuming'",
        (now,),
    )
    return done.rowcount


def sweep_locked(conn: psycopg.Connection, account_id: UUID, job_id: UUID, now: datetime) -> Swept:
    """``sweep`` for who has not locked the job's row yet."""
    conn.execute(
        "SELECT 1 FROM jobs WHERE account_id = %s AND id = %s FOR UPDATE", (account_id, job_id)
    )
    return sweep(conn, account_id, job_id, now)


def sweep(
    conn: psycopg.Connection,
    account_id: UUID,
    job_id: UUID,
    now: datetime,
    limit: int = AT_ONCE,
) -> Swept:
    """Handle the next ``limit`` texts of a job that is being paused, resumed or canceled.

    The caller holds the lock on the job's row.
    """
    row = conn.execute(
        "SELECT state, COALESCE(swept_until, first_message_id), last_message_id,"
        " swept_until IS NULL FROM jobs WHERE account_id = %s AND id = %s",
        (account_id, job_id),
    ).fetchone()
    if row is None or row[0] not in SWEEPS:
        return Swept(False)
    state, start, last, is_first = row
    ids = _waiting(conn, account_id, job_id, start, last, is_first, limit) if last else []
    done = Swept(len(ids) >= limit)
    if ids and state == "canceling":
        done.has_events = cancel_texts(conn, account_id, ids).has_events
    elif ids and state == "pausing":
        _park(conn, account_id, ids, now)
    elif ids:
        done.wake = _unpark(conn, account_id, ids, now)
    conn.execute(
        "UPDATE jobs SET state = %s, swept_until = %s WHERE account_id = %s AND id = %s",
        (
            state if done.more else SWEEPS[state],
            ids[-1] if done.more else None,
            account_id,
            job_id,
        ),
    )
    return done


def _waiting(
    conn: psycopg.Connection,
    account_id: UUID,
    job_id: UUID,
    start: UUID,
    last: UUID,
    is_first: bool,
    limit: int,
) -> list[UUID]:
    """The job's next texts that may not have begun to leave, by id."""
    above: LiteralString = "id >= %(start)s" if is_first else "id > %(start)s"
    rows = conn.execute(
        "SELECT id FROM messages WHERE account_id = %(account)s AND "
        + above
        + " AND id <= %(last)s AND job_id = %(job)s"
        " AND status IN ('queued', 'scheduled', 'suspended') ORDER BY id LIMIT %(limit)s",
        {"account": account_id, "start": start, "last": last, "job": job_id, "limit": limit},
    ).fetchall()
    return [row[0] for row in rows]


def _park(conn: psycopg.Connection, account_id: UUID, ids: Sequence[UUID], now: datetime) -> None:
    """Out of the queue with what has not begun to leave, and out of reach of a top-up."""
    params = {
        "account": account_id,
        "ids": list(ids),
        "first": ids[0],
        "last": ids[-1],
        "now": now,
        "until": _FOREVER,
    }
    parked = _park_queued(conn, params)
    parked += conn.execute(
        "UPDATE parked_messages SET reason = 'paused', expires_at = %(until)s"
        " WHERE account_id = %(account)s AND message_id = ANY(%(ids)b)"
        " AND message_id BETWEEN %(first)s AND %(last)s AND reason = 'no_credit'",
        params,
    ).rowcount
    if parked < len(ids):
        # Credit may have moved some back into the queue in between.
        _park_queued(conn, params)


def _park_queued(conn: psycopg.Connection, params: dict[str, Any]) -> int:
    return conn.execute(
        "WITH gone AS (DELETE FROM dispatch_queue WHERE account_id = %(account)s"
        "  AND message_id IN ("
        "   SELECT message_id FROM dispatch_queue WHERE account_id = %(account)s"
        "    AND message_id = ANY(%(ids)b) AND message_id BETWEEN %(first)s AND %(last)s"
        "    AND started = 0 ORDER BY message_id FOR UPDATE)"
        "  AND message_id BETWEEN %(first)s AND %(last)s AND started = 0 RETURNING *)"
        " INSERT INTO parked_messages (account_id, message_id, reason, lane_id, mobile, priority,"
        "  segments, parked_at, expires_at)"
        " SELECT account_id, message_id, 'paused', lane_id, mobile, priority, segments,"
        "  %(now)s, %(until)s FROM gone WHERE account_id = %(account)s",
        params,
    ).rowcount


def _unpark(
    conn: psycopg.Connection, account_id: UUID, ids: Sequence[UUID], now: datetime
) -> list[WakeHint]:
    """Back to where they were: the queue, or the wait for credit, which begins anew."""
    rows = conn.execute(
        "SELECT m.id, m.status, GREATEST(m.send_at, %(now)s) FROM parked_messages p"
        " JOIN messages m ON m.account_id = p.account_id AND m.id = p.message_id"
        " WHERE p.account_id = %(account)s AND m.account_id = %(account)s"
        " AND p.message_id = ANY(%(ids)b) AND m.id = ANY(%(ids)b)"
        " AND m.id BETWEEN %(first)s AND %(last)s AND p.reason = 'paused'"
        " ORDER BY p.message_id FOR UPDATE OF p",
        {"account": account_id, "ids": list(ids), "now": now, "first": ids[0], "last": ids[-1]},
    ).fetchall()
    suspended = [row[0] for row in rows if row[1] == "suspended"]
    if suspended:
        conn.execute(
            "UPDATE parked_messages SET reason = 'no_credit', parked_at = %s, expires_at = %s"
            " WHERE account_id = %s AND message_id = ANY(%s)",
            (now, now + CREDIT_WAIT, account_id, suspended),
        )
    going = [row for row in rows if row[1] != "suspended"]
    if not going:
        return []
    queued = conn.execute(
        "WITH gone AS (DELETE FROM parked_messages WHERE account_id = %(account)s"
        "  AND message_id = ANY(%(ids)b) RETURNING *)"
        " INSERT INTO dispatch_queue (account_id, message_id, lane_id, mobile, priority,"
        "  not_before, segments)"
        " SELECT g.account_id, g.message_id, g.lane_id, g.mobile, g.priority, u.at, g.segments"
        " FROM gone g JOIN unnest(%(ids)b::uuid[], %(times)b::timestamptz[]) AS u(id, at)"
        "  ON u.id = g.message_id WHERE g.account_id = %(account)s"
        " RETURNING lane_id, priority",
        {
            "account": account_id,
            "ids": [row[0] for row in going],
            "times": [row[2] for row in going],
        },
    ).fetchall()
    lanes = set(queued)
    activate_lanes(conn, sorted({lane for lane, _ in lanes}), now)
    return [WakeHint(account_id, lane, priority, now) for lane, priority in lanes]
