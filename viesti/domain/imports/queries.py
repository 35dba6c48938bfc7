"""Reads imports: how far a file is, and which of its rows were refused."""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID

import msgspec
import psycopg

from viesti.domain.contacts.models import MergeStrategy
from viesti.domain.imports.columns import Columns
from viesti.domain.imports.models import IMPORT_NOT_FOUND, Import, State
from viesti.domain.imports.rows import RefusedRow
from viesti.kit.errors import NotFound
from viesti.kit.ids import find_id

_SELECT: LiteralString = (
    "SELECT account_id, id, state, strategy, columns, default_country, octets, rows, chunks,"
    " chunks_done, rows_done, rows_failed, inserted, updated, created_at, worked_at, ended_at"
    " FROM imports WHERE account_id = %s AND id = %s"
)


def find_import(
    conn: psycopg.Connection, account_id: UUID, import_id: UUID, *, lock: bool = False
) -> Import | None:
    """The import, one that is still uploading too."""
    query = _SELECT + (" FOR UPDATE" if lock else "")
    record = conn.execute(query, (account_id, import_id)).fetchone()
    if record is None:
        return None
    account, found, state, strategy, columns, *rest = record
    return Import(
        account,
        found,
        State(state),
        MergeStrategy(strategy),
        msgspec.convert(columns, Columns),
        *rest,
    )


def find_accepted(conn: psycopg.Connection, account_id: UUID, import_id: str) -> Import | None:
    """The import that a client means by ``import_id``, or None."""
    found = find_id(import_id)
    if found is None:
        return None
    row = find_import(conn, account_id, found)
    return row if row is not None and row.state is not State.UPLOADING else None


def get_import(conn: psycopg.Connection, account_id: UUID, import_id: str) -> Import:
    """The import that a client means by ``import_id``. Raises NotFound (JOB-001)."""
    row = find_accepted(conn, account_id, import_id)
    if row is None:
        raise NotFound("There is no such import.", IMPORT_NOT_FOUND)
    return row


def list_refused(conn: psycopg.Connection, account_id: UUID, import_id: UUID) -> list[RefusedRow]:
    """The rows that were refused so far, as many as are kept, in the file's order."""
    records: list[tuple[Any, ...]] = conn.execute(
        "SELECT refused FROM import_errors WHERE account_id = %s AND import_id = %s ORDER BY row",
        (account_id, import_id),
    ).fetchall()
    return [msgspec.convert(record[0], RefusedRow) for record in records]
