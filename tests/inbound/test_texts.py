"""viesti/inbound/texts.py: contact, conversation, message and money of a handset's text."""

from __future__ import annotations

import threading

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg_pool import ConnectionPool

from tests.messaging_rig import HANDSET, SENDER, Rig
from viesti.domain.conversations.service import close_conversation
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id


def test_a_first_text_makes_contact_conversation_and_message(rig: Rig) -> None:
    taken = rig.text("Hello there")
    assert taken.has_events
    assert taken.unroutable == 0
    assert rig.events() == ["contact-created", "conversation-started", "message-received"]
    [row] = rig.rows(
        "SELECT status, message, segments, encoding, price_micros, mobile, sender, outgoing,"
        " sender_id FROM messages"
    )
    assert row == ("received", "Hello there", 1, "gsm7", 8000, HANDSET, SENDER, False, rig.lane_id)
    [row] = rig.rows("SELECT mobile, country, opted_in_at FROM contacts")
    assert row == (HANDSET, "US", None)
    [row] = rig.rows(
        "SELECT v.unread, v.last_message_id = m.id, v.flagged_at"
        " FROM conversations v JOIN messages m ON m.conversation_id = v.id"
    )
    assert row == (True, True, None)
    assert rig.balance() == (10_000_000 - 8000, 0)
    rig.check_books()


def test_a_reply_joins_the_conversation_of_the_text(rig: Rig) -> None:
    rig.submit("abc1")
    rig.text("Thanks")
    assert rig.rows("SELECT count(*) FROM conversations") == [(1,)]
    assert rig.rows("SELECT count(*) FROM contacts") == [(1,)]
    assert rig.events()[-1] == "message-received"
    assert "conversation-started" not in rig.events()[2:]


