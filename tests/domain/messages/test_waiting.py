"""viesti/domain/messages: parked texts, expiry, lanes, missing receipts."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import PRICE_MICROS, Rig
from viesti.carriers.base import Receipt, ReceiptState, Verdict
from viesti.domain.messages.expiry import expire_waiting, mark_missing_receipts
from viesti.domain.messages.lanes import sweep_lanes
from viesti.domain.messages.parked import hold_abandoned
from viesti.domain.messages.progress import advance
from viesti.kit.clock import utc_now
from viesti.kit.ids import bound_at, new_id

LONG = "x" * 400


def _expire(rig: Rig, now: datetime) -> None:
    with rig.pool.connection() as conn:
        expire_waiting(conn, now)


# Unknown outcomes


def test_a_held_text_ends_after_24_hours_and_its_money_comes_back(rig: Rig) -> None:
    message, _ = rig.hold()
    assert rig.balance() == (10_000_000 - PRICE_MICROS, PRICE_MICROS)
    _expire(rig, utc_now() + timedelta(hours=23))
    assert rig.status(message) == ("held", None)
    _expire(rig, utc_now() + timedelta(hours=25))
    assert rig.status(message) == ("error", "MSG-026")
    assert rig.balance() == (10_000_000, 0)
    rig.check_books()


def test_a_late_answer_settles_a_held_text(rig: Rig) -> None:
    message, out = rig.hold(LONG)
    for segment in range(3):
        assert rig.status(message)[0] == "held"
        rig.answer([(out, segment, Verdict.ACCEPTED, f"late-{segment}")])
    assert rig.status(message)[0] == "sent"
    rig.receipt("late-0")
    rig.receipt("late-1")
    rig.receipt("late-2")
    assert rig.status(message)[0] == "delivered"
    rig.check_books()


def test_a_late_refusal_ends_a_held_text(rig: Rig) -> None:
    message, out = rig.hold()
    rig.answer([(out, 0, Verdict.REFUSED, "MSG-023")])
    assert rig.status(message) == ("error", "MSG-023")
    assert rig.balance() == (10_000_000, 0)
    rig.check_books()


def test_a_receipt_of_one_segment_fails_a_text_whose_other_is_held(rig: Rig) -> None:
    message = rig.send_one("x" * 200)
    [out] = rig.read()
    rig.start(out)
    rig.receipt("p0", ReceiptState.EXPIRED)
    rig.answer([(out, 0, Verdict.ACCEPTED, "p0"), (out, 1, Verdict.UNKNOWN, "")])
    assert rig.status(message) == ("error", "MSG-026")
    rig.check_books()


def test_an_answer_that_is_applied_twice_counts_once(rig: Rig) -> None:
    message = rig.send_one(LONG)
    [out] = rig.read()
    rig.start(out)
    batch = [(out, n, Verdict.ACCEPTED, f"p{n}") for n in range(3)]
    rig.answer(batch[:2])
    out.answered = 0
    rig.answer(batch[:2])
    assert rig.status(message)[0] == "queued"
    rig.answer(batch[2:])
    out.answered = 0b011
    rig.answer(batch[2:])
    assert rig.status(message)[0] == "sent"
    assert rig.events().count("message-sent") == 1
    assert rig.balance() == (10_000_000 - 3 * PRICE_MICROS, 0)
    rig.check_books()


def test_a_takeover_holds_what_was_under_way_and_nothing_else(rig: Rig) -> None:
    under_way, waiting = rig.send_one("One"), rig.send_one("Two", "+13475550142")
    first = next(text for text in rig.read() if text.message_id == under_way)
    rig.start(first)
    with rig.pool.connection() as conn:
        steps = hold_abandoned(conn, rig.account_id, rig.lane_id, new_id(), (), utc_now())
        advance(conn, steps)
    assert rig.status(under_way)[0] == "held"
    assert rig.status(waiting)[0] == "queued"
    assert [text.message_id for text in rig.read()] == [waiting]
    rig.check_books()


def test_answers_and_receipts_that_race_meet_in_every_case(rig: Rig) -> None:
    """Two processes commit at once: the answers' and the receipts'. No receipt is lost."""
    count = 60
    messages = [rig.send_one(f"Text {n}", f"+1347555{n:04}") for n in range(400, 400 + count)]
    texts = {text.message_id: text for text in rig.read()}
    for text in texts.values():
        rig.start(text)
    barrier = threading.Barrier(2)

    def hear() -> None:
        barrier.wait()
        for n in range(0, count, 5):
            rig.take(
                *(
                    rig.arrival(
                        receipt=Receipt(f"race-{m}", ReceiptState.DELIVERED, "000"),
                        source=f"+1347555{400 + m:04}",
                    )
                    for m in reversed(range(n, n + 5))
                )
            )

    thread = threading.Thread(target=hear)
    thread.start()
    barrier.wait()
    for n in range(0, count, 5):
        rig.answer(
            [(texts[messages[m]], 0, Verdict.ACCEPTED, f"race-{m}") for m in range(n, n + 5)]
        )
    thread.join()
    assert {rig.status(message)[0] for message in messages} == {"delivered"}
    assert rig.events().count("message-sent") == count
    assert rig.balance() == (10_000_000 - count * PRICE_MICROS, 0)
    rig.check_books()


# Lanes


def test_a_lane_is_marked_again_when_a_waiting_text_comes_due(rig: Rig) -> None:
    rig.send_one()
    later = utc_now() + timedelta(hours=9)
    rig.run("UPDATE dispatch_queue SET not_before = %s", later)
    rig.run("UPDATE lanes SET active_until = NULL")
    marks = "SELECT active_until FROM lanes"
    with rig.pool.connection() as conn:
        sweep_lanes(conn, later - timedelta(seconds=1))
    assert rig.rows(marks) == [(None,)]
    with rig.pool.connection() as conn:
        sweep_lanes(conn, later + timedelta(seconds=1))
    [(until,)] = rig.rows(marks)
    assert until > later


def test_lanes_without_texts_stay_quiet(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        sweep_lanes(conn, utc_now())
    assert rig.rows("SELECT active_until FROM lanes") == [(None,)]


# Missing receipts


def _age(rig: Rig, message_id: UUID, made_at: datetime) -> UUID:
    """Make the message as old as ``made_at``: its id says when it was made."""
    old = UUID(int=bound_at(made_at).int | (message_id.int & (1 << 62) - 1))
    rig.run(
        "UPDATE messages SET id = %s, created_at = %s, updated_at = %s WHERE id = %s",
        old,
        made_at,
        made_at,
        message_id,
    )
    return old


def _mark(rig: Rig) -> None:
    more = True
    while more:
        with rig.pool.connection() as conn:
            more = mark_missing_receipts(conn, utc_now())


@pytest.mark.parametrize(("hours", "missing"), [(71, False), (73, True), (200, True)])
def test_a_text_without_receipt_is_marked_after_72_hours(
    rig: Rig, hours: int, missing: bool
) -> None:
    rig.run("UPDATE accounts SET created_at = now() - interval '300 hours'")
    now = utc_now()
    sent = _age(rig, rig.submit("abc1"), now - timedelta(hours=hours))
    delivered = rig.submit("abc2", text="Two")
    rig.receipt("abc2")
    delivered = _age(rig, delivered, now - timedelta(hours=hours))
    _mark(rig)
    marks = dict(rig.rows("SELECT id, receipt_missing FROM messages"))
    assert marks == {sent: missing, delivered: False}
    assert rig.status(sent) == ("sent", None)


def test_carriers_that_confirm_nothing_miss_nothing(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    rig = Rig(pool, receipts="none").set_up()
    rig.run("UPDATE accounts SET created_at = now() - interval '300 hours'")
    _age(rig, rig.submit("abc1"), utc_now() - timedelta(hours=100))
    _mark(rig)
    assert rig.rows("SELECT receipt_missing FROM messages") == [(False,)]


def test_the_look_goes_on_where_it_stopped(rig: Rig) -> None:
    rig.run("UPDATE accounts SET created_at = now() - interval '300 hours'")
    _mark(rig)
    cursors = dict(rig.rows("SELECT key, value FROM platform"))
    assert set(cursors) == {"receipts_missing", "receipts_missing_late"}
    _age(rig, rig.submit("abc1"), utc_now() - timedelta(hours=100))
    _mark(rig)
    # The first look has passed that moment; the later one will find it.
    assert rig.rows("SELECT receipt_missing FROM messages") == [(False,)]
