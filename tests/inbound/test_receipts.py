"""viesti/inbound/receipts.py: from receipts to the state of messages (scenario 15)."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import HANDSET, PRICE_MICROS, SENDER, Rig
from viesti.carriers.base import Receipt, ReceiptState, Verdict
from viesti.inbound.sweeps import rematch_early
from viesti.kit.clock import utc_now

LONG = "x" * 400  # three segments

DELIVERED = ReceiptState.DELIVERED
UNDELIVERABLE = ReceiptState.UNDELIVERABLE


def test_a_text_is_delivered_by_its_receipt(rig: Rig) -> None:
    message = rig.submit("abc1")
    assert rig.status(message) == ("sent", None)
    assert rig.receipt("abc1").has_events
    assert rig.status(message) == ("delivered", None)
    assert rig.events().count("message-sent") == 1
    assert rig.events().count("message-status") == 1
    assert rig.balance() == (10_000_000 - PRICE_MICROS, 0)


@pytest.mark.parametrize("order", list(permutations(("a1", "a2", "a3"))))
def test_a_long_text_is_delivered_once_when_all_segments_are(
    rig: Rig, order: tuple[str, ...]
) -> None:
    message = rig.submit("a1", "a2", "a3", text=LONG)
    for number, word in enumerate(order):
        assert rig.status(message)[0] == "sent"
        rig.receipt(word)
        assert (rig.status(message)[0] == "delivered") == (number == 2)
    assert rig.events().count("message-status") == 1
    rig.check_books()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_one_failed_segment_fails_the_text_in_any_order(rig: Rig, order: tuple[int, ...]) -> None:
    message = rig.submit("a1", "a2", "a3", text=LONG)
    for number in order:
        rig.receipt(f"a{number + 1}", UNDELIVERABLE if number == 1 else DELIVERED)
    assert rig.status(message) == ("error", "MSG-019")
    # It stays charged: the carrier took it.
    assert rig.balance() == (10_000_000 - 3 * PRICE_MICROS, 0)
    rig.check_books()


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (ReceiptState.UNDELIVERABLE, "MSG-019"),
        (ReceiptState.DELETED, "MSG-019"),
        (ReceiptState.EXPIRED, "MSG-026"),
        (ReceiptState.REJECTED, "MSG-023"),
    ],
)
def test_each_final_state_has_its_code(rig: Rig, state: ReceiptState, code: str) -> None:
    message = rig.submit("abc1")
    rig.receipt("abc1", state)
    assert rig.status(message) == ("error", code)


@pytest.mark.parametrize("state", [ReceiptState.ENROUTE, ReceiptState.ACCEPTED])
def test_passing_states_change_nothing_and_hide_nothing(rig: Rig, state: ReceiptState) -> None:
    message = rig.submit("abc1")
    rig.receipt("abc1", state)
    assert rig.status(message) == ("sent", None)
    rig.receipt("abc1")
    rig.receipt("abc1", state)
    assert rig.status(message) == ("delivered", None)
    assert rig.events().count("message-status") == 1


def test_late_and_repeated_receipts_change_nothing(rig: Rig) -> None:
    message = rig.submit("abc1")
    rig.receipt("abc1")
    rig.receipt("abc1")
    rig.receipt("abc1", UNDELIVERABLE)
    assert rig.status(message) == ("delivered", None)
    assert rig.events().count("message-status") == 1
    rig.check_books()


def test_a_batch_holds_receipts_of_many_texts_and_repeats(rig: Rig) -> None:
    messages = [rig.submit(f"b{n}", text=f"text {n}") for n in range(5)]
    arrivals = [
        rig.arrival(receipt=Receipt(f"b{n % 5}", DELIVERED, "000")) for n in (0, 1, 2, 3, 4, 0, 3)
    ]
    rig.take(*arrivals)
    assert {rig.status(message)[0] for message in messages} == {"delivered"}
    assert rig.events().count("message-status") == 5


def test_a_receipt_that_overtakes_its_answer_is_kept_and_matched(rig: Rig) -> None:
    message = rig.send_one()
    out = rig.read()[0]
    rig.start(out)
    rig.receipt("early1")
    assert rig.status(message) == ("queued", None)
    rig.answer([(out, 0, Verdict.ACCEPTED, "early1")])
    assert rig.status(message) == ("delivered", None)
    assert rig.events().count("message-sent") == 1
    rig.check_books()


@pytest.mark.parametrize("source", ["13475550199", "3475550199", "0013475550199", "+13475550199"])
@pytest.mark.parametrize("early", [True, False])
def test_any_spelling_of_the_number_agrees(rig: Rig, source: str, early: bool) -> None:
    if early:
        rig.receipt("abc1", source=source)
    message = rig.submit("abc1")
    if not early:
        rig.receipt("abc1", source=source)
    assert rig.status(message)[0] == "delivered"


def test_a_receipt_for_another_number_is_not_for_this_text(rig: Rig) -> None:
    message = rig.submit("abc1")
    rig.receipt("abc1", source="+13475550142")
    assert rig.status(message)[0] == "sent"


def test_a_receipt_may_name_the_addresses_as_the_submit_did(rig: Rig) -> None:
    message = rig.submit("abc1")
    assert rig.receipt("abc1", source=SENDER, destination=HANDSET).unroutable == 0
    assert rig.status(message)[0] == "delivered"


def test_the_sender_is_found_without_its_plus(rig: Rig) -> None:
    message = rig.submit("abc1")
    rig.receipt("abc1", destination="13475550101")
    assert rig.status(message)[0] == "delivered"


@pytest.mark.parametrize(
    ("id_format", "answered", "receipt_id"),
    [
        ("hex-dec", "0A1B", "2587"),
        ("dec-hex", "2587", "0A1B"),
        ("same", "0A1B", "0a1b"),
        ("auto", "0A1B", "2587"),
        ("auto", "2587", "0A1B"),
        ("auto", "0A1B", "0A1B"),
        ("auto", "8f14e45f-ceea-467f-9b3c-2d1f6b8f0a11", "8F14E45F-CEEA-467F-9B3C-2D1F6B8F0A11"),
    ],
)
def test_ids_meet_in_every_spelling(
    rig: Rig, id_format: str, answered: str, receipt_id: str
) -> None:
    message = rig.submit(answered)
    rig.receipt(receipt_id, id_format=id_format)
    assert rig.status(message)[0] == "delivered"


def test_auto_learns_the_spelling_and_uses_it(rig: Rig) -> None:
    rig.run("UPDATE carriers SET id_format = 'auto' WHERE id = %s", rig.carrier_id)
    for number in range(0x1000, 0x1005):
        rig.submit(f"{number:X}", text=f"text {number}")
        rig.receipt(str(number), id_format="auto")
    learned = "SELECT learned_id_format FROM carrier_state WHERE carrier_id = %s"
    assert rig.rows(learned, rig.carrier_id) == [("hex-dec",)]


def test_auto_learns_nothing_from_ids_that_read_the_same(rig: Rig) -> None:
    for number in range(6):
        rig.submit(f"id-{number}-z", text=f"text {number}")
        rig.receipt(f"id-{number}-z", id_format="auto")
    assert rig.rows("SELECT * FROM carrier_state") == []


def test_a_lesson_that_proves_wrong_is_dropped(rig: Rig) -> None:
    rig.run("UPDATE carriers SET id_format = 'auto' WHERE id = %s", rig.carrier_id)
    rig.run(
        "INSERT INTO carrier_state (carrier_id, learned_id_format, updated_at)"
        " VALUES (%s, 'hex-dec', now())",
        rig.carrier_id,
    )
    message = rig.submit("2587")
    rig.receipt("2587", id_format="hex-dec")
    assert rig.status(message)[0] == "sent"
    _sweep(rig, 2)
    assert rig.status(message)[0] == "delivered"
    assert rig.rows("SELECT learned_id_format FROM carrier_state") == [(None,)]


def test_an_early_receipt_in_another_spelling_is_matched_by_the_sweep(rig: Rig) -> None:
    rig.run("UPDATE carriers SET id_format = 'auto' WHERE id = %s", rig.carrier_id)
    rig.receipt("2587", id_format="auto")
    message = rig.submit("0A1B")
    assert rig.status(message)[0] == "sent"
    _sweep(rig, 2)
    assert rig.status(message)[0] == "delivered"
    assert rig.rows("SELECT count(*) FROM message_segments WHERE message_id IS NULL") == [(0,)]
    _sweep(rig, 3)
    assert rig.events().count("message-status") == 1
    rig.check_books()


def test_a_receipt_settles_the_only_held_text(rig: Rig) -> None:
    message, _ = rig.hold()
    assert rig.status(message)[0] == "held"
    rig.receipt("whatever")
    assert rig.status(message) == ("delivered", None)
    assert rig.rows("SELECT count(*) FROM parked_messages") == [(0,)]
    rig.receipt("whatever")
    assert rig.balance() == (10_000_000 - PRICE_MICROS, 0)
    rig.check_books()


def test_a_held_text_is_settled_when_its_receipt_came_before_the_hold(rig: Rig) -> None:
    message = rig.send_one()
    out = rig.read()[0]
    rig.start(out)
    rig.receipt("lost-answer")
    rig.answer([(out, 0, Verdict.UNKNOWN, "")])
    assert rig.status(message)[0] == "held"
    _sweep(rig, 2)
    assert rig.status(message)[0] == "delivered"
    rig.check_books()


def test_a_failure_receipt_settles_a_held_text_as_taken_and_failed(rig: Rig) -> None:
    message, _ = rig.hold()
    rig.receipt("whatever", UNDELIVERABLE)
    assert rig.status(message) == ("error", "MSG-019")
    assert rig.rows("SELECT count(*) FROM parked_messages") == [(0,)]
    rig.check_books()


def test_two_held_texts_to_one_number_are_never_guessed_apart(rig: Rig) -> None:
    messages = [rig.hold(f"text {n}")[0] for n in range(2)]
    rig.receipt("whatever")
    assert {rig.status(message)[0] for message in messages} == {"held"}


def test_the_echoed_reference_tells_held_texts_apart(rig: Rig) -> None:
    first, _ = rig.hold("text 1")
    second, out = rig.hold("text 2")
    rig.receipt("whatever", reference=out.reference(0))
    assert rig.status(first)[0] == "held"
    assert rig.status(second)[0] == "delivered"
    rig.check_books()


def test_a_held_text_goes_on_with_segments_that_never_started(rig: Rig) -> None:
    message = rig.send_one(LONG)
    out = rig.read()[0]
    rig.start(out, 0b001)
    rig.answer([(out, 0, Verdict.UNKNOWN, "")])
    taken = rig.receipt("first-part")
    assert taken.lanes == [rig.lane_id]
    assert rig.status(message)[0] == "queued"
    again = rig.read()[0]
    assert (again.started, again.answered) == (0b001, 0b001)
    assert rig.start(again)
    rig.answer([(again, n, Verdict.ACCEPTED, f"part-{n}") for n in (1, 2)])
    rig.receipt("part-1")
    rig.receipt("part-2")
    assert rig.status(message)[0] == "delivered"
    rig.check_books()


def test_a_failed_segment_keeps_the_rest_of_its_text_back(rig: Rig) -> None:
    message = rig.send_one(LONG)
    out = rig.read()[0]
    rig.start(out, 0b001)
    rig.answer([(out, 0, Verdict.ACCEPTED, "part-0")])
    rig.receipt("part-0", UNDELIVERABLE)
    assert rig.status(message) == ("error", "MSG-019")
    assert not rig.start(out)
    assert rig.read() == []
    rig.check_books()


@pytest.mark.parametrize("habit", ["first", "last"])
def test_one_receipt_speaks_for_all_segments_where_the_carrier_says_so(
    pool: ConnectionPool[psycopg.Connection], habit: str
) -> None:
    rig = Rig(pool, receipts=habit).set_up()
    message = rig.send_one(LONG)
    out = rig.read()[0]
    rig.start(out)
    rig.answer([(out, 0, Verdict.ACCEPTED, "p0")])
    rig.receipt("p0")
    # Two segments are still without an answer: their money is not settled yet.
    assert rig.status(message)[0] == "queued"
    rig.answer([(out, 1, Verdict.ACCEPTED, "p1"), (out, 2, Verdict.ACCEPTED, "p2")])
    assert rig.status(message)[0] == "delivered"
    assert rig.balance() == (10_000_000 - 3 * PRICE_MICROS, 0)
    rig.check_books()


def test_a_reused_id_belongs_to_the_newer_text(rig: Rig) -> None:
    old = rig.submit("again")
    rig.receipt("again")
    new = rig.submit("again", text="Another")
    rig.receipt("again", UNDELIVERABLE)
    assert rig.status(old)[0] == "delivered"
    assert rig.status(new) == ("error", "MSG-019")


def test_a_receipt_after_the_window_of_a_week_is_not_matched(rig: Rig) -> None:
    message = rig.submit("abc1")
    rig.run("UPDATE message_segments SET created_at = created_at - interval '8 days'")
    rig.receipt("abc1", UNDELIVERABLE)
    assert rig.status(message)[0] == "sent"


@pytest.mark.parametrize(
    "carrier_message_id", ["", "\0", "a\0b", "\ud800", "9" * 65, "f" * 60_000, "é", "' OR 1=1 --"]
)
def test_a_hostile_id_harms_no_other_receipt(rig: Rig, carrier_message_id: str) -> None:
    message = rig.submit("abc1")
    bad = Receipt(carrier_message_id, DELIVERED, "\0" * 1000)
    good = Receipt("abc1", DELIVERED, "000")
    rig.take(rig.arrival(receipt=bad), rig.arrival(receipt=good), id_format="auto")
    assert rig.status(message)[0] == "delivered"


def test_a_receipt_for_nobody_is_counted(rig: Rig) -> None:
    assert rig.receipt("abc1", destination="+12015550100", source="+12015550101").unroutable == 1


def _sweep(rig: Rig, seconds: float) -> None:
    with rig.pool.connection() as conn:
        rematch_early(conn, utc_now() + timedelta(seconds=seconds))
