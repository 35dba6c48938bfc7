"""viesti/db/pool.py, connections.py and signals.py."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import ConnectionPool

from viesti.db.connections import connect
from viesti.db.pool import Listener, notify, open_pool, retry_deadlocks
from viesti.kit.ids import new_id

Pool = ConnectionPool[psycopg.Connection]


def test_no_transaction_of_the_pool_can_last(pool: Pool) -> None:
    with pool.connection() as conn:
        for setting, limit in (
            ("statement_timeout", "30s"),
            ("idle_in_transaction_session_timeout", "30s"),
            ("transaction_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("application_name", "viesti test"),
        ):
            assert conn.execute("SELECT current_setting(%s)", (setting,)).fetchone() == (limit,)


def test_a_connection_commits_when_its_block_ends_well_and_else_rolls_back(pool: Pool) -> None:
    def add(key: str) -> None:
        with pool.connection() as conn:
            conn.execute("INSERT INTO platform (key, value) VALUES (%s, '1')", (key,))
            if key == "bad":
                raise RuntimeError

    add("good")
    with pytest.raises(RuntimeError):
        add("bad")
    with pool.connection() as conn:
        assert conn.execute("SELECT key FROM platform").fetchall() == [("good",)]


def test_the_pool_outlives_its_connections(pool: Pool) -> None:
    with pool.connection() as conn:
        pid = conn.info.backend_pid
    with pool.connection() as killer:
        killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    for _ in range(3):
        with pool.connection() as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
    assert pid


def test_both_sides_of_a_deadlock_get_through(dsn: str) -> None:
    first, second = new_id(), new_id()
    pool = open_pool(dsn, 2, 2, "test")
    with pool.connection() as conn:
        for key in (first, second):
            conn.execute("INSERT INTO balances VALUES (%s, 0, 0, now())", (key,))
    meet = threading.Barrier(2)
    attempts: list[int] = []

    @retry_deadlocks
    def add(keys: tuple[UUID, UUID]) -> None:
        attempts.append(1)
        with pool.connection() as conn:
            for key in keys:
                conn.execute(
                    "UPDATE balances SET available_micros = available_micros + 1"
                    " WHERE account_id = %s",
                    (key,),
                )
                if len(attempts) <= 2 and key == keys[0]:
                    meet.wait(5)

    threads = [
        threading.Thread(target=add, args=(keys,)) for keys in ((first, second), (second, first))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pool.connection() as conn:
        rows = conn.execute("SELECT available_micros FROM balances").fetchall()
    pool.close()
    assert rows == [(2,), (2,)]
    assert len(attempts) == 3


def test_what_always_fails_fails_in_the_end() -> None:
    calls: list[int] = []

    @retry_deadlocks
    def work() -> None:
        calls.append(1)
        raise errors.SerializationFailure

    with pytest.raises(errors.SerializationFailure):
        work()
    assert len(calls) == 5


def test_other_errors_are_not_retried() -> None:
    calls: list[int] = []

    @retry_deadlocks
    def work() -> None:
        calls.append(1)
        raise errors.UniqueViolation

    with pytest.raises(errors.UniqueViolation):
        work()
    assert len(calls) == 1


class Heard:
    """A listener's calls, to be waited for."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[str, str]] = queue.Queue()

    def __call__(self, channel: str, payload: str) -> None:
        self.calls.put((channel, payload))

    def take(self) -> list[tuple[str, str]]:
        """All calls so far."""
        return [self.calls.get() for _ in range(self.calls.qsize())]

    def wait(self, wanted: Callable[[tuple[str, str]], bool]) -> tuple[str, str]:
        deadline = time.monotonic() + 20
        while True:
            call = self.calls.get(timeout=deadline - time.monotonic())
            if wanted(call):
                return call


def test_a_listener_hears_what_is_notified(dsn: str, conn: psycopg.Connection) -> None:
    heard = Heard()
    listener = Listener(dsn, ["lanes", "events"], heard, poll_s=0.2)
    listener.start()
    heard.wait(lambda call: call == ("", ""))  # its first look
    notify(conn, "events", "hint")
    assert heard.wait(lambda call: call[0] != "") == ("events", "hint")
    listener.stop()


def test_a_listener_looks_even_when_nothing_is_notified(dsn: str) -> None:
    heard = Heard()
    listener = Listener(dsn, ["lanes"], heard, poll_s=0.05)
    listener.start()
    for _ in range(3):
        heard.wait(lambda call: call == ("", ""))
    listener.stop()


def test_a_listener_comes_back_after_its_connection_was_cut(
    dsn: str, conn: psycopg.Connection
) -> None:
    heard = Heard()
    listener = Listener(dsn, ["lanes"], heard, name="cut me", poll_s=0.05)
    listener.start()
    heard.wait(lambda call: call == ("", ""))
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
    assert conn.execute(cut, ("viesti cut me",)).fetchall() == [(True,)]
    conn.commit()
    deadline = time.monotonic() + 20
    while ("lanes", "back") not in heard.take():
        assert time.monotonic() < deadline
        notify(conn, "lanes", "back")
        time.sleep(0.02)
    listener.stop()


def test_notify_never_rides_in_a_transaction(dsn: str) -> None:
    with connect(dsn, "test") as conn:
        conn.execute("SELECT 1")
        with pytest.raises(RuntimeError):
            notify(conn, "lanes")
