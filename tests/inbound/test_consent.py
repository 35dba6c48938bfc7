"""viesti/inbound/consent.py: STOP, START, HELP (scenarios 6 and 7)."""

from __future__ import annotations

import threading
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import HANDSET, PRICE_MICROS, Rig
from viesti.carriers.base import Verdict
from viesti.dispatch.texts import Text
from viesti.kit.ids import new_id

BLOCKED = ("error", "CONT-010")
TOLL_FREE = "+18885550100"


def _blocked(rig: Rig) -> bool:
    return rig.rows("SELECT count(*) FROM opt_outs WHERE mobile = %s", HANDSET) == [(1,)]


@pytest.mark.parametrize(
    "word",
    [" Stop ", "CANCEL", "end", "OptOut", "opt-out", "opt out", "QUIT", "revoke", "Unsubscribe."],
)
def test_each_word_blocks_with_one_confirmation_and_one_event(rig: Rig, word: str) -> None:
    taken = rig.text(word)
    assert taken.lanes == [rig.lane_id]
    assert _blocked(rig)
    [confirmation] = rig.texts(outgoing=True)
    assert confirmation.startswith("Acme: ")
    assert "START" in confirmation
    assert rig.events().count("contact-opt-out") == 1
    [(kind, contact)] = rig.rows(
        "SELECT facts ->> 'blocked_at' IS NOT NULL, contact_id FROM events"
        " WHERE type = 'contact-opt-out'"
    )
    assert kind
    assert isinstance(contact, UUID)
    # The STOP is a text like any other, and the confirmation stands in its conversation.
    assert rig.texts(outgoing=False) == [word]
    assert rig.rows("SELECT count(DISTINCT conversation_id) FROM messages") == [(1,)]
    rig.check_books()


def test_the_confirmation_reaches_the_wire_although_the_number_is_blocked(rig: Rig) -> None:
    rig.text("STOP")
    [out] = rig.read()
    assert out.consent_reply
    assert rig.start(out)
    rig.answer([(out, 0, Verdict.ACCEPTED, "abc1")])
    rig.receipt("abc1")
    assert rig.status(out.message_id)[0] == "delivered"
    rig.check_books()


def test_a_second_stop_is_not_confirmed_again(rig: Rig) -> None:
    rig.text("STOP")
    rig.text("stop")
    rig.take(rig.arrival("STOP"), rig.arrival("QUIT"))
    assert len(rig.texts(outgoing=True)) == 1
    assert rig.events().count("contact-opt-out") == 1
    assert len(rig.texts(outgoing=False)) == 4


@pytest.mark.parametrize("text", ["please stop", "STOPPED", "stop it now", "the end", "helpful"])
def test_only_the_word_alone_counts(rig: Rig, text: str) -> None:
    rig.text(text)
    assert not _blocked(rig)
    assert rig.texts(outgoing=True) == []


def test_free_text_that_asks_for_silence_flags_the_conversation(rig: Rig) -> None:
    rig.text("hi")
    assert rig.rows("SELECT flagged_at FROM conversations") == [(None,)]
    rig.text("Please stop texting me")
    [(flagged,)] = rig.rows("SELECT flagged_at FROM conversations")
    assert flagged is not None
    assert not _blocked(rig)


def test_start_lifts_the_block_and_the_next_text_goes_out(rig: Rig) -> None:
    rig.text("STOP")
    blocked = rig.send_one("Hello")
    assert rig.status(blocked) == BLOCKED
    rig.text("Start")
    assert not _blocked(rig)
    assert rig.events().count("contact-opt-in") == 1
    assert len(rig.texts(outgoing=True)) == 3
    rig.text("START")
    assert rig.events().count("contact-opt-in") == 1
    assert len(rig.texts(outgoing=True)) == 3
    assert rig.status(rig.submit("abc1", text="Back again"))[0] == "sent"
    [(opted_in,)] = rig.rows("SELECT opted_in_at FROM contacts")
    assert opted_in is not None


@pytest.mark.parametrize("is_blocked", [False, True])
def test_help_is_answered_once_with_name_and_contact(rig: Rig, is_blocked: bool) -> None:
    rig.run("UPDATE accounts SET support_contact = 'help@acme.example'")
    if is_blocked:
        rig.text("STOP")
    before = len(rig.texts(outgoing=True))
    rig.text("help")
    replies = rig.texts(outgoing=True)[before:]
    assert len(replies) == 1
    assert "Acme" in replies[0]
    assert "help@acme.example" in replies[0]
    assert all(rig.start(out) for out in rig.read())


def test_replies_leave_without_credit_and_the_books_agree(rig: Rig) -> None:
    rig.run("UPDATE balances SET available_micros = 0")
    rig.run("UPDATE ledger SET amount_micros = 0")
    rig.text("STOP")
    assert rig.balance() == (-8000 - PRICE_MICROS, PRICE_MICROS)
    rig.check_books()
    [out] = rig.read()
    rig.start(out)
    rig.answer([(out, 0, Verdict.ACCEPTED, "abc1")])
    assert rig.balance() == (-8000 - PRICE_MICROS, 0)
    rig.check_books()


