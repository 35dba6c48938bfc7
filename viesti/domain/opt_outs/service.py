"""Consent by number: who opted out, and the only two ways to change it.

Opt-outs are keyed by (account, MSISDN), so that no import, deletion or re-creation of a
contact undoes one. Callers: ``inbound`` for keywords, the send and dispatch for the check.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import psycopg


def opt_out(
    conn: psycopg.Connection,
    account_id: UUID,
    mobile: str,
    *,
    source: str,
    word: str,
    sender_id: UUID | None,
    now: datetime,
) -> bool:
    """Record an opt-out; False if the number had opted out before."""
    done = conn.execute(
        "INSERT INTO opt_outs (account_id, mobile, at, source, word, sender_id)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (account_id, mobile, now, source, word, sender_id),
    )
    return done.rowcount == 1


def opt_in(conn: psycopg.Connection, account_id: UUID, mobile: str, now: datetime) -> bool:
    """Lift an opt-out and note the consent on the contact; False if there was no opt-out."""
    done = conn.execute(
        "DELETE FROM opt_outs WHERE account_id = %s AND mobile = %s", (account_id, mobile)
    )
    conn.execute(
        "UPDATE contacts SET opted_in_at = %s, updated_at = %s"
        " WHERE account_id = %s AND mobile = %s AND deleted_at IS NULL",
        (now, now, account_id, mobile),
    )
    return done.rowcount == 1


def find_opted_out(
    conn: psycopg.Connection, account_id: UUID, numbers: Sequence[str]
) -> dict[str, datetime]:
    """The numbers among ``numbers`` that opted out, with the time they did."""
    rows = conn.execute(
        "SELECT mobile, at FROM opt_outs WHERE account_id = %s AND mobile = ANY(%s)",
        (account_id, list(numbers)),
    ).fetchall()
    return {row[0]: row[1] for row in rows}
