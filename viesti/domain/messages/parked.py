"""Texts outside the queue: those without credit, and those whose outcome is unknown.

Those of paused jobs lie there too; ``control`` puts them there and takes them out again.

Called by dispatch (unknown outcomes, late answers), inbound (receipts of held texts, opt-outs),
top-ups, and the ``work`` role (expiry). Every function joins the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.messages.models import WakeHint
from viesti.domain.messages.progress import Step
from viesti.domain.messages.states import Status
from viesti.domain.messages.store import activate_lanes

# An unknown outcome is settled by then, or ends as MSG-026 (product decisions).
HOLD = timedelta(hours=24)

_PARK = """
INSERT INTO parked_messages (account_id, message_id, reason, lane_id, mobile, priority, segments,
                             started, answered, started_at, parked_at, expires_at)
SELECT account_id, message_id, 'unknown_outcome', lane_id, mobile, priority, segments, started,
       answered, started_at, %(now)s, %(until)s FROM gone
RETURNING account_id, message_id
"""
_UNPARK = """
INSERT INTO dispatch_queue (account_id, message_id, lane_id, mobile, priority, not_before,
                            segments, started, answered)
SELECT account_id, message_id, lane_id, mobile, priority, %(now)s, segments, answered, answered
FROM gone
RETURNING account_id, message_id, lane_id, priority
"""


# What is under way on a lane that a desk took over, and not by itself. Given what it has in
# flight there, the rest that bears its name was started but never written.
_ABANDONED = (
    " WHERE account_id = %(account)s AND lane_id = %(lane)s AND started <> answered"
    " AND (claimed_by IS DISTINCT FROM %(desk)s OR message_id <> ALL(%(under_way)s::uuid[]))"
)


def hold_abandoned(
    conn: psycopg.Connection,
    account_id: UUID,
    lane_id: UUID,
    desk: UUID,
    under_way: Sequence[UUID] | None,
    now: datetime,
) -> list[Step]:
    """Hold what others had under way on a lane that ``desk`` took over.

    ``under_way`` is what the desk itself has in flight there; None spares all that it started.
    """
    rows = conn.execute(
        "WITH gone AS (DELETE FROM dispatch_queue" + _ABANDONED + " RETURNING *)" + _PARK,
        {
            "account": account_id,
            "lane": lane_id,
            "desk": desk,
            "under_way": None if under_way is None else list(under_way),
            "now": now,
            "until": now + HOLD,
        },
    ).fetchall()
    return [Step(row[0], row[1], becomes=Status.HELD) for row in rows]


def release_abandoned(
    conn: psycopg.Connection,
    account_id: UUID,
    lane_id: UUID,
    desk: UUID,
    under_way: Sequence[UUID] | None,
) -> int:
    """As ``hold_abandoned`` where the policy is to submit again; how many texts that concerns."""
    done = conn.execute(
        "UPDATE dispatch_queue SET started = answered" + _ABANDONED,
        {
            "account": account_id,
            "lane": lane_id,
            "desk": desk,
            "under_way": None if under_way is None else list(under_way),
        },
    )
    return done.rowcount


def hold_queue(conn: psycopg.Connection, now: datetime, limit: int = 1_000) -> list[Step]:
    """Hold up to ``limit`` queued texts of any account, whatever became of them.

    For a database that was brought back from a backup: what was waiting then may have left since.
    """
    rows = conn.execute(
        "WITH gone AS (DELETE FROM dispatch_queue WHERE (account_id, message_id) IN ("
        "  SELECT account_id, message_id FROM dispatch_queue LIMIT %(limit)s) RETURNING *)" + _PARK,
        {"limit": limit, "now": now, "until": now + HOLD},
    ).fetchall()
    return [Step(row[0], row[1], becomes=Status.HELD) for row in rows]


def hold(
    conn: psycopg.Connection, accounts: Sequence[UUID], ids: Sequence[UUID], now: datetime
) -> list[Step]:
    """Hold the queued texts ``ids`` of ``accounts``: a segment of each has an unknown outcome."""
    rows = conn.execute(
        "WITH gone AS (DELETE FROM dispatch_queue WHERE account_id = ANY(%(accounts)s)"
        " AND message_id = ANY(%(ids)s) RETURNING *)" + _PARK,
        {
            "accounts": list(set(accounts)),
            "ids": list(ids),
            "now": now,
            "until": now + HOLD,
        },
    ).fetchall()
    return [Step(row[0], row[1], becomes=Status.HELD) for row in rows]


def answer_held(
    conn: psycopg.Connection, account_id: UUID, message_id: UUID, segment: int, now: datetime
) -> Step | None:
    """A segment of a held text was taken after all; None if no such segment is held.

    The text leaves the hold when none of its started segments is open: for the queue, if some
    were never started. The counters of the message make it ``sent`` when all are taken.
    """
    bit = 1 << segment
    row = conn.execute(
        "UPDATE parked_messages SET answered = answered | %(bit)s WHERE account_id = %(account)s"
        " AND message_id = %(message)s AND reason = 'unknown_outcome' AND answered & %(bit)s = 0"
        " RETURNING segments, started, answered, lane_id",
        {"bit": bit, "account": account_id, "message": message_id},
    ).fetchone()
    if row is None:
        return None
    segments, started, answered, lane_id = row
    step = Step(account_id, message_id, accepted=1)
    if started & ~answered:
        return step
    if answered == (1 << segments) - 1:
        conn.execute(
            "DELETE FROM parked_messages WHERE account_id = %s AND message_id = %s",
            (account_id, message_id),
        )
        return step
    _requeue(conn, account_id, [message_id], now)
    activate_lanes(conn, [lane_id], now)
    step.becomes = Status.QUEUED
    return step


def refuse_held(
    conn: psycopg.Connection, account_id: UUID, message_id: UUID, error_code: str
) -> list[Step]:
    """A segment of a held text was refused after all: the text ends."""
    gone = conn.execute(
        "DELETE FROM parked_messages WHERE account_id = %s AND message_id = %s"
        " AND reason = 'unknown_outcome'",
        (account_id, message_id),
    )
    return [Step(account_id, message_id, error_code=error_code)] if gone.rowcount else []


@dataclass(frozen=True, slots=True)
class HeldSegment:
    message_id: UUID
    segment: int


def find_held_segment(
    conn: psycopg.Connection,
    account_id: UUID,
    lane_id: UUID,
    mobile: str,
    reference: int | None,
    now: datetime,
) -> HeldSegment | None:
    """The held segment that a receipt without a known id must be for; None if in doubt.

    Exactly one held text has that sender and number and was submitted within 10 minutes of
    now, and no other text to the number is under way; or the receipt echoes the segment's
    user_message_reference.
    """
    rows = conn.execute(
        "SELECT message_id, started & ~answered FROM parked_messages WHERE account_id = %s"
        " AND reason = 'unknown_outcome' AND mobile = %s AND lane_id = %s AND started_at > %s",
        (account_id, mobile, lane_id, now - timedelta(minutes=10)),
    ).fetchall()
    open_segments = [
        HeldSegment(row[0], bit) for row in rows for bit in range(16) if row[1] >> bit & 1
    ]
    if reference is not None:
        echoed = [
            held
            for held in open_segments
            if (int.from_bytes(held.message_id.bytes[-2:]) ^ held.segment) & 0xFFFF == reference
        ]
        if len(echoed) == 1:
            return echoed[0]
    if len({held.message_id for held in open_segments}) != 1:
        return None
    under_way = conn.execute(
        "SELECT 1 FROM dispatch_queue WHERE account_id = %s AND mobile = %s AND started <> answered"
        " LIMIT 1",
        (account_id, mobile),
    ).fetchone()
    return None if under_way else open_segments[0]


def cancel_waiting(
    conn: psycopg.Connection, account_id: UUID, mobile: str, error_code: str
) -> list[Step]:
    """End every text to ``mobile`` that has not started to leave: its owner opted out.

    Deleting the rows here, under their locks, is what keeps a dispatcher from starting one of
    them at the same moment.
    """
    queued = conn.execute(
        "DELETE FROM dispatch_queue WHERE account_id = %s AND mobile = %s AND started = 0"
        " AND NOT consent_reply RETURNING message_id",
        (account_id, mobile),
    ).fetchall()
    suspended = conn.execute(
        "DELETE FROM parked_messages WHERE account_id = %s AND mobile = %s"
        " AND reason IN ('no_credit', 'paused') RETURNING message_id",
        (account_id, mobile),
    ).fetchall()
    return [Step(account_id, row[0], error_code=error_code) for row in queued + suspended]


def release_suspended(
    conn: psycopg.Connection, account_id: UUID, now: datetime, limit: int = 1_000
) -> tuple[list[Step], list[WakeHint]]:
    """Put texts that waited for credit into the queue, oldest first, as far as it reaches."""
    balance = conn.execute(
        "SELECT available_micros FROM balances WHERE account_id = %s FOR UPDATE", (account_id,)
    ).fetchone()
    left: int = balance[0] if balance else 0
    rows = conn.execute(
        "SELECT p.message_id, p.lane_id, p.priority, m.price_micros FROM parked_messages p"
        " JOIN messages m ON m.account_id = p.account_id AND m.id = p.message_id"
        " WHERE p.account_id = %(account)s AND m.account_id = %(account)s"
        " AND p.reason = 'no_credit' ORDER BY p.message_id LIMIT %(limit)s"
        # One that ends at this moment is passed over, or its price would stay reserved.
        " FOR UPDATE OF p SKIP LOCKED",
        {"account": account_id, "limit": limit},
    ).fetchall()
    going: list[Any] = []
    taken = 0
    for row in rows:
        if row[3] > left - taken:
            break
        taken += row[3]
        going.append(row)
    if not going:
        return [], []
    conn.execute(
        "UPDATE balances SET available_micros = available_micros - %(taken)s,"
        " reserved_micros = reserved_micros + %(taken)s, updated_at = %(now)s"
        " WHERE account_id = %(account)s",
        {"taken": taken, "now": now, "account": account_id},
    )
    _requeue(conn, account_id, [row[0] for row in going], now)
    # Credit does not open the window of a text that also waits for quiet hours to end.
    conn.execute(
        "UPDATE dispatch_queue q SET not_before = m.send_at FROM messages m"
        " WHERE q.account_id = %(account)s AND q.message_id = ANY(%(ids)s)"
        " AND m.account_id = %(account)s AND m.id = ANY(%(ids)s) AND m.id = q.message_id"
        " AND m.send_at > %(now)s",
        {"account": account_id, "ids": [row[0] for row in going], "now": now},
    )
    activate_lanes(conn, sorted({row[1] for row in going}), now)
    steps = [Step(account_id, row[0], becomes=Status.QUEUED) for row in going]
    hints = {(row[1], row[2]): WakeHint(account_id, row[1], row[2], now) for row in going}
    return steps, list(hints.values())


def expire_parked(conn: psycopg.Connection, now: datetime, limit: int = 500) -> list[Step]:
    """End what waited too long: ACCT-006 without credit, MSG-026 without word of its outcome."""
    rows = conn.execute(
        "DELETE FROM parked_messages WHERE (account_id, message_id) IN ("
        " SELECT account_id, message_id FROM parked_messages WHERE expires_at <= %s"
        " ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED)"
        " RETURNING account_id, message_id, reason",
        (now, limit),
    ).fetchall()
    return [
        Step(
            row[0],
            row[1],
            error_code="ACCT-006" if row[2] == "no_credit" else "MSG-026",
        )
        for row in rows
    ]


def _requeue(
    conn: psycopg.Connection, account_id: UUID, ids: Sequence[UUID], now: datetime
) -> None:
    conn.execute(
        "WITH gone AS (DELETE FROM parked_messages WHERE account_id = %(account)s"
        " AND message_id = ANY(%(ids)s) RETURNING *)" + _UNPARK,
        {"account": account_id, "ids": list(ids), "now": now},
    )
