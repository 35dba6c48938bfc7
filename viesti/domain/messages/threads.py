"""Finds or starts the open conversation of each (sender, contact); used by send and inbound.

Parallel calls over the same people wait for each other instead of deadlocking: each first starts
the conversations that it saw to be missing, then writes in those that it saw to be open, either
in the order of their keys. What one call saw as missing and another as open was started between
their looks, so no two calls can each hold what the other one wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.errors import UniqueViolation

from viesti.db.binary import (
    TextArray,
    UuidArray,
    copy_rows,
    moment_field,
    row_head,
    text_field,
    uuid_field,
)
from viesti.kit.ids import new_ids

# From here on a COPY saves more than the savepoint around it costs.
_COPY_FROM_ROWS = 64

# The ids of sender and contact, as numbers: as a key a UUID takes many times as long.
_Pair = tuple[int, int]


# Tuples rather than dataclasses: ten thousand of each are made in one call.
class ThreadTouch(NamedTuple):
    """A message that joins the open conversation of ``sender_id`` and ``contact_id``."""

    sender_id: UUID
    sender: str
    contact_id: UUID
    mobile: str
    message_id: UUID
    # Whether the pair had an open conversation when the caller looked; None: nobody looked.
    is_open: bool | None = None
    open_id: UUID | None = None  # which one it was


class Thread(NamedTuple):
    id: UUID
    started: bool


# Tells only of conversations other than the expected ones: ten thousand rows cost more to read
# than to leave out.
_UPSERT = """
WITH joined AS (
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
RETURNING v.sender_id, v.contact_id, v.id, (xmax = 0) AS started)
SELECT sender_id, contact_id, id, started FROM joined WHERE NOT (id = ANY(%(expected)b::uuid[]))
"""


def join_threads(
    conn: psycopg.Connection,
    account_id: UUID,
    touches: Sequence[ThreadTouch],
    now: datetime,
) -> dict[tuple[UUID, UUID], Thread]:
    """The open conversation by (sender id, contact id); see ``join_each``."""
    found = join_each(conn, account_id, touches, now)
    return {
        (touch.sender_id, touch.contact_id): thread
        for touch, thread in zip(touches, found, strict=True)
    }


def join_each(
    conn: psycopg.Connection,
    account_id: UUID,
    touches: Sequence[ThreadTouch],
    now: datetime,
) -> list[Thread]:
    """The open conversation of each of ``touches``, started where there was none.

    Of several messages for one pair the last becomes the conversation's last message.
    Where nothing was open a moment ago, new conversations are tried first.
    """
    keys = [(touch.sender_id.int, touch.contact_id.int) for touch in touches]
    last = dict(zip(keys, touches, strict=True))
    threads = _join(conn, account_id, last, now)
    return [threads[key] for key in keys]


def _join(
    conn: psycopg.Connection, account_id: UUID, last: Mapping[_Pair, ThreadTouch], now: datetime
) -> dict[_Pair, Thread]:
    last = _look_up(conn, account_id, last)
    fresh = {key: touch for key, touch in last.items() if not touch.is_open}
    threads: dict[_Pair, Thread] | None = None
    if len(fresh) >= _COPY_FROM_ROWS:
        try:
            with conn.transaction():
                threads = _copy(conn, account_id, fresh, now)
        except UniqueViolation:
            again = {key: touch._replace(is_open=None) for key, touch in last.items()}
            last = _look_up(conn, account_id, again)
            fresh = {key: touch for key, touch in last.items() if not touch.is_open}
    if threads is None:
        threads = _upsert(conn, account_id, fresh, now)
    known = {key: touch for key, touch in last.items() if touch.is_open}
    return threads | _upsert(conn, account_id, known, now)


def _look_up(
    conn: psycopg.Connection, account_id: UUID, last: Mapping[_Pair, ThreadTouch]
) -> Mapping[_Pair, ThreadTouch]:
    """``last`` with ``is_open`` told of each."""
    unknown = [touch.contact_id for touch in last.values() if touch.is_open is None]
    if not unknown:
        return last
    rows = conn.execute(
        "SELECT sender_id, contact_id, id FROM conversations"
        " WHERE account_id = %s AND contact_id = ANY(%b) AND closed_at IS NULL",
        (account_id, UuidArray(unknown)),
        binary=True,
    ).fetchall()
    found: dict[_Pair, UUID] = {(row[0].int, row[1].int): row[2] for row in rows}
    return {
        key: touch
        if touch.is_open is not None
        else touch._replace(is_open=key in found, open_id=found.get(key))
        for key, touch in last.items()
    }


def _copy(
    conn: psycopg.Connection, account_id: UUID, touches: Mapping[_Pair, ThreadTouch], now: datetime
) -> dict[_Pair, Thread]:
    """Start a conversation for each of ``touches``."""
    head = row_head(9) + uuid_field(account_id) + 2 * moment_field(now)
    keys = sorted(touches)
    threads = {
        key: Thread(thread_id, True)
        for key, thread_id in zip(keys, new_ids(len(keys)), strict=True)
    }
    senders = {
        key[0]: uuid_field(touch.sender_id) + text_field(touch.sender)
        for key, touch in {key[0]: (key, touch) for key, touch in touches.items()}.values()
    }

    def row(key: _Pair) -> bytes:
        touch = touches[key]
        return b"".join(
            (
                head,
                uuid_field(threads[key].id),
                senders[key[0]],
                uuid_field(touch.contact_id),
                text_field(touch.mobile),
                uuid_field(touch.message_id),
            )
        )

    copy_rows(
        conn,
        "conversations",
        "account_id, created_at, updated_at, id, sender_id, sender, contact_id, mobile,"
        " last_message_id",
        map(row, keys),
    )
    return threads


def _upsert(
    conn: psycopg.Connection, account_id: UUID, last: Mapping[_Pair, ThreadTouch], now: datetime
) -> dict[_Pair, Thread]:
    if not last:
        return {}
    touches = last.values()
    threads = {
        key: Thread(touch.open_id, False)
        for key, touch in last.items()
        if touch.open_id is not None
    }
    rows = conn.execute(
        _UPSERT,
        {
            "account": account_id,
            "now": now,
            "ids": UuidArray(new_ids(len(touches))),
            "contacts": UuidArray([touch.contact_id for touch in touches]),
            "senders": UuidArray([touch.sender_id for touch in touches]),
            "mobiles": TextArray([touch.mobile for touch in touches]),
            "numbers": TextArray([touch.sender for touch in touches]),
            "messages": UuidArray([touch.message_id for touch in touches]),
            "expected": UuidArray([thread.id for thread in threads.values()]),
        },
        binary=True,
    ).fetchall()
    for sender_id, contact_id, thread_id, started in rows:
        threads[sender_id.int, contact_id.int] = Thread(thread_id, started)
    return threads


def find_open_threads(
    conn: psycopg.Connection,
    account_id: UUID,
    contact_ids: Sequence[UUID],
    preferred: Sequence[UUID] = (),
) -> dict[UUID, tuple[UUID, UUID]]:
    """(Sender id, conversation id) of each contact's open conversation.

    Of several it is the one that was written in last, among those of the senders ``preferred``
    if it has one with them.
    """
    rows = conn.execute(
        "SELECT contact_id, sender_id, id FROM conversations"
        " WHERE account_id = %s AND contact_id = ANY(%b) AND closed_at IS NULL"
        " ORDER BY sender_id = ANY(%b), updated_at",
        (account_id, UuidArray(contact_ids), UuidArray(preferred)),
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
