"""viesti/inbound/seen.py: a redelivered text is one, two equal texts are two (design, section 2)."""

from __future__ import annotations

from tests.messaging_rig import Rig
from viesti.inbound.handler import acknowledge_known
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id


def test_the_same_arrival_taken_again_changes_nothing(rig: Rig) -> None:
    arrival = rig.arrival("Hello")
    rig.take(arrival)
    rig.take(arrival)
    rig.take(arrival, arrival)
    assert rig.texts(outgoing=False) == ["Hello"]
    assert rig.balance() == (10_000_000 - 8000, 0)


def test_a_text_redelivered_on_another_session_is_stored_once(rig: Rig) -> None:
    rig.text("Hello")
    rig.text("Hello", session_id=new_id())
    assert rig.texts(outgoing=False) == ["Hello"]
    assert rig.events().count("message-received") == 1


def test_equal_texts_on_one_session_are_two(rig: Rig) -> None:
    rig.text("Hello")
    rig.text("Hello")
    rig.take(rig.arrival("Hello"), rig.arrival("Hello"))
    assert rig.texts(outgoing=False) == ["Hello"] * 4


def test_equal_texts_are_two_when_the_first_was_acknowledged(rig: Rig) -> None:
    arrival = rig.arrival("Hello")
    rig.take(arrival)
    with rig.pool.connection() as conn:
        acknowledge_known(conn, [arrival.id, new_id()], utc_now())
    rig.text("Hello", session_id=new_id())
    assert rig.texts(outgoing=False) == ["Hello"] * 2


def test_a_second_text_after_the_redelivery_is_a_second_text(rig: Rig) -> None:
    rig.text("Hello")
    second = new_id()
    rig.text("Hello", session_id=second)
    rig.text("Hello", session_id=second)
    assert rig.texts(outgoing=False) == ["Hello"] * 2


def test_two_texts_of_a_lost_session_come_again_as_two(rig: Rig) -> None:
    rig.text("Hello")
    rig.text("Hello")
    for session in (new_id(), new_id()):
        rig.take(rig.arrival("Hello", session_id=session), rig.arrival("Hello", session_id=session))
    assert rig.texts(outgoing=False) == ["Hello"] * 2


def test_after_ten_minutes_an_equal_text_is_a_second_one(rig: Rig) -> None:
    rig.text("Hello")
    rig.run("UPDATE inbound_seen SET received_at = received_at - interval '10 minutes 1 second'")
    rig.text("Hello", session_id=new_id())
    assert rig.texts(outgoing=False) == ["Hello"] * 2


def test_other_bytes_number_or_sender_make_another_text(rig: Rig) -> None:
    with rig.pool.connection() as conn:
        rig.add_sender(conn, "+12015550100")
    rig.text("Hello")
    rig.text("Hello!", session_id=new_id())
    rig.text("Hello", source="+13475550142", session_id=new_id())
    rig.text("Hello", destination="+12015550100", session_id=new_id())
    rig.text("Hello", data_coding=3, session_id=new_id())
    assert len(rig.texts(outgoing=False)) == 5


def test_equal_texts_on_two_connections_that_stand_are_two(rig: Rig) -> None:
    second = new_id()
    rig.live_sessions = {rig.session_id, second}
    rig.text("Hello")
    rig.text("Hello", session_id=second)
    assert rig.texts(outgoing=False) == ["Hello"] * 2
    # The first connection is lost, and its text comes again on the second.
    rig.live_sessions = {second}
    rig.text("Hello", session_id=second)
    assert rig.texts(outgoing=False) == ["Hello"] * 2
