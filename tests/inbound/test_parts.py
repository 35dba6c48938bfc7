"""viesti/inbound/parts.py: long texts, whole, in any order, or with gaps."""

from __future__ import annotations

from datetime import timedelta

from tests.messaging_rig import Rig
from viesti.inbound.sweeps import expire_parts
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id
from viesti.sms.segments import encode_message


def _parts(text: str, reference: int = 7) -> tuple[tuple[bytes, ...], int]:
    encoded = encode_message(text, reference)
    return encoded.parts, encoded.data_coding


def test_parts_in_any_order_make_one_text(rig: Rig) -> None:
    text = "Ääkkösiä ja €uroja 🙂 " * 12
    parts, coding = _parts(text)
    assert len(parts) > 3
    for part in (*parts[2:], *parts[:2]):
        assert rig.texts(outgoing=False) == []
        rig.text(part, data_coding=coding, has_udh=True)  # type: ignore[arg-type]
    assert rig.texts(outgoing=False) == [text]
    [(segments, price)] = rig.rows("SELECT segments, price_micros FROM messages")
    assert (segments, price) == (len(parts), len(parts) * 8000)
    assert rig.rows("SELECT count(*) FROM inbound_parts") == [(0,)]
    rig.check_books()


def test_redelivered_parts_do_not_make_a_second_text(rig: Rig) -> None:
    parts, coding = _parts("x" * 400)
    sessions = (new_id(), new_id())
    for session in sessions:
        for part in parts:
            rig.take(rig.arrival(part, data_coding=coding, has_udh=True, session_id=session))
    assert rig.texts(outgoing=False) == ["x" * 400]


def test_the_same_reference_from_two_handsets_is_two_texts(rig: Rig) -> None:
    first, coding = _parts("a" * 200)
    second, _ = _parts("b" * 200)
    other = "+13475550142"
    rig.take(
        rig.arrival(first[0], has_udh=True),
        rig.arrival(second[1], has_udh=True, source=other),
        rig.arrival(second[0], has_udh=True, source=other),
        rig.arrival(first[1], has_udh=True),
    )
    assert sorted(rig.texts(outgoing=False)) == ["a" * 200, "b" * 200]
    assert coding == 0


def test_a_reference_used_again_ends_the_unfinished_text(rig: Rig) -> None:
    first, _ = _parts("a" * 200)
    second, _ = _parts("b" * 200)
    rig.take(*(rig.arrival(part, has_udh=True) for part in (first[0], *second)))
    assert rig.texts(outgoing=False) == ["a" * 153 + "…", "b" * 200]


def test_an_incomplete_text_is_stored_with_a_gap_when_time_is_up(rig: Rig) -> None:
    parts, _ = _parts("a" * 153 + "b" * 153 + "c" * 100)
    rig.take(rig.arrival(parts[0], has_udh=True), rig.arrival(parts[2], has_udh=True))
    with rig.pool.connection() as conn:
        expire_parts(conn, utc_now() + timedelta(seconds=590))
    assert rig.texts(outgoing=False) == []
    with rig.pool.connection() as conn:
        expire_parts(conn, utc_now() + timedelta(seconds=610))
        expire_parts(conn, utc_now() + timedelta(seconds=620))
    assert rig.texts(outgoing=False) == ["a" * 153 + "…" + "c" * 100]
    assert rig.rows("SELECT segments FROM messages") == [(2,)]
    assert rig.events() == ["contact-created", "conversation-started", "message-received"]
    rig.check_books()
