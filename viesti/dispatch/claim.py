"""Reads due texts of leased lanes into memory, batch by batch; used by the carrier desk.

The lane's lease is what keeps two dispatchers apart, so reading changes nothing; the start of
an attempt (``attempt``) is conditional and settles any doubt. Reading goes on behind a cursor:
the head of a queue is full of dead rows while it is worked off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from viesti.dispatch.texts import Text

_BEGINNING = (datetime(2000, 1, 1, tzinfo=UTC), UUID(int=0))

_READ = """
SELECT c.* FROM unnest(%(lane_accounts)b::uuid[], %(lanes)b::uuid[], %(priorities)b::int[],
                       %(moments)b::timestamptz[], %(ids)b::uuid[], %(quotas)b::int[])
     AS l(account_id, lane_id, priority, not_before, message_id, quota)
CROSS JOIN LATERAL (
    SELECT d.account_id, d.lane_id, d.message_id, d.mobile, d.priority, d.not_before, d.segments,
           d.answered, d.consent_reply
    FROM dispatch_queue d
    WHERE d.account_id = ANY(%(accounts)s) AND d.account_id = l.account_id
      AND d.lane_id = l.lane_id AND d.priority = l.priority
      AND (d.not_before, d.message_id) > (l.not_before, l.message_id)
      AND d.not_before <= %(now)s AND d.started = d.answered
    ORDER BY d.not_before, d.message_id LIMIT l.quota) c
"""


@dataclass(slots=True)
class Cursor:
    """How far one priority of one lane has been read."""

    account_id: UUID
    lane_id: UUID
    priority: int
    at: tuple[datetime, UUID] = _BEGINNING

    def rewind(self, not_before: datetime | None = None) -> None:
        """Read again from ``not_before``, or from the start."""
        if not_before is None:
            self.at = _BEGINNING
        elif not_before < self.at[0]:
            self.at = (not_before, UUID(int=0))


@dataclass(frozen=True, slots=True)
class Read:
    cursor: Cursor
    quota: int


def read_due(conn: psycopg.Connection, reads: Sequence[Read], now: datetime) -> list[Text]:
    """The next due texts behind each cursor, up to its quota; the cursors move on.

    On a distributed engine the reads of one call belong to one group of accounts.
    """
    if not reads:
        return []
    rows = conn.execute(
        _READ,
        {
            "accounts": list({read.cursor.account_id for read in reads}),
            "lane_accounts": [read.cursor.account_id for read in reads],
            "lanes": [read.cursor.lane_id for read in reads],
            "priorities": [read.cursor.priority for read in reads],
            "moments": [read.cursor.at[0] for read in reads],
            "ids": [read.cursor.at[1] for read in reads],
            "quotas": [read.quota for read in reads],
            "now": now,
        },
        binary=True,
    ).fetchall()
    by_key = {(read.cursor.lane_id, read.cursor.priority): read.cursor for read in reads}
    texts: list[Text] = []
    for row in rows:
        text = Text(*row)
        text.started = text.answered
        cursor = by_key[text.lane_id, text.priority]
        cursor.at = max(cursor.at, (text.not_before, text.message_id))
        texts.append(text)
    return texts
