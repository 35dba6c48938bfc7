"""Takes an uploaded contact file: a small one at once, a large one into the database's hands.

Called by the API and the command line, in a thread of their own. A file is read while it
arrives and never held whole. A large one is stored in several transactions, which the caller's
``transact`` runs and commits; it counts from the last of them on, and leaves nothing if it
breaks off before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

import psycopg
import structlog

from viesti.domain.contacts.models import MergeStrategy
from viesti.domain.imports.apply import Imported, import_now
from viesti.domain.imports.charset import UNREADABLE, read_text
from viesti.domain.imports.columns import Columns, has_mobile, read_header
from viesti.domain.imports.models import (
    CHUNK_CHARS,
    CHUNK_ROWS,
    INLINE_CHARS,
    INLINE_ROWS,
    Chunk,
    Import,
)
from viesti.domain.imports.queries import find_import
from viesti.domain.imports.records import Record, read_records
from viesti.domain.imports.store import (
    add_chunk,
    begin_import,
    drop_upload,
    finish_upload,
    pack,
)
from viesti.kit.clock import utc_now
from viesti.kit.errors import Invalid, TooLarge, Unavailable

log = structlog.get_logger()

R = TypeVar("R")


class Transact(Protocol):
    """Runs ``work`` in a transaction of its own, commits it, and gives its result."""

    def __call__(self, work: Callable[[psycopg.Connection], R]) -> R: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may have, the header aside."""

    max_octets: int
    max_rows: int


class Upload:
    """One file on its way in. ``strategy`` may be set until the last octet was read."""

    def __init__(
        self, transact: Transact, account_id: UUID, limits: Limits, strategy: MergeStrategy
    ) -> None:
        self.strategy = strategy
        self._transact = transact
        self._account_id = account_id
        self._limits = limits
        self._octets = 0
        self._import_id: UUID | None = None

    def take(self, octets: Iterator[bytes], charset: str = "") -> Imported | Import:
        """The result of a small file, or the accepted import of a large one.

        ``octets`` may raise what it likes: then nothing of the file stays. Raises Invalid
        (IMP-001, IMP-002), UnsupportedMedia (GEN-415), TooLarge (GEN-413), Conflict (IMP-003).
        """
        try:
            return self._take(octets, charset)
        except BaseException:
            self._drop()
            raise

    def _take(self, octets: Iterator[bytes], charset: str) -> Imported | Import:
        header, records = read_records(read_text(self._measured(octets), charset), has_mobile)
        columns = read_header(header)
        country = self._transact(lambda conn: _default_country(conn, self._account_id))
        waiting: list[Chunk] = []
        chars = rows = 0
        for chunk, chunk_chars in _chunks(records):
            chars += chunk_chars
            rows += len(chunk.rows)
            if rows > self._limits.max_rows:
                raise TooLarge(f"A file may have at most {self._limits.max_rows} rows; split it.")
            waiting.append(chunk)
            if self._import_id is not None or rows > INLINE_ROWS or chars > INLINE_CHARS:
                self._store(waiting, columns, country)
                waiting.clear()
        if not rows:
            raise Invalid("The file has a header and no rows.", UNREADABLE)
        if self._import_id is not None:
            return self._finish(self._import_id)
        return self._transact(
            lambda conn: import_now(
                conn, self._account_id, columns, country, waiting, self.strategy, utc_now()
            )
        )

    def _measured(self, octets: Iterator[bytes]) -> Iterator[bytes]:
        for piece in octets:
            self._octets += len(piece)
            if self._octets > self._limits.max_octets:
                mebibytes = self._limits.max_octets // 2**20
                raise TooLarge(f"A file may have at most {mebibytes} MiB; split it.")
            if piece:
                yield piece

    def _store(self, chunks: list[Chunk], columns: Columns, country: str) -> None:
        account_id = self._account_id
        if self._import_id is None:
            self._import_id = self._transact(
                lambda conn: begin_import(conn, account_id, columns, country, utc_now())
            )
        import_id = self._import_id
        for chunk in chunks:
            body = pack(chunk)

            def add(conn: psycopg.Connection, chunk: Chunk = chunk, body: bytes = body) -> None:
                add_chunk(conn, account_id, import_id, chunk, body, utc_now())

            self._transact(add)

    def _finish(self, import_id: UUID) -> Import:
        def finish(conn: psycopg.Connection) -> Import:
            finish_upload(conn, self._account_id, import_id, self.strategy, self._octets, utc_now())
            row = find_import(conn, self._account_id, import_id)
            assert row is not None
            return row

        return self._transact(finish)

    def _drop(self) -> None:
        import_id = self._import_id
        if import_id is None:
            return
        try:
            self._transact(lambda conn: drop_upload(conn, self._account_id, import_id))
        except (psycopg.Error, Unavailable) as error:
            # ``drop_stale`` forgets it later; the first error is the one to tell.
            log.warning("upload_not_dropped", import_id=str(import_id), error=type(error).__name__)


def _chunks(records: Iterator[Record]) -> Iterator[tuple[Chunk, int]]:
    """The records in chunks, each with its size in characters."""
    rows: list[Record] = []
    first_row, chars = 1, 0
    for record in records:
        rows.append(record)
        # Empty cells take room, too.
        chars += sum(map(len, record)) + len(record)
        if len(rows) == CHUNK_ROWS or chars >= CHUNK_CHARS:
            yield Chunk(first_row, rows), chars
            first_row += len(rows)
            rows, chars = [], 0
    if rows:
        yield Chunk(first_row, rows), chars


def _default_country(conn: psycopg.Connection, account_id: UUID) -> str:
    record = conn.execute(
        "SELECT default_country FROM accounts WHERE id = %s", (account_id,)
    ).fetchone()
    return record[0] if record else ""
