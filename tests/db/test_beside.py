"""Statements in a thread, beside work of the caller's."""

from __future__ import annotations

import threading
from typing import NoReturn

import psycopg
import pytest

from viesti.db.beside import beside


def test_both_run_at_the_same_time_and_give_their_results(conn: psycopg.Connection) -> None:
    meeting = threading.Barrier(2, timeout=10)

    def statements() -> object:
        meeting.wait()
        return conn.execute("SELECT 1").fetchone()

    assert beside(statements, meeting.wait)[0] == (1,)


def test_the_connection_is_free_again_when_either_fails(conn: psycopg.Connection) -> None:
    def fail() -> NoReturn:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        beside(lambda: conn.execute("SELECT pg_sleep(0.1)"), fail)
    assert conn.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS
    with pytest.raises(psycopg.errors.DivisionByZero):
        beside(lambda: conn.execute("SELECT 1 / 0"), lambda: None)
