"""Works accepted files off, one chunk and one transaction at a time; run by the ``work`` role.

A chunk's contacts, counts and errors are committed together with the mark that it is done, so a
process that dies leaves no row missing and none counted twice.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from uuid import UUID

import msgspec
import psycopg
import structlog
from psycopg import errors
from psycopg.types.json import Jsonb

from viesti.db.placement import placement
from viesti.domain.contacts.upsert import ContactRow
from viesti.domain.imports.apply import ParsedRows, merge_rows, parse_rows
from viesti.domain.imports.models import MAX_ERRORS, Chunk, Import, State
from viesti.domain.imports.queries import find_import
from viesti.domain.imports.rows import RefusedRow, RowReader
from viesti.domain.imports.store import drop_chunks, unpack

log = structlog.get_logger()

# Chunks of one file before another waiting file has its turn.
TURN_CHUNKS = 16
# Digits of E.164 without the plus fit (15 digits, ITU-T E.164 section 6).
_NUMBER = "Q"
# What a chunk itself can bring about. It would do so each time, and the file that waited longest
# goes first: tried for ever, it would keep the files of all accounts.
_CONTENT_ERRORS = (
    errors.DataError,
    errors.ProgramLimitExceeded,
    msgspec.MsgspecError,
    zlib.error,
    ValueError,
    LookupError,
    ArithmeticError,
)


class Importer:
    """Holds what it knows of the file in work; without that it begins anew from the database.

    Only one may be active at a time, or each reads the numbers of the other's chunks again.
    """

    def __init__(self) -> None:
        self._current: tuple[UUID, UUID] | None = None
        self._turns_left = 0
        # Numbers of the current file's first ``_seen_chunks`` chunks: such a contact is counted.
        self._seen: set[int] = set()
        self._seen_chunks = 0
        # The next chunk is read while the database is busy with this one. A chunk never
        # changes, so what was read ahead stays right whatever becomes of the transaction.
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="imports-ahead")
        self._read: dict[tuple[UUID, int], Future[ParsedRows]] = {}

    def piece(self, conn: psycopg.Connection, now: datetime) -> bool:
        """A periodic job: work one chunk off; whether another may wait."""
        chosen = self._current if self._turns_left > 0 else None
        if chosen is None:
            chosen = _find_next(conn)
            self._turns_left = TURN_CHUNKS
        if chosen is None:
            self._forget(None)
            return False
        row = find_import(conn, *chosen, lock=True)
        if row is None or row.state is not State.RUNNING:
            self._forget(None)
            return True
        if chosen != self._current:
            self._forget(chosen)
        self._turns_left -= 1
        self._recall(conn, row)
        try:
            with conn.transaction():
                self._work(conn, row, now)
        except _CONTENT_ERRORS as error:
            # What was done so far stays, and the counts say how much.
            log.error("import_failed", import_id=str(row.id), error=type(error).__name__)
            _end(conn, row, State.FAILED, now)
        return True

    def _forget(self, current: tuple[UUID, UUID] | None) -> None:
        self._current = current
        self._seen = set()
        self._seen_chunks = 0
        if current is None:
            self._turns_left = 0

    def _recall(self, conn: psycopg.Connection, row: Import) -> None:
        """Learn the numbers of chunks that were committed since, by whomever."""
        if self._seen_chunks > row.chunks_done:
            self._forget((row.account_id, row.id))
        if self._seen_chunks == row.chunks_done:
            return
        with conn.cursor() as cursor:
            for (numbers,) in cursor.stream(
                "SELECT numbers FROM import_chunks WHERE account_id = %s AND import_id = %s"
                " AND n >= %s AND body IS NULL",
                (row.account_id, row.id, self._seen_chunks),
                binary=True,
            ):
                self._seen.update(array(_NUMBER, numbers))
        self._seen_chunks = row.chunks_done

    def _work(self, conn: psycopg.Connection, row: Import, now: datetime) -> None:
        parsed = self._next_rows(conn, row)
        contacts = merge_rows(conn, row.account_id, parsed, row.strategy, now)
        self._count(conn, row, parsed, contacts, now)
        _keep_refused(conn, row, parsed.refused)
        if row.chunks_done + 1 == row.chunks:
            _end(conn, row, State.COMPLETE, now)

    def _next_rows(self, conn: psycopg.Connection, row: Import) -> ParsedRows:
        """The rows of the file's next chunk; those after it are being read when this returns."""
        wanted = [row.chunks_done, row.chunks_done + 1]
        self._read = {
            key: future
            for key, future in self._read.items()
            if key[0] == row.id and key[1] in wanted
        }
        missing = [n for n in wanted if (row.id, n) not in self._read]
        reader = RowReader(row.columns, row.default_country)
        for n, first_row, body in conn.execute(
            "SELECT n, first_row, body FROM import_chunks"
            " WHERE account_id = %s AND import_id = %s AND n = ANY(%s) ORDER BY n",
            (row.account_id, row.id, missing),
            binary=True,
        ):
            self._read[row.id, n] = self._ahead.submit(_parse, reader, first_row, body)
        return self._read.pop((row.id, row.chunks_done)).result()

    def _count(
        self,
        conn: psycopg.Connection,
        row: Import,
        parsed: ParsedRows,
        contacts: Sequence[ContactRow],
        now: datetime,
    ) -> None:
        numbers = _numbers(contacts)
        inserted = updated = 0
        for number, contact in zip(numbers, contacts, strict=True):
            if number not in self._seen:
                inserted += contact.inserted
                updated += not contact.inserted
        conn.execute(
            "UPDATE import_chunks SET body = NULL, numbers = %s"
            " WHERE account_id = %s AND import_id = %s AND n = %s",
            (numbers.tobytes(), row.account_id, row.id, row.chunks_done),
        )
        conn.execute(
            "UPDATE imports SET chunks_done = chunks_done + 1, rows_done = rows_done + %s,"
            " rows_failed = rows_failed + %s, inserted = inserted + %s, updated = updated + %s,"
            " worked_at = %s WHERE account_id = %s AND id = %s",
            (
                parsed.count,
                len(parsed.refused),
                inserted,
                updated,
                now,
                row.account_id,
                row.id,
            ),
        )