def test_each_sender_has_its_own_conversation(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        rig.add_sender(conn, "+12015550100")
    rig.text("To A")
    rig.text("To B", destination="+12015550100")
    assert rig.rows("SELECT sender FROM conversations ORDER BY sender") == [
        ("+12015550100",),
        (SENDER,),
    ]
    assert rig.rows("SELECT count(*) FROM contacts") == [(1,)]


def test_a_text_after_closing_starts_a_new_conversation(rig: Rig) -> None:
    rig.text("One")
    [(first,)] = rig.rows("SELECT id FROM conversations")
    with rig.pool.connection() as conn:
        close_conversation(conn, rig.account_id, str(first), utc_now())
    rig.text("Two")
    assert rig.events().count("conversation-started") == 2
    assert rig.rows("SELECT count(DISTINCT conversation_id) FROM messages") == [(2,)]


def test_simultaneous_texts_make_one_contact_and_one_conversation(rig: Rig) -> None:
    # Any number of binds, in any number of processes.
    count = 6
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def write(n: int) -> None:
        barrier.wait()
        try:
            rig.take(rig.arrival(f"Text {n}", session_id=new_id()))
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert rig.rows("SELECT count(*) FROM contacts") == [(1,)]
    assert rig.rows("SELECT count(*) FROM conversations") == [(1,)]
    assert rig.rows("SELECT count(*) FROM messages") == [(count,)]
    assert rig.events().count("contact-created") == 1
    assert rig.events().count("conversation-started") == 1
    rig.check_books()


def test_a_batch_keeps_its_order_and_tells_each_thing_once(rig: Rig) -> None:
    rig.take(*(rig.arrival(f"Text {n}") for n in range(4)))
    assert rig.texts(outgoing=False) == [f"Text {n}" for n in range(4)]
    assert rig.events() == ["contact-created", "conversation-started"] + ["message-received"] * 4


def test_the_balance_may_go_below_zero(rig: Rig) -> None:
    rig.run("UPDATE balances SET available_micros = 1000")
    rig.run("UPDATE ledger SET amount_micros = 1000")
    rig.text("Hello")
    assert rig.balance() == (-7000, 0)
    rig.check_books()


def test_a_reply_lets_the_same_text_go_out_again(rig: Rig) -> None:
    rig.send_one("Same")
    assert rig.send("Same").data["invalid"]
    rig.text("ok")
    assert not rig.send("Same").data["invalid"]


# Addresses


@pytest.mark.parametrize("source", [HANDSET, "13475550199", "3475550199", "0013475550199"])
def test_every_spelling_of_a_number_is_one_contact(rig: Rig, source: str) -> None:
    rig.text("One")
    rig.text("Two", source=source)
    assert rig.rows("SELECT mobile FROM contacts") == [(HANDSET,)]


@pytest.mark.parametrize("source", ["72345", "ACME Bank", "+999123", "abc", ""])
def test_sources_that_are_no_number_are_kept_as_they_are(rig: Rig, source: str) -> None:
    rig.text("One", source=source)
    rig.text("Two", source=source)
    assert rig.rows("SELECT mobile FROM contacts") == [(source or "unknown",)]
    # Answering works, whatever has become of the sender that they wrote to.
    [(conversation,)] = rig.rows("SELECT DISTINCT conversation_id FROM messages")
    rig.run("UPDATE senders SET active = false WHERE number = %s", SENDER)
    with rig.pool.connection() as conn:
        rig.add_sender(conn, "+12015550100")
    answer = rig.answer_in(conversation, "Yes?")
    assert answer.data["queued"] == 1


def test_a_text_to_nobody_is_counted_and_leaves_no_trace(rig: Rig) -> None:
    taken = rig.take(rig.arrival("Hello", destination="+12015550111"), rig.arrival("Here"))
    assert taken.unroutable == 1
    assert rig.texts(outgoing=False) == ["Here"]


# Hostile content


@pytest.mark.parametrize(
    ("payload", "data_coding", "has_udh"),
    [
        (b"", 0, False),
        (b"\0" * 140, 0x03, False),
        (b"\xd8\x00\xd8\x00", 0x08, False),
        (b"\xff" * 254, 0xFF, True),
        (b"\x05\x00\x03\x01\x02\x03", 0, True),
        (b"\x05\x00\x03\x01\x00\x00abc", 0, True),
        (b"\x7f", 0, True),
        (b"a" * 65_000, 0x03, False),
        (b"\x05\x00\x03\x01\xff\xff" + b"\0" * 100, 0x04, True),
    ],
)
def test_hostile_payloads_block_nothing(
    rig: Rig, payload: bytes, data_coding: int, has_udh: bool
) -> None:
    rig.take(
        rig.arrival("Before"),
        rig.arrival(payload, data_coding=data_coding, has_udh=has_udh),
        rig.arrival("After"),
    )
    texts = rig.texts(outgoing=False)
    assert texts[0] == "Before"
    assert texts[-1] == "After"


def test_what_the_database_refuses_is_passed_over_alone(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    rig = Rig(pool).set_up()
    rig.run("ALTER TABLE messages ADD CHECK (true)")
    # A fault of the engine's own making: one text that PostgreSQL cannot take.
    rig.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.message = 'poison' THEN RAISE EXCEPTION USING ERRCODE = '22021'; END IF;"
        " RETURN NEW; END $$"
    )
    rig.run(
        "CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    taken = rig.take(*(rig.arrival(text) for text in ("One", "poison", "Two")))
    assert taken.unroutable == 1
    assert rig.texts(outgoing=False) == ["One", "Two"]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    payload=st.binary(max_size=200),
    data_coding=st.integers(0, 255),
    has_udh=st.booleans(),
    source=st.text(max_size=21),
)
def test_any_pdu_is_taken(
    rig: Rig, payload: bytes, data_coding: int, has_udh: bool, source: str
) -> None:
    arrival = rig.arrival(payload, data_coding=data_coding, has_udh=has_udh, source=source)
    assert rig.take(arrival).unroutable == 0
