"""What time does to messages; called by housekeeping in the ``work`` role.

Each piece does a bounded amount in the transaction it is given, and answers whether more is
left.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from viesti.db.placement import placement
from viesti.domain.messages.parked import expire_parked
from viesti.domain.messages.progress import advance
from viesti.kit.ids import bound_at, find_id

AT_ONCE = 500
# A text without all its receipts is marked after 72 hours (product decisions). The second look
# is for those that waited long before they left: for a campaign's hour, for credit.
MISSING_AFTER = timedelta(hours=72)
_LOOKS = (("receipts_missing", MISSING_AFTER), ("receipts_missing_late", timedelta(days=7)))
# So much of the past is looked through in one piece.
_STRETCH = timedelta(hours=1)
_MARKED_AT_ONCE = 5_000


def expire_waiting(conn: psycopg.Connection, now: datetime) -> bool:
    """End texts that waited too long for credit or for word of their outcome."""
    steps = expire_parked(conn, now, AT_ONCE)
    advance(conn, steps)
    return len(steps) >= AT_ONCE


def mark_missing_receipts(conn: psycopg.Connection, now: datetime) -> bool:
    """Mark texts that are still ``sent`` after 72 hours, on carriers that confirm at all.

    Walks through the messages by id, which says when they were made, behind a cursor of its own.
    """
    senders = [
        row[0]
        for row in conn.execute(
            "SELECT s.id FROM senders s JOIN carriers c ON c.id = s.carrier_id"
            " WHERE c.receipts <> 'none'"
        )
    ]
    accounts = [row[0] for row in conn.execute("SELECT id FROM accounts")]
    more = False
    for name, age in _LOOKS:
        more |= _look(conn, name, accounts, senders, now, now - age)
    return more


def _look(
    conn: psycopg.Connection,
    name: str,
    accounts: Sequence[UUID],
    senders: Sequence[UUID],
    now: datetime,
    until: datetime,
) -> bool:
    row = conn.execute("SELECT value FROM platform WHERE key = %s FOR UPDATE", (name,)).fetchone()
    start = find_id(row[0]) if row else None
    first = start or _oldest(conn, until)
    end = min(bound_at(until), bound_at(_made_at(first) + _STRETCH))
    if first >= end:
        return False
    reached = end
    for group in placement(accounts):
        marked = conn.execute(
            "UPDATE messages SET receipt_missing = true WHERE account_id = ANY(%(accounts)s)"
            " AND id = ANY(ARRAY(SELECT id FROM messages WHERE account_id = ANY(%(accounts)s)"
            "   AND id >= %(first)s AND id < %(end)s AND outgoing AND status = 'sent'"
            "   AND NOT receipt_missing AND sender_id = ANY(%(senders)s)"
            "   AND updated_at < %(before)s ORDER BY id LIMIT %(limit)s))"
            " AND id >= %(first)s AND id < %(end)s AND status = 'sent' RETURNING id",
            {
                "accounts": list(group),
                "senders": list(senders),
                "first": first,
                "end": end,
                "before": now - MISSING_AFTER,
                "limit": _MARKED_AT_ONCE,
            },
        ).fetchall()
        if len(marked) >= _MARKED_AT_ONCE:
            # The marked ones are passed over when this stretch is looked through again.
            reached = first
    conn.execute(
        "INSERT INTO platform (key, value) VALUES (%s, %s)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (name, Jsonb(str(reached))),
    )
    return reached < bound_at(until)


def _oldest(conn: psycopg.Connection, until: datetime) -> UUID:
    """Where the first look of an installation begins: at its oldest account."""
    row = conn.execute("SELECT min(created_at) FROM accounts").fetchone()
    return bound_at(min(row[0], until) if row and row[0] else until)


def _made_at(id_: UUID) -> datetime:
    """The moment in a UUIDv7 (RFC 9562 section 5.7: milliseconds in its first 48 bits)."""
    return _EPOCH + timedelta(milliseconds=id_.int >> 80)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
