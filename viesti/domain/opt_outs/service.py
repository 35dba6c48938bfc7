"""Consent by number: who opted out, and the only two ways to change it.

Opt-outs are keyed by (account, MSISDN), so that no import, deletion or re-creation of a
contact undoes one. Called by ``inbound`` for keywords; who checks joins the table itself.
"""

from __future__ import annotations

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


def is_opted_out(conn: psycopg.Connection, account_id: UUID, mobile: str) -> bool:
    """Whether the number has opted out, as this transaction sees it."""
    found = conn.execute(
        "SELECT 1 FROM opt_outs WHERE account_id = %s AND mobile = %s", (account_id, mobile)
    ).fetchone()
    return found is not None


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
