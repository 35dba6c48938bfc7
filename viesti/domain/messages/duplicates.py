"""The duplicate guard: equal text to one number within 30 minutes is MSG-024.

A reply from the handset resets it. Used by the send; ``inbound`` calls ``forget``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
from psycopg.errors import UniqueViolation

from viesti.db.binary import (
    ByteaArray,
    TextArray,
    bytea_field,
    copy_rows,
    moment_field,
    row_head,
    text_field,
    uuid_field,
)
from viesti.domain.messages.draft import Draft

WINDOW = timedelta(minutes=30)
# From here on a COPY saves more than the savepoint around it costs.
_COPY_FROM_ROWS = 64


def find_duplicates(
    conn: psycopg.Connection, account_id: UUID, drafts: Sequence[Draft], now: datetime
) -> list[Draft]:
    """Those of ``drafts`` whose text went to their number lately, or earlier in ``drafts``.

    The others are remembered. Rows are locked in key order, so that parallel calls with the
    same texts wait for each other, and exactly one of them passes.
    """
    fresh: dict[tuple[str, bytes], Draft] = {}
    duplicates: list[Draft] = []
    for draft in drafts:
        key = (draft.contact.mobile, draft.text_hash)
        if key in fresh:
            duplicates.append(draft)
        else:
            fresh[key] = draft
    if not fresh:
        return duplicates
    keys = sorted(fresh)
    if len(keys) >= _COPY_FROM_ROWS and _copy(conn, account_id, keys, now):
        return duplicates
    passed = {
        (row[0], bytes(row[1]))
        for row in conn.execute(
            "INSERT INTO recent_texts AS r (account_id, mobile, text_hash, sent_at)"
            " SELECT %(account)s, u.mobile, u.text_hash, %(now)s"
            " FROM unnest(%(mobiles)b::text[], %(hashes)b::bytea[]) AS u(mobile, text_hash)"
            " ORDER BY u.mobile, u.text_hash"
            " ON CONFLICT (account_id, mobile, text_hash) DO UPDATE SET sent_at = excluded.sent_at"
            " WHERE r.sent_at <= %(cutoff)s"
            " RETURNING mobile, text_hash",
            {
                "account": account_id,
                "now": now,
                "cutoff": now - WINDOW,
                "mobiles": TextArray([key[0] for key in keys]),
                "hashes": ByteaArray([key[1] for key in keys]),
            },
            binary=True,
        )
    }
    duplicates.extend(draft for key, draft in fresh.items() if key not in passed)
    return duplicates


def _copy(
    conn: psycopg.Connection, account_id: UUID, keys: Sequence[tuple[str, bytes]], now: datetime
) -> bool:
    """Remember all ``keys`` if none is known yet: most bulk texts are new to everybody."""
    head = row_head(4) + uuid_field(account_id) + moment_field(now)
    try:
        with conn.transaction():
            copy_rows(
                conn,
                "recent_texts",
                "account_id, sent_at, mobile, text_hash",
                (b"".join((head, text_field(key[0]), bytea_field(key[1]))) for key in keys),
            )
    except UniqueViolation:
        return False
    return True


def forget(conn: psycopg.Connection, account_id: UUID, mobile: str) -> None:
    """The handset replied: any text may go to it again."""
    conn.execute(
        "DELETE FROM recent_texts WHERE account_id = %s AND mobile = %s", (account_id, mobile)
    )
