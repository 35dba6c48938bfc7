"""A file on its way in: its rows are stored chunk by chunk, and count once the last one is there.

Called by ``intake``. What breaks off is dropped at once, or by ``drop_stale`` if the process
that took it died.
"""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from viesti.db.placement import placement
from viesti.domain.contacts.models import MergeStrategy
from viesti.domain.imports.columns import Columns
from viesti.domain.imports.models import MAX_OPEN, TOO_MANY_OPEN, Chunk, State
from viesti.kit.errors import Conflict, NotFound
from viesti.kit.ids import new_id

# An upload that stored nothing for so long is over. Longer than a client may pause (the API's
# own bound) times the pieces of one chunk.
STALE = timedelta(minutes=30)
AT_ONCE = 100
# Rows of text shrink to a quarter at the lowest level, at some 100 MB a second.
_LEVEL = 1

_rows_type = list[list[str]]


def pack(chunk: Chunk) -> bytes:
    """A chunk's rows as they are stored."""
    return zlib.compress(msgspec.json.encode(chunk.rows), _LEVEL)


def unpack(body: bytes) -> list[list[str]]:
    return msgspec.json.decode(zlib.decompress(body), type=_rows_type)


def begin_import(
    conn: psycopg.Connection,
    account_id: UUID,
    columns: Columns,
    default_country: str,
    now: datetime,
) -> UUID:
    """A place for a file's rows. Raises Conflict (IMP-003) while too many files wait."""
    record = conn.execute(
        "SELECT count(*) FROM imports WHERE account_id = %s AND ended_at IS NULL", (account_id,)
    ).fetchone()
    if record is not None and record[0] >= MAX_OPEN:
        raise Conflict(
            f"{MAX_OPEN} files of this account are not worked off yet; wait for one.",
            TOO_MANY_OPEN,
        )
    import_id = new_id()
    conn.execute(
        "INSERT INTO imports (account_id, id, state, columns, default_country, created_at,"
        " worked_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            account_id,
            import_id,
            State.UPLOADING.value,
            Jsonb(msgspec.to_builtins(columns)),
            default_country,
            now,
            now,
        ),
    )
    return import_id


def add_chunk(
    conn: psycopg.Connection,
    account_id: UUID,
    import_id: UUID,
    chunk: Chunk,
    body: bytes,
    now: datetime,
) -> None:
    """Store the next chunk; ``body`` is the packed one. Raises NotFound once it was dropped."""
    record = conn.execute(
        "UPDATE imports SET chunks = chunks + 1, rows = rows + %s, worked_at = %s"
        " WHERE account_id = %s AND id = %s AND state = %s RETURNING chunks",
        (len(chunk.rows), now, account_id, import_id, State.UPLOADING.value),
    ).fetchone()
    if record is None:
        raise _gone()
    conn.execute(
        "INSERT INTO import_chunks (account_id, import_id, n, first_row, body)"
        " VALUES (%s, %s, %s, %s, %s)",
        (account_id, import_id, record[0] - 1, chunk.first_row, body),
    )


def finish_upload(
    conn: psycopg.Connection,
    account_id: UUID,
    import_id: UUID,
    strategy: MergeStrategy,
    octets: int,
    now: datetime,
) -> None:
    """The file is complete: from now on it is worked off, whatever happens."""
    done = conn.execute(
        "UPDATE imports SET state = %s, strategy = %s, octets = %s, worked_at = %s"
        " WHERE account_id = %s AND id = %s AND state = %s",
        (
            State.RUNNING.value,
            strategy.value,
            octets,
            now,
            account_id,
            import_id,
            State.UPLOADING.value,
        ),
    )
    if done.rowcount == 0:
        raise _gone()


def drop_upload(conn: psycopg.Connection, account_id: UUID, import_id: UUID) -> None:
    """Forget a file that did not come in whole; one that did stays."""
    done = conn.execute(
        "DELETE FROM imports WHERE account_id = %s AND id = %s AND state = %s",
        (account_id, import_id, State.UPLOADING.value),
    )
    if done.rowcount:
        drop_chunks(conn, account_id, import_id)


def drop_chunks(conn: psycopg.Connection, account_id: UUID, import_id: UUID) -> None:
    conn.execute(
        "DELETE FROM import_chunks WHERE account_id = %s AND import_id = %s",
        (account_id, import_id),
    )


def drop_stale(conn: psycopg.Connection, now: datetime) -> bool:
    """A periodic job: forget uploads whose process died; whether more may be left."""
    accounts = [record[0] for record in conn.execute("SELECT id FROM accounts")]
    more = False
    for members in placement(accounts):
        stale = conn.execute(
            "SELECT account_id, id FROM imports WHERE account_id = ANY(%s) AND ended_at IS NULL"
            " AND state = %s AND worked_at < %s LIMIT %s",
            (list(members), State.UPLOADING.value, now - STALE, AT_ONCE),
        ).fetchall()
        for account_id, import_id in stale:
            drop_upload(conn, account_id, import_id)
        more |= len(stale) == AT_ONCE
    return more


def _gone() -> NotFound:
    return NotFound("The upload took too long and was given up; upload the file again.", "JOB-001")
