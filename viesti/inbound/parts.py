"""Keeps the parts of long inbound texts until all are there, or time is up; used by ``texts``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from viesti.sms.reassembly import INCOMPLETE_AFTER_S, join_parts
from viesti.sms.udh import Concatenation

# Tells references of 16 bits from equal ones of 8 in one column.
_WIDE = 0x10000


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a long text, its body without the header."""

    sender_id: UUID
    mobile: str
    concatenation: Concatenation
    data_coding: int
    body: bytes

    @property
    def reference(self) -> int:
        wide = _WIDE if self.concatenation.wide else 0
        return self.concatenation.reference | wide


@dataclass(frozen=True, slots=True)
class Joined:
    """A long text, whole or with gaps; ``segments`` counts the parts that came."""

    sender_id: UUID
    mobile: str
    text: str
    segments: int


def add_part(conn: psycopg.Connection, account_id: UUID, part: Part, now: datetime) -> list[Joined]:
    """Keep ``part``; returns the texts that it ends: none, or its own when it was the last.

    A part that differs from the one that is there begins another text under a reference used
    again; what had come of the first ends with gaps.
    """
    ended: list[Joined] = []
    key = (account_id, part.sender_id, part.mobile, part.reference, part.concatenation.total)
    row = conn.execute(
        f"SELECT payload FROM inbound_parts WHERE {_OF_TEXT} AND part = %s",
        (*key, part.concatenation.sequence),
    ).fetchone()
    if row is not None and bytes(row[0]) != part.body:
        ended += _end(conn, [key])
    conn.execute(
        "INSERT INTO inbound_parts (account_id, sender_id, mobile, reference, total, part,"
        " data_coding, payload, received_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (*key, part.concatenation.sequence, part.data_coding, part.body, now),
    )
    count = conn.execute(
        f"SELECT count(*) FROM inbound_parts WHERE {_OF_TEXT}",
        key,
    ).fetchone()
    if count and count[0] >= part.concatenation.total:
        ended += _end(conn, [key])
    return ended


def find_overdue(conn: psycopg.Connection, now: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """(account id, sender id) of texts whose first part came too long ago, the oldest first."""
    rows = conn.execute(
        "SELECT account_id, sender_id FROM inbound_parts WHERE received_at < %s"
        " ORDER BY received_at LIMIT %s",
        (now - timedelta(seconds=INCOMPLETE_AFTER_S), limit),
    ).fetchall()
    return list(dict.fromkeys((row[0], row[1]) for row in rows))


def end_overdue(
    conn: psycopg.Connection, account_id: UUID, sender_id: UUID, now: datetime
) -> list[Joined]:
    """What came of the texts to ``sender_id`` whose time is up, with gaps; the parts are gone."""
    keys = conn.execute(
        "SELECT DISTINCT account_id, sender_id, mobile, reference, total FROM inbound_parts"
        " WHERE account_id = %s AND sender_id = %s AND received_at < %s",
        (account_id, sender_id, now - timedelta(seconds=INCOMPLETE_AFTER_S)),
    ).fetchall()
    return _end(conn, [(row[0], row[1], row[2], row[3], row[4]) for row in keys])


_Key = tuple[UUID, UUID, str, int, int]
_OF_TEXT = "account_id = %s AND sender_id = %s AND mobile = %s AND reference = %s AND total = %s"


def _end(conn: psycopg.Connection, keys: Sequence[_Key]) -> list[Joined]:
    ended: list[Joined] = []
    for key in keys:
        rows = conn.execute(
            f"DELETE FROM inbound_parts WHERE {_OF_TEXT} RETURNING part, payload, data_coding",
            key,
        ).fetchall()
        if not rows:
            continue
        parts: dict[int, bytes] = {row[0]: bytes(row[1]) for row in rows}
        data_coding: int = min(rows)[2]  # the first part's
        text = join_parts(parts, key[4], data_coding)
        ended.append(Joined(key[1], key[2], text, len(parts)))
    return ended
