"""Conversations are locked in one order, however many a call joins."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg

from tests.messaging_rig import Rig
from viesti.domain.messages.threads import ThreadTouch, join_threads
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id, new_ids


def test_a_bulk_call_and_a_small_one_do_not_wait_for_each_other_both(rig: Rig) -> None:
    contacts = new_ids(101)

    def touch(n: int, is_open: bool | None = None) -> ThreadTouch:
        return ThreadTouch(rig.lane_id, "+1", contacts[n], "+1", new_id(), is_open)

    with rig.pool.connection() as conn:
        opened = join_threads(conn, rig.account_id, [touch(0)], utc_now())
    with (
        rig.pool.connection() as holder,
        rig.pool.connection() as small,
        rig.pool.connection() as bulk,
        rig.pool.connection() as watcher,
        ThreadPoolExecutor(2) as threads,
    ):
        watcher.autocommit = True

        def join(conn: psycopg.Connection, touches: list[ThreadTouch]) -> int:
            conn.execute("SELECT 1")
            joined = join_threads(conn, rig.account_id, touches, utc_now())
            conn.commit()
            return sum(thread.started for thread in joined.values())

        def is_waiting(conn: psycopg.Connection) -> bool:
            query = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
            row = watcher.execute(query, (conn.info.backend_pid,)).fetchone()
            return row is not None and row[0]

        holder.execute(
            "SELECT 1 FROM conversations WHERE account_id = %s AND id = %s FOR UPDATE",
            (rig.account_id, next(iter(opened.values())).id),
        )
        one = threads.submit(join, small, [touch(0), touch(1)])
        while not is_waiting(small):
            time.sleep(0.01)
        many = [touch(0, True), *(touch(n, False) for n in range(1, 101))]
        two = threads.submit(join, bulk, many)
        while not is_waiting(bulk):
            time.sleep(0.01)
        holder.rollback()
        assert one.result(10) == 1
        assert two.result(10) == 99