def _parse(reader: RowReader, first_row: int, body: bytes) -> ParsedRows:
    return parse_rows(reader, [Chunk(first_row, unpack(body))])


def cancel_import(conn: psycopg.Connection, row: Import, now: datetime) -> None:
    """Leave the rest of a file undone; nothing if it has ended. What is done stays."""
    locked = find_import(conn, row.account_id, row.id, lock=True)
    if locked is not None and locked.state is State.RUNNING:
        _end(conn, locked, State.CANCELED, now)


def _find_next(conn: psycopg.Connection) -> tuple[UUID, UUID] | None:
    """The file that waited longest for its turn."""
    accounts = [record[0] for record in conn.execute("SELECT id FROM accounts")]
    found: list[tuple[datetime, UUID, UUID]] = []
    for members in placement(accounts):
        found += conn.execute(
            "SELECT worked_at, account_id, id FROM imports WHERE account_id = ANY(%s)"
            " AND ended_at IS NULL AND state = %s ORDER BY worked_at, id LIMIT 1",
            (list(members), State.RUNNING.value),
        ).fetchall()
    return min(found)[1:] if found else None


def _numbers(contacts: Sequence[ContactRow]) -> array[int]:
    return array(_NUMBER, [int(contact.mobile[1:]) for contact in contacts])


def _keep_refused(conn: psycopg.Connection, row: Import, refused: Sequence[RefusedRow]) -> None:
    kept = refused[: max(0, MAX_ERRORS - row.rows_failed)]
    if kept:
        conn.execute(
            "INSERT INTO import_errors (account_id, import_id, row, refused)"
            " SELECT %s, %s, u.row, u.refused FROM unnest(%s::int[], %s::jsonb[]) u(row, refused)",
            (row.account_id, row.id, [one.row for one in kept], [Jsonb(one) for one in kept]),
        )


def _end(conn: psycopg.Connection, row: Import, state: State, now: datetime) -> None:
    conn.execute(
        "UPDATE imports SET state = %s, worked_at = %s, ended_at = %s"
        " WHERE account_id = %s AND id = %s",
        (state.value, now, now, row.account_id, row.id),
    )
    drop_chunks(conn, row.account_id, row.id)
    if state is State.COMPLETE:
        log.info("import_complete", import_id=str(row.id), rows=row.rows)
