"""An account and the way its files go in and are worked off, without the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from viesti.domain.accounts.service import create_account
from viesti.domain.contacts.models import MergeStrategy
from viesti.domain.imports.apply import Imported
from viesti.domain.imports.intake import Limits, Upload
from viesti.domain.imports.models import Import
from viesti.domain.imports.queries import find_import
from viesti.domain.imports.work import Importer
from viesti.kit.clock import utc_now

R = TypeVar("R")


@dataclass
class Desk:
    """One account's files; ``importer`` is the ``work`` role's."""

    pool: ConnectionPool[psycopg.Connection]
    account_id: UUID
    limits: Limits = field(default_factory=lambda: Limits(10 * 2**20, 100_000))
    importer: Importer = field(default_factory=Importer)

    def transact(self, work: Callable[[psycopg.Connection], R]) -> R:
        with self.pool.connection() as conn:
            return work(conn)

    def take(
        self, pieces: Iterator[bytes], strategy: MergeStrategy = MergeStrategy.APPEND
    ) -> Imported | Import:
        return Upload(self.transact, self.account_id, self.limits, strategy).take(pieces)

    def take_job(self, text: str, strategy: MergeStrategy = MergeStrategy.APPEND) -> Import:
        taken = self.take(iter([text.encode()]), strategy)
        assert isinstance(taken, Import)
        return taken

    def work(self, pieces: int = 1_000_000) -> bool:
        """At most so many pieces; whether there is more to do."""
        more = True
        while more and pieces:
            more = self.transact(lambda conn: self.importer.piece(conn, utc_now()))
            pieces -= 1
        return more

    def find(self, row: Import) -> Import:
        found = self.transact(lambda conn: find_import(conn, row.account_id, row.id))
        assert found is not None
        return found

    def count(self, table: str) -> int:
        query = f"SELECT count(*) FROM {table} WHERE account_id = %s"
        return self.transact(
            lambda conn: conn.execute(query.encode(), (self.account_id,)).fetchone()[0]  # type: ignore[index]
        )


@pytest.fixture
def new_desk(pool: ConnectionPool[psycopg.Connection]) -> Callable[[], Desk]:
    def make() -> Desk:
        with pool.connection() as conn:
            account = create_account(conn, name="Importer", balance_micros=0, now=utc_now())
        return Desk(pool, account.id)

    return make


@pytest.fixture
def desk(new_desk: Callable[[], Desk]) -> Desk:
    return new_desk()