def test_replies_are_no_duplicates_and_go_first(rig: Rig) -> None:
    for _ in range(3):
        rig.text("HELP")
    assert len(rig.read(priority=0)) == 3


@pytest.mark.parametrize(("number", "blocks"), [(TOLL_FREE, True), ("+12015550100", False)])
def test_french_words_count_on_toll_free_senders_alone(rig: Rig, number: str, blocks: bool) -> None:
    with rig.pool.connection() as conn:
        rig.add_sender(conn, number)
    rig.text(b"ARR\xcaT", data_coding=3, destination=number)  # type: ignore[arg-type]
    assert rig.texts(outgoing=False) == ["ARRÊT"]
    assert _blocked(rig) == blocks


def test_a_name_gets_no_reply(rig: Rig) -> None:
    rig.text("HELP", source="ACME Bank")
    assert rig.texts(outgoing=True) == []


# Scenario 7: an opt-out cannot be lost


def test_a_stop_ends_what_is_queued_suspended_and_scheduled(rig: Rig) -> None:
    queued = rig.send_one("Queued")
    rig.run("UPDATE balances SET available_micros = 0")
    rig.run("UPDATE ledger SET amount_micros = %s WHERE kind = 'opening'", PRICE_MICROS)
    suspended = rig.send_one("Suspended")
    assert rig.status(suspended) == ("suspended", "ACCT-006")
    rig.text("STOP")
    assert rig.status(queued) == BLOCKED
    assert rig.status(suspended) == BLOCKED
    assert [out.consent_reply for out in rig.read()] == [True]
    prices = "SELECT price_micros FROM messages WHERE id = ANY(%s)"
    assert rig.rows(prices, [queued, suspended]) == [(0,), (0,)]
    rig.check_books()


def test_a_text_in_a_dispatchers_hands_does_not_start_after_a_stop(rig: Rig) -> None:
    message = rig.send_one()
    [out] = rig.read()
    rig.text("STOP")
    assert not rig.start(out)
    assert rig.status(message) == BLOCKED
    rig.check_books()


def test_segments_put_off_by_the_carrier_do_not_follow_after_a_stop(rig: Rig) -> None:
    message = rig.send_one("x" * 400)
    [out] = rig.read()
    rig.start(out)
    rig.answer(
        [
            (out, 0, Verdict.ACCEPTED, "p0"),
            (out, 1, Verdict.THROTTLED, "MSG-028"),
            (out, 2, Verdict.THROTTLED, "MSG-028"),
        ]
    )
    rig.text("STOP")
    assert not rig.start(out)
    assert rig.status(message) == BLOCKED
    rig.check_books()


@pytest.mark.parametrize("attempt", range(5))
def test_a_stop_that_races_a_start_lets_it_leave_or_ends_it(rig: Rig, attempt: int) -> None:
    """Never both, never neither; a start that is granted was committed before the STOP."""
    message = rig.send_one()
    [out] = rig.read()
    barrier = threading.Barrier(2)
    granted: list[bool] = []

    def start(text: Text) -> None:
        barrier.wait()
        granted.append(rig.start(text))

    thread = threading.Thread(target=start, args=(out,))
    thread.start()
    barrier.wait()
    rig.text("STOP", session_id=new_id())
    thread.join()
    if granted[0]:
        assert rig.status(message) == ("queued", None)
        rig.answer([(out, 0, Verdict.ACCEPTED, f"abc{attempt}")])
        assert rig.status(message) == ("sent", None)
    else:
        assert rig.status(message) == BLOCKED
    rig.check_books()


def test_two_simultaneous_stops_have_one_confirmation(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    rig = Rig(pool).set_up()
    barrier = threading.Barrier(3)

    def stop() -> None:
        barrier.wait()
        rig.text("STOP", session_id=rig.session_id)

    threads = [threading.Thread(target=stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rig.texts(outgoing=True)) == 1
    assert rig.events().count("contact-opt-out") == 1
    rig.check_books()


def test_a_number_stays_blocked_when_its_contact_is_deleted_and_made_again(rig: Rig) -> None:
    rig.text("STOP")
    rig.run("UPDATE contacts SET deleted_at = now()")
    message = rig.send_one("Hello")
    assert rig.status(message) == BLOCKED
    assert rig.rows("SELECT count(*) FROM contacts") == [(2,)]
    assert [out.consent_reply for out in rig.read()] == [True]
    rig.check_books()


def test_texts_of_a_blocked_number_are_stored_as_usual(rig: Rig) -> None:
    rig.text("STOP")
    rig.text("Why do you still write?")
    assert rig.texts(outgoing=False) == ["STOP", "Why do you still write?"]
    assert rig.events()[-1] == "message-received"


def test_another_account_is_not_concerned(
    rig: Rig, pool: ConnectionPool[psycopg.Connection]
) -> None:
    other = Rig(pool).set_up("+12015550100")
    rig.text("STOP")
    assert other.status(other.submit("abc1"))[0] == "sent"
