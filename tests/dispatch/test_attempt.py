"""The start of an attempt: conditional, and the last moment at which consent counts."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import psycopg
import pytest

from tests.messaging_rig import HANDSET, PRICE_MICROS, Rig
from viesti.carriers.base import Verdict
from viesti.dispatch.attempt import Start, Started, start
from viesti.dispatch.texts import Text
from viesti.domain.messages.progress import advance
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

LONG = "a" * 400


def attempt(rig: Rig, texts: Sequence[Text], *, me: object = None) -> Started:
    with rig.pool.connection() as conn:
        started = start(
            conn,
            [Start(text, text.next_mask(16)) for text in texts],
            me or rig.me,  # type: ignore[arg-type]
            utc_now(),
        )
        advance(conn, started.steps)
    return started


def opt_out(rig: Rig, mobile: str = HANDSET) -> None:
    rig.run(
        "INSERT INTO opt_outs (account_id, mobile, source, at) VALUES (%s, %s, %s, now())",
        rig.account_id,
        mobile,
        "keyword",
    )


def test_a_start_is_noted_in_the_row_and_brings_the_segments(rig: Rig) -> None:
    message_id = rig.send_one(LONG)
    (text,) = rig.read()
    started = attempt(rig, [text])
    assert [wish.mask for wish in started.granted] == [0b111]
    assert len(text.parts) == 3
    assert text.sender
    assert rig.rows(
        "SELECT started, answered, claimed_by FROM dispatch_queue WHERE message_id = %s",
        message_id,
    ) == [(0b111, 0, rig.me)]


def test_what_somebody_else_started_is_lost_to_us(rig: Rig) -> None:
    rig.send_one()
    (mine,), (theirs,) = rig.read(), rig.read()
    assert attempt(rig, [theirs], me=new_id()).granted
    started = attempt(rig, [mine])
    assert started.gone == [mine]
    assert not started.granted
    assert not started.again


def test_what_is_not_in_the_queue_any_more_is_gone(rig: Rig) -> None:
    rig.send_one()
    (text,) = rig.read()
    rig.run("DELETE FROM dispatch_queue")
    assert attempt(rig, [text]).gone == [text]


def test_a_start_of_ours_whose_commit_was_in_doubt_is_undone_and_tried_again(rig: Rig) -> None:
    rig.send_one()
    (text,) = rig.read()
    assert attempt(rig, [text]).granted  # committed, but nobody told us: started stays 0 here
    again = attempt(rig, [text])
    assert again.again == [text]
    assert not again.granted
    assert attempt(rig, [text]).granted


def test_an_opt_out_between_accept_and_start_ends_the_text_without_cost(rig: Rig) -> None:
    before = rig.balance()
    message_id = rig.send_one()
    (text,) = rig.read()
    assert rig.balance() == (before[0] - PRICE_MICROS, PRICE_MICROS)
    opt_out(rig)
    started = attempt(rig, [text])
    assert started.gone == [text]
    assert not started.granted
    assert rig.status(message_id) == ("error", "CONT-010")
    assert rig.balance() == before
    assert rig.rows("SELECT count(*) FROM dispatch_queue") == [(0,)]
    rig.check_books()


def test_a_consent_reply_goes_out_all_the_same(rig: Rig) -> None:
    rig.send_one()
    rig.run("UPDATE dispatch_queue SET consent_reply = true")
    (text,) = rig.read()
    opt_out(rig)
    assert attempt(rig, [text]).granted


def test_an_opt_out_ends_what_is_left_of_a_text_that_began(rig: Rig) -> None:
    message_id = rig.send_one(LONG)
    (text,) = rig.read()
    assert rig.start(text, 0b001)
    opt_out(rig)
    # One segment is under way: its answer is awaited before the text ends.
    assert attempt(rig, [text]).gone == [text]
    assert rig.status(message_id)[0] == "queued"
    rig.answer([(text, 0, Verdict.ACCEPTED, "id-0")])
    (text,) = rig.read()
    attempt(rig, [text])
    assert rig.status(message_id) == ("error", "CONT-010")
    rig.check_books()


def test_one_refused_text_does_not_keep_the_others_of_its_batch(rig: Rig) -> None:
    numbers = [f"+1347555{n:04d}" for n in range(10)]
    for number in numbers:
        rig.send_one(mobile=number)
    opt_out(rig, numbers[3])
    texts = rig.read()
    started = attempt(rig, texts)
    assert {wish.text.mobile for wish in started.granted} == set(numbers) - {numbers[3]}
    assert [text.mobile for text in started.gone] == [numbers[3]]


@pytest.mark.parametrize("first", ["stop", "start", "together"])
def test_a_stop_that_races_a_start_wins_or_comes_too_late_but_never_both(
    rig: Rig, dsn: str, first: str
) -> None:
    message_id = rig.send_one()
    (text,) = rig.read()
    barrier = threading.Barrier(2)
    granted: list[bool] = []

    def begin() -> None:
        with psycopg.connect(dsn) as conn:
            if first != "stop":
                started = start(conn, [Start(text, 1)], rig.me, utc_now())
            barrier.wait(5)
            if first == "stop":
                started = start(conn, [Start(text, 1)], rig.me, utc_now())
            advance(conn, started.steps)
            conn.commit()
            granted.append(bool(started.granted))

    thread = threading.Thread(target=begin)
    if first == "stop":
        rig.text("STOP")
        thread.start()
        barrier.wait(5)
    else:
        thread.start()
        barrier.wait(5)
        rig.text("STOP")
    thread.join(10)
    status = rig.status(message_id)
    if granted[0]:
        # It had started: it leaves, and its row is still there to be answered.
        assert status == ("queued", None)
        text.started = 1
        rig.answer([(text, 0, Verdict.ACCEPTED, "id-0")])
        assert rig.status(message_id)[0] == "sent"
    else:
        assert status == ("error", "CONT-010")
    assert granted[0] is (first != "stop")
    rig.check_books()
