"""Totals under parallel inserts and deletions, before and after the housekeeping counted."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from viesti.domain.accounts.service import create_account
from viesti.domain.contacts import counts
from viesti.domain.contacts.counts import CountKeeper, count_rows, keep_count
from viesti.domain.contacts.models import ContactInput, MergeStrategy
from viesti.domain.contacts.service import create_contacts, delete_contact
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

Pool = ConnectionPool[psycopg.Connection]


def truth(conn: psycopg.Connection, account: UUID) -> int:
    row = conn.execute(
        "SELECT count(*) FROM contacts WHERE account_id = %s AND deleted_at IS NULL", (account,)
    ).fetchone()
    assert row is not None
    return int(row[0])


def add(conn: psycopg.Connection, account: UUID, first: int, many: int) -> list[UUID]:
    given = [ContactInput(mobile=f"+1212{2_000_000 + first + n}") for n in range(many)]
    made = create_contacts(conn, account, given, MergeStrategy.APPEND, utc_now())
    return [row.id for row in made.results if not hasattr(row, "error")]  # type: ignore[union-attr]


@pytest.fixture
def account(pool: Pool) -> UUID:
    with pool.connection() as conn:
        return create_account(conn, name="Counted", balance_micros=0, now=utc_now()).id


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are noted from the first row on, and what is a moment old is settled."""
    monkeypatch.setattr(counts, "WORTH_NOTING", 1)


def test_totals_hold_while_writers_and_the_housekeeping_run(
    pool: Pool, account: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "SETTLED", timedelta(seconds=1))
    done = threading.Event()
    wrong: list[tuple[int, int]] = []

    def write(number: int) -> None:
        for turn in range(8):
            with pool.connection() as conn:
                ids = add(conn, account, number * 10_000 + turn * 100, 20)
            with pool.connection() as conn:
                for one in ids[:5]:
                    delete_contact(conn, account, str(one), utc_now())

    def keep() -> None:
        keeper = CountKeeper()
        while not done.wait(0.02):
            with pool.connection() as conn:
                keeper(conn, utc_now())
            # Both counts in one snapshot, so that they can be compared while others write.
            with pool.connection() as conn:
                conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                counted = count_rows(conn, account, "contacts")
                if counted.total != truth(conn, account):
                    wrong.append((counted.total, truth(conn, account)))

    keeper = threading.Thread(target=keep)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in (keeper, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    keeper.join()
    assert wrong == []
    with pool.connection() as conn:
        for ahead in (0, 5, 100_000):
            keep_count(conn, account, "contacts", utc_now() + timedelta(seconds=ahead))
            assert count_rows(conn, account, "contacts").total == 3 * 8 * 15 == truth(conn, account)


def test_a_count_is_of_its_account_and_kind(conn: psycopg.Connection) -> None:
    now = utc_now()
    one, other = new_id(), new_id()
    for owner, many in ((one, 3), (other, 5)):
        for n in range(many):
            conn.execute(
                "INSERT INTO conversations (account_id, id, contact_id, sender_id, mobile, sender,"
                " created_at, updated_at) VALUES (%s, %s, %s, %s, %s, '', %s, %s)",
                (owner, new_id(), new_id(), new_id(), f"+{n}", now, now),
            )
    later = now + timedelta(minutes=2)
    for noted in (False, True):
        if noted:
            keep_count(conn, one, "conversations", later)
        assert count_rows(conn, one, "conversations").total == 3
        assert count_rows(conn, other, "conversations").total == 5
        assert count_rows(conn, one, "messages").total == 0


def test_a_daily_recount_heals_a_wrong_total(conn: psycopg.Connection) -> None:
    account = create_account(conn, name="Wrong", balance_micros=0, now=utc_now()).id
    ids = add(conn, account, 0, 12)
    delete_contact(conn, account, str(ids[0]), utc_now())
    now: datetime = utc_now() + timedelta(minutes=5)
    keep_count(conn, account, "contacts", now)
    conn.execute("UPDATE row_counts SET rows = rows + 7, removed = 3")
    assert count_rows(conn, account, "contacts").total == 16
    delete_contact(conn, account, str(ids[1]), utc_now())
    keep_count(conn, account, "contacts", now + timedelta(days=2))
    assert count_rows(conn, account, "contacts").total == 10
