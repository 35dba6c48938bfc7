"""Writes accepted texts: message rows, their place in the queue, and the money they reserve.

Used by ``send`` and by replies to keywords, inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.messages.draft import Draft
from viesti.domain.messages.models import WakeHint
from viesti.domain.messages.rows import SharedFields, write_rows
from viesti.domain.messages.states import Status
from viesti.kit.ids import new_id

PRIORITY_REPLY = 0
PRIORITY_BULK = 1
# Kind of the one confirmation and the HELP reply, which opt-outs, balance, duplicates and quiet
# hours do not stop.
CONSENT_REPLY = "consent_reply"
# A text without credit waits this long for a top-up (product facts, ACCT-006).
CREDIT_WAIT = timedelta(hours=72)
# Lanes are marked active for longer than any transaction may last, so that the mark is seen
# before it ends however late the rows behind it are committed.
LANE_ACTIVE = timedelta(minutes=5)
LANE_RENEW_BEFORE = timedelta(minutes=2)


def store_messages(
    conn: psycopg.Connection,
    account_id: UUID,
    drafts: Sequence[Draft],
    *,
    job_id: UUID | None,
    kind: str,
    type_: str,
    media: Sequence[dict[str, Any]],
    priority: int,
    now: datetime,
) -> list[WakeHint]:
    """Store ``drafts``; those that are queued or scheduled get a place in the queue."""
    waiting = [d for d in drafts if d.status in (Status.QUEUED, Status.SCHEDULED)]
    shared = SharedFields(account_id, job_id, kind, type_, media, priority, now)
    write_rows(conn, shared, drafts, waiting, is_consent_reply=kind == CONSENT_REPLY)
    lanes = {draft.sender.id for draft in waiting if draft.sender is not None}
    activate_lanes(conn, sorted(lanes), now)
    return [WakeHint(account_id, lane, priority, now) for lane in lanes]


def activate_lanes(conn: psycopg.Connection, lanes: Sequence[UUID], now: datetime) -> None:
    """Mark ``lanes`` as having texts. A lane that another transaction holds is passed over:

    the wake-up names it too, and a sweep finds what neither reached.
    """
    if lanes:
        conn.execute(
            "UPDATE lanes SET active_until = %s WHERE sender_id IN ("
            " SELECT sender_id FROM lanes WHERE sender_id = ANY(%s)"
            " AND (active_until IS NULL OR active_until < %s) FOR UPDATE SKIP LOCKED)",
            (now + LANE_ACTIVE, list(lanes), now + LANE_RENEW_BEFORE),
        )


def reserve(
    conn: psycopg.Connection, account_id: UUID, drafts: Sequence[Draft], now: datetime
) -> list[Draft]:
    """Reserve the price of all queued ``drafts``; returns those there is no credit for.

    One conditional update where the money suffices. Where it does not, the balance row is
    locked and the texts are served in their order until it is used up; the rest is suspended.
    The balance never goes below zero, however many calls run side by side.
    """
    queued = [d for d in drafts if d.status in (Status.QUEUED, Status.SCHEDULED)]
    total = sum(draft.price_micros for draft in queued)
    if not total or _take(conn, account_id, total, now):
        return []
    row = conn.execute(
        "SELECT available_micros FROM balances WHERE account_id = %s FOR UPDATE", (account_id,)
    ).fetchone()
    left: int = max(row[0], 0) if row else 0
    short: list[Draft] = []
    taken = 0
    for draft in queued:
        if draft.price_micros <= left - taken:
            taken += draft.price_micros
        else:
            short.append(draft)
    if taken:
        _take(conn, account_id, taken, now)
    return short


def _take(conn: psycopg.Connection, account_id: UUID, micros: int, now: datetime) -> bool:
    done = conn.execute(
        "UPDATE balances SET available_micros = available_micros - %(micros)s,"
        " reserved_micros = reserved_micros + %(micros)s, updated_at = %(now)s"
        " WHERE account_id = %(account)s AND available_micros >= %(micros)s",
        {"micros": micros, "account": account_id, "now": now},
    )
    return done.rowcount == 1


def charge_received(
    conn: psycopg.Connection,
    account_id: UUID,
    *,
    received_micros: int,
    reserved_micros: int,
    now: datetime,
) -> None:
    """Charge inbound texts and reserve the replies to keywords, whatever the balance is.

    Neither can be refused: the texts are here, and consent must be confirmed. The balance may
    go below zero (product decisions, "when money moves").
    """
    if received_micros:
        conn.execute(
            "INSERT INTO ledger (account_id, id, kind, amount_micros, created_at)"
            " VALUES (%s, %s, 'received', %s, %s)",
            (account_id, new_id(), -received_micros, now),
        )
    if received_micros or reserved_micros:
        conn.execute(
            "UPDATE balances SET available_micros = available_micros - %s,"
            " reserved_micros = reserved_micros + %s, updated_at = %s WHERE account_id = %s",
            (received_micros + reserved_micros, reserved_micros, now, account_id),
        )


def suspend(
    conn: psycopg.Connection, account_id: UUID, drafts: Sequence[Draft], now: datetime
) -> None:
    """Take stored ``drafts`` out of the queue again: they wait for credit (ACCT-006)."""
    if not drafts:
        return
    ids = [draft.id for draft in drafts]
    # One for later waits for credit at least until its time has come.
    latest = max((draft.not_before or now for draft in drafts), default=now)
    for draft in drafts:
        draft.status = Status.SUSPENDED
        draft.error_code = "ACCT-006"
    conn.execute(
        "UPDATE messages SET status = 'suspended', error_code = 'ACCT-006', updated_at = %s"
        " WHERE account_id = %s AND id = ANY(%s) AND status IN ('queued', 'scheduled')",
        (now, account_id, ids),
    )
    conn.execute(
        "WITH gone AS (DELETE FROM dispatch_queue WHERE account_id = %(account)s"
        "              AND message_id = ANY(%(ids)s) RETURNING *)"
        " INSERT INTO parked_messages (account_id, message_id, reason, lane_id, mobile, priority,"
        "   segments, parked_at, expires_at)"
        " SELECT account_id, message_id, 'no_credit', lane_id, mobile, priority, segments,"
        "   %(now)s, %(until)s FROM gone WHERE account_id = %(account)s",
        {"account": account_id, "ids": ids, "now": now, "until": latest + CREDIT_WAIT},
    )
