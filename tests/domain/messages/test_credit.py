"""viesti/domain/messages: texts that wait for credit (scenario 9)."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import psycopg
from psycopg_pool import ConnectionPool

from tests.messaging_rig import PRICE_MICROS, Rig
from viesti.domain.accounts.service import top_up
from viesti.domain.messages.credit import release_all_credited
from viesti.domain.messages.expiry import expire_waiting
from viesti.domain.messages.parked import release_suspended
from viesti.domain.messages.progress import advance
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

LONG = "x" * 400


def _set_balance(rig: Rig, micros: int) -> None:
    rig.run("UPDATE balances SET available_micros = %s", micros)
    rig.run("UPDATE ledger SET amount_micros = %s WHERE kind = 'opening'", micros)


def _top_up(rig: Rig, micros: int) -> None:
    with rig.pool.connection() as conn:
        top_up(conn, rig.account_id, micros, now=utc_now())
        steps, _ = release_suspended(conn, rig.account_id, utc_now())
        advance(conn, steps)


def _expire(rig: Rig, now: datetime) -> None:
    with rig.pool.connection() as conn:
        expire_waiting(conn, now)


def test_what_the_balance_does_not_reach_waits_and_goes_after_a_top_up(rig: Rig) -> None:
    _set_balance(rig, 130_000)
    messages = [rig.send_one(f"Text {n}", f"+1347555{n:04}") for n in range(200, 210)]
    states = [rig.status(message)[0] for message in messages]
    assert states == ["queued"] * 4 + ["suspended"] * 6
    assert rig.balance()[0] == 2_000
    rig.check_books()
    _top_up(rig, 10_000_000)
    assert {rig.status(message) for message in messages} == {("queued", None)}
    assert len(rig.read()) == 10
    rig.check_books()


def test_an_account_whose_oldest_text_is_too_dear_does_not_keep_others_waiting(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    stuck = Rig(pool).set_up(balance_micros=0)
    stuck.send_one(LONG)
    stuck.send_one("Short")
    _set_balance(stuck, PRICE_MICROS)
    other = Rig(pool).set_up("+12015550100", balance_micros=0)
    waiting = other.send_one("Other")
    other.run(
        "UPDATE balances SET available_micros = %s WHERE account_id = %s",
        PRICE_MICROS,
        other.account_id,
    )
    with pool.connection() as conn:
        assert release_all_credited(conn, utc_now())
    assert other.status(waiting) == ("queued", None)
    with pool.connection() as conn:
        assert not release_all_credited(conn, utc_now())
    assert len(stuck.rows("SELECT 1 FROM parked_messages")) == 2


def test_credit_does_not_open_a_closed_window(rig: Rig) -> None:
    _set_balance(rig, 0)
    message = rig.send_one()
    later = utc_now() + timedelta(hours=5)
    rig.run("UPDATE messages SET send_at = %s WHERE id = %s", later, message)
    _top_up(rig, 1_000_000)
    assert rig.read() == []
    assert rig.rows("SELECT not_before FROM dispatch_queue") == [(later,)]
    rig.check_books()


def test_parallel_sends_never_take_the_balance_below_zero(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    rig = Rig(pool).set_up(balance_micros=130_000)
    barrier = threading.Barrier(6)

    def send(n: int) -> None:
        barrier.wait()
        for m in range(2):
            rig.send_one(f"Text {n} {m}", f"+1347555{n:02}{m:02}")

    threads = [threading.Thread(target=send, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rig.balance() == (2_000, 4 * PRICE_MICROS)
    counts = rig.rows("SELECT status, count(*) FROM messages GROUP BY 1 ORDER BY 1")
    assert counts == [("queued", 4), ("suspended", 8)]
    rig.check_books()


def test_without_a_top_up_it_ends_after_72_hours_and_costs_nothing(rig: Rig) -> None:
    _set_balance(rig, 0)
    message = rig.send_one()
    _expire(rig, utc_now() + timedelta(hours=71))
    assert rig.status(message) == ("suspended", "ACCT-006")
    _expire(rig, utc_now() + timedelta(hours=73))
    assert rig.status(message) == ("error", "ACCT-006")
    assert rig.rows("SELECT price_micros FROM messages") == [(0,)]
    assert rig.balance() == (0, 0)
    _top_up(rig, 1_000_000)
    assert rig.read() == []
    rig.check_books()


def test_a_stop_that_races_a_top_up_leaves_nothing_reserved(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    rig = Rig(pool).set_up(balance_micros=0)
    messages = [rig.send_one(f"Text {n}", f"+1347555{n:04}") for n in range(300, 312)]
    barrier = threading.Barrier(2)

    def stop() -> None:
        barrier.wait()
        for n in range(300, 312):
            rig.text("STOP", source=f"+1347555{n:04}", session_id=new_id())

    thread = threading.Thread(target=stop)
    thread.start()
    barrier.wait()
    _top_up(rig, 5_000_000)
    thread.join()
    _top_up(rig, 5_000_000)
    assert {rig.status(message) for message in messages} <= {
        ("error", "CONT-010"),
        ("queued", None),
    }
    rig.check_books()
