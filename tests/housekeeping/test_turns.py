"""viesti/housekeeping/turns.py: large works in small pieces, in turn."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from viesti.housekeeping.turns import Done, Key, Turns, Works
from viesti.kit.errors import Invalid
from viesti.kit.ids import new_id

Pool = ConnectionPool[psycopg.Connection]


class Desk:
    """Works of a number of pieces each; notes whose turn it was."""

    def __init__(self, left: dict[Key, int]) -> None:
        self.left = left
        self.turns: list[Key] = []
        self.broken: set[Key] = set()
        self.busy: set[Key] = set()
        self.told = threading.Event()

    def find(self, _conn: psycopg.Connection, _now: datetime) -> Sequence[Key]:
        return [key for key, left in self.left.items() if left]

    def piece(self, _conn: psycopg.Connection, account: UUID, work: UUID, _now: datetime) -> Done:
        key = (account, work)
        if key in self.broken:
            raise Invalid("It cannot be done.")
        if key in self.busy:
            return Done(False)
        self.left[key] -= 1
        self.turns.append(key)
        self.told.set()
        return Done(True, [("channel", str(work))])

    def turns_on(self, pool: Pool, woken: list[tuple[str, str]] | None = None) -> Turns:
        def wake(channel: str, payload: str) -> None:
            if woken is not None:
                woken.append((channel, payload))

        return Turns(pool, Works("test", "channel", self.find, self.piece), wake)


def test_accounts_take_turns_whatever_each_has_to_do(pool: Pool) -> None:
    large, small = new_id(), new_id()
    first, second, third = (large, new_id()), (large, new_id()), (small, new_id())
    desk = Desk({first: 4, second: 2, third: 2})
    turns = desk.turns_on(pool)
    while turns.run_round():
        pass
    assert [account for account, _ in desk.turns[:4]] == [large, small, large, small]
    assert desk.turns[0:4:2] == [first, second]
    assert desk.turns[4:] == [first, second, first, first]


def test_what_another_process_has_is_passed_over(pool: Pool) -> None:
    account = new_id()
    first, second = (account, new_id()), (account, new_id())
    desk = Desk({first: 1, second: 1})
    desk.busy.add(first)
    assert desk.turns_on(pool).run_round()
    assert desk.turns == [second]


def test_a_work_that_fails_does_not_keep_the_others(pool: Pool) -> None:
    broken, well = (new_id(), new_id()), (new_id(), new_id())
    desk = Desk({broken: 1, well: 2})
    desk.broken.add(broken)
    turns = desk.turns_on(pool)
    assert turns.run_round()
    assert turns.run_round()
    assert desk.turns == [well, well]
    assert not turns.run_round()  # it rests before it is tried again


def test_a_work_whose_statement_the_server_ends_does_not_keep_the_others(pool: Pool) -> None:
    endless, well = (new_id(), new_id()), (new_id(), new_id())
    desk = Desk({endless: 1, well: 2})

    def piece(conn: psycopg.Connection, account: UUID, work: UUID, now: datetime) -> Done:
        if (account, work) == endless:
            conn.execute("SET LOCAL statement_timeout = '5ms'")
            conn.execute("SELECT pg_sleep(10)")
        return desk.piece(conn, account, work, now)

    turns = Turns(pool, Works("test", "channel", desk.find, piece), lambda *_: None)
    assert turns.run_round()
    assert turns.run_round()
    assert desk.turns == [well, well]


def test_a_work_that_looks_like_an_outage_goes_last(pool: Pool) -> None:
    broken, well = (new_id(), new_id()), (new_id(), new_id())
    desk = Desk({broken: 1, well: 2})

    def piece(conn: psycopg.Connection, account: UUID, work: UUID, now: datetime) -> Done:
        if (account, work) == broken:
            raise psycopg.OperationalError("gone")
        return desk.piece(conn, account, work, now)

    turns = Turns(pool, Works("test", "channel", desk.find, piece), lambda *_: None)
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError):
            turns.run_round()
    assert desk.turns == [well, well]


def test_whom_a_piece_concerns_is_woken_after_it(pool: Pool) -> None:
    key = (new_id(), new_id())
    woken: list[tuple[str, str]] = []
    desk = Desk({key: 1})
    assert desk.turns_on(pool, woken).run_round()
    assert woken == [("channel", str(key[1]))]


@pytest.mark.parametrize("announced", [True, False])
def test_the_thread_finds_new_works_woken_or_not(pool: Pool, announced: bool) -> None:
    desk = Desk({})
    turns = desk.turns_on(pool)
    turns.start()
    try:
        key = (new_id(), new_id())
        desk.left = {key: 2}
        if announced:
            turns.wake()
        assert desk.told.wait(10)
    finally:
        turns.stop()
    assert desk.turns[0] == key
