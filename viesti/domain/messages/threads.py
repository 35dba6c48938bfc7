"""Finds or starts the open conversation of each (sender, contact); used by send and inbound.

Rows are written in the order of their keys, so that parallel bulk calls over the same people
wait for each other instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class ThreadTouch:
    """A message that joins the open conversation of ``sender_id`` and ``contact_id``."""

    sender_id: UUID
    sender: str
    contact_id: UUID
    mobile: str
    message_id: UUID


@dataclass(frozen=True, slots=True)
class Thread:
    id: UUID
    started: bool


_UPSERT = """
INSERT INTO conversations AS v (account_id, id, contact_id, sender_id, mobile, sender,
                                last_message_id, created_at, updated_at)
SELECT %(account)s, u.id, u.contact_id, u.sender_id, u.mobile, u.sender, u.message_id,
       %(now)s, %(now)s
FROM unnest(%(ids)b::uuid[], %(contacts)b::uuid[], %(senders)b::uuid[], %(mobiles)b::text[],
            %(numbers)b::text[], %(messages)b::uuid[])
     AS u(id, contact_id, sender_id, mobile, sender, message_id)
ORDER BY u.sender_id, u.contact_id
ON CONFLICT (account_id, sender_id, contact_id) WHERE closed_at IS NULL
DO UPDATE SET last_message_id = excluded.last_message_id, updated_at = excluded.updated_at
RETURNING v.sender_id, v.contact_id, v.id, (xmax = 0)
"""


def join_threads(
    conn: psycopg.Connection, account_id: UUID, touches: Sequence[ThreadTouch], now: datetime
) -> dict[tuple[UUID, UUID], Thread]:
    """The open conversation by (sender id, contact id), started where there was none.

    Of several messages for one pair the last becomes the conversation's last message.
    """
    last = {(touch.sender_id, touch.contact_id): touch for touch in touches}
    if not last:
        return {}
    rows = conn.execute(
        _UPSERT,
        {
            "account": account_id,
            "now": now,
            "ids": [new_id() for _ in last],
            "contacts": [touch.contact_id for touch in last.values()],
            "senders": [touch.sender_id for touch in last.values()],
            "mobiles": [touch.mobile for touch in last.values()],
            "numbers": [touch.sender for touch in last.values()],
            "messages": [touch.message_id for touch in last.values()],
        },
        binary=True,
    ).fetchall()
    return {(row[0], row[1]): Thread(row[2], row[3]) for row in rows}


def find_open_threads(
    conn: psycopg.Connection, account_id: UUID, contact_ids: Sequence[UUID]
) -> dict[UUID, tuple[UUID, UUID]]:
    """(Sender id, conversation id) of each contact's open conversation.

    Of several it is the one that was written in last.
    """
    rows = conn.execute(
        "SELECT contact_id, sender_id, id FROM conversations"
        " WHERE account_id = %s AND contact_id = ANY(%b) AND closed_at IS NULL"
        " ORDER BY updated_at",
        (account_id, list(contact_ids)),
        binary=True,
    ).fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}


def close_threads(
    conn: psycopg.Connection,
    account_id: UUID,
    pairs: Sequence[tuple[UUID, UUID]],
    now: datetime,
) -> list[tuple[UUID, UUID]]:
    """Close the open conversations of (sender id, contact id) ``pairs``.

    Returns (conversation id, contact id) of those closed. Locked in key order, as above.
    """
    rows = conn.execute(
        "UPDATE conversations SET closed_at = %(now)s, updated_at = %(now)s"
        " WHERE account_id = %(account)s AND id IN ("
        "  SELECT v.id FROM conversations v"
        "  JOIN unnest(%(senders)b::uuid[], %(contacts)b::uuid[]) AS u(sender_id, contact_id)"
        "    ON v.sender_id = u.sender_id AND v.contact_id = u.contact_id"
        "  WHERE v.account_id = %(account)s AND v.closed_at IS NULL"
        "  ORDER BY v.sender_id, v.contact_id FOR UPDATE OF v)"
        " RETURNING id, contact_id",
        {
            "account": account_id,
            "now": now,
            "senders": [pair[0] for pair in pairs],
            "contacts": [pair[1] for pair in pairs],
        },
    ).fetchall()
    return [(row[0], row[1]) for row in rows]
