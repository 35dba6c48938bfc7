"""The session as arithmetic: time and octets in, outcomes out; no sockets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viesti.carriers.base import Submit, Verdict
from viesti.carriers.smpp.codec import (
    encode_message,
    encode_pdu,
    encode_submit_resp,
    split_frames,
)
from viesti.carriers.smpp.errors import meaning_of
from viesti.carriers.smpp.pdu import BindPdu, Command, MessagePdu
from viesti.carriers.smpp.session import MAX_SEQUENCE, Effects, EsmeSession, SessionState


def made(window: int = 10) -> EsmeSession:
    return EsmeSession(
        link_id=1,
        bind_command=Command.BIND_TRANSCEIVER,
        bind=BindPdu(b"viesti", b"secret"),
        window=window,
        now_s=0.0,
    )


def bound(window: int = 10) -> EsmeSession:
    session = made(window)
    session.bind()
    effects = session.receive(encode_pdu(Command.BIND_TRANSCEIVER_RESP, 0, 1, b"SMSC\0"), 0.0)
    assert effects.bound
    return session


def texts(*keys: object) -> list[Submit]:
    return [Submit(key, "+12025550100", "+13475550101", b"hi", 0, False) for key in keys]


def sequences(octets: bytes) -> list[int]:
    return [frame[2] for frame in split_frames(octets)[0]]


def commands(effects: Effects) -> list[tuple[int, int, int]]:
    return [frame[:3] for frame in split_frames(b"".join(effects.octets))[0]]


def test_nothing_is_submitted_before_the_bind_is_accepted() -> None:
    session = made()
    assert session.room == 0
    session.bind()
    assert session.room == 0


def test_a_refused_bind_ends_the_session_with_the_status_told() -> None:
    session = made()
    session.bind()
    effects = session.receive(encode_pdu(Command.BIND_TRANSCEIVER_RESP, 0x0E, 1), 0.0)
    assert "0x0000000E" in effects.end_reason
    assert session.refusal_status == 0x0E
    assert session.state is SessionState.CONNECTED


def test_an_unanswered_bind_ends_the_session() -> None:
    session = made()
    session.bind()
    assert not session.tick(29.0).end_reason
    assert session.tick(30.0).end_reason


def test_answers_open_the_window_again() -> None:
    session = bound(window=3)
    numbers = sequences(session.submit(texts("a", "b", "c"), 0.0))
    assert session.room == 0
    effects = session.receive(
        encode_submit_resp(numbers[1], 0, b"id-b") + encode_submit_resp(numbers[0], 0x58, b""), 1.0
    )
    assert session.room == 2
    assert [(o.key, o.verdict, o.carrier_message_id) for o in effects.outcomes] == [
        ("b", Verdict.ACCEPTED, "id-b"),
        ("a", Verdict.THROTTLED, ""),
    ]
    assert effects.outcomes[1].error_code == "MSG-028"
    assert effects.outcomes[1].carrier_status == 0x58


def test_an_overdue_answer_is_unknown_once_and_a_late_one_says_so() -> None:
    session = bound()
    (number,) = sequences(session.submit(texts("a"), 100.0))
    assert session.tick(129.0).outcomes == []
    (unknown,) = session.tick(130.0).outcomes
    assert (unknown.key, unknown.verdict, unknown.late) == ("a", Verdict.UNKNOWN, False)
    assert session.room == 10
    assert session.tick(160.0).outcomes == []
    (late,) = session.receive(encode_submit_resp(number, 0, b"id"), 161.0).outcomes
    assert (late.key, late.verdict, late.carrier_message_id, late.late) == (
        "a",
        Verdict.ACCEPTED,
        "id",
        True,
    )
    assert session.receive(encode_submit_resp(number, 0, b"id"), 162.0).outcomes == []


def test_only_overdue_ones_are_reported() -> None:
    session = bound()
    session.submit(texts("a"), 0.0)
    session.submit(texts("b"), 10.0)
    assert [outcome.key for outcome in session.tick(35.0).outcomes] == ["a"]
    assert [outcome.key for outcome in session.end()] == ["b"]


def test_a_loss_makes_everything_unanswered_unknown_and_nothing_else() -> None:
    session = bound()
    numbers = sequences(session.submit(texts("a", "b"), 0.0))
    session.receive(encode_submit_resp(numbers[0], 0, b"id"), 0.0)
    (outcome,) = session.end()
    assert (outcome.key, outcome.verdict) == ("b", Verdict.UNKNOWN)
    assert session.end() == []


def test_an_idle_link_is_enquired_and_a_silent_one_is_dead() -> None:
    session = bound()
    assert commands(session.tick(29.0)) == []
    ((command, _, sequence),) = commands(session.tick(30.0))
    assert command == Command.ENQUIRE_LINK
    session.receive(encode_pdu(Command.ENQUIRE_LINK_RESP, 0, sequence), 35.0)
    assert not session.tick(45.0).end_reason
    assert commands(session.tick(65.0))
    assert not session.tick(74.0).end_reason
    assert session.tick(75.0).end_reason


def test_silence_says_nothing_while_reading_is_paused() -> None:
    session = bound()
    session.tick(30.0)
    assert not session.tick(60.0, ignore_silence=True).end_reason
    assert not session.tick(61.0).end_reason


def test_the_carrier_s_enquire_link_is_answered() -> None:
    effects = bound().receive(encode_pdu(Command.ENQUIRE_LINK, 0, 99), 0.0)
    assert commands(effects) == [(Command.ENQUIRE_LINK_RESP, 0, 99)]


def test_an_unbind_waits_for_the_answers_that_are_due() -> None:
    session = bound()
    (number,) = sequences(session.submit(texts("a"), 0.0))
    effects = session.receive(encode_pdu(Command.UNBIND, 0, 50), 1.0)
    assert commands(effects) == []
    assert session.room == 0
    effects = session.receive(encode_submit_resp(number, 0, b"id"), 1.5)
    assert effects.outcomes[0].verdict is Verdict.ACCEPTED
    assert commands(effects) == [(Command.UNBIND_RESP, 0, 50)]
    assert effects.end_reason


def test_an_unbind_does_not_wait_for_ever() -> None:
    session = bound()
    session.submit(texts("a"), 0.0)
    session.receive(encode_pdu(Command.UNBIND, 0, 50), 1.0)
    assert commands(session.tick(3.0)) == [(Command.UNBIND_RESP, 0, 50)]
    assert session.end()[0].verdict is Verdict.UNKNOWN


def delivery(sequence: int, text: bytes = b"hi") -> bytes:
    message = MessagePdu(b"\1\1", b"13475550101", b"\1\1", b"12025550100", 0, 0, text)
    return encode_pdu(Command.DELIVER_SM, 0, sequence, encode_message(message))


def test_inbound_pdus_are_answered_only_when_told_and_once() -> None:
    session = bound()
    effects = session.receive(delivery(7) + delivery(8), 0.0)
    assert commands(effects) == []
    tokens = [one.token for one in effects.deliveries]
    assert session.unacknowledged == 2
    assert split_frames(session.answer(tokens[:1], 0))[0][0][:3] == (
        Command.DELIVER_SM_RESP,
        0,
        7,
    )
    assert session.answer(tokens[:1], 0) == b""
    assert split_frames(session.answer(tokens, 8))[0][0][:3] == (Command.DELIVER_SM_RESP, 8, 8)


def test_tokens_of_another_connection_are_ignored() -> None:
    session = bound()
    session.receive(delivery(7), 0.0)
    other = EsmeSession(
        link_id=2,
        bind_command=Command.BIND_TRANSCEIVER,
        bind=BindPdu(b"v", b"s"),
        window=1,
        now_s=0.0,
    )
    other.receive(encode_pdu(Command.BIND_TRANSCEIVER_RESP, 0, 1), 0.0)
    token = other.receive(delivery(7), 0.0).deliveries[0].token
    assert session.answer([token, "nonsense"], 0) == b""


def test_a_malformed_delivery_is_refused_and_the_link_goes_on() -> None:
    session = bound()
    effects = session.receive(
        encode_pdu(Command.DELIVER_SM, 0, 3, b"\0\1\1" + b"9" * 90) + delivery(4), 0.0
    )
    assert commands(effects) == [(Command.DELIVER_SM_RESP, 0x01, 3)]
    assert len(effects.deliveries) == 1
    assert not effects.end_reason


def test_an_unknown_request_is_nacked_and_an_unknown_answer_ignored() -> None:
    session = bound()
    effects = session.receive(
        encode_pdu(0x00000103, 0, 5) + encode_pdu(0x80000103, 0, 6) + encode_pdu(0x102, 0, 7), 0.0
    )
    assert commands(effects) == [(Command.GENERIC_NACK, 0x03, 5)]


def test_a_broken_stream_is_nacked_and_ended() -> None:
    effects = bound().receive(b"\x00\x00\x00\x02" + b"x" * 12, 0.0)
    assert commands(effects) == [(Command.GENERIC_NACK, 0x02, 0)]
    assert effects.end_reason


def test_a_nack_of_a_submit_is_its_answer() -> None:
    session = bound()
    (number,) = sequences(session.submit(texts("a"), 0.0))
    (outcome,) = session.receive(encode_pdu(Command.GENERIC_NACK, 0x58, number), 0.0).outcomes
    assert outcome.verdict is Verdict.THROTTLED


def test_sequence_numbers_start_again_after_the_last() -> None:
    session = bound()
    session._sequence = MAX_SEQUENCE - 1  # reaching it takes two thousand million texts
    assert sequences(session.submit(texts("a", "b"), 0.0)) == [MAX_SEQUENCE, 1]


@pytest.mark.parametrize(
    ("status", "verdict", "code"),
    [
        (0x01, Verdict.REFUSED, "MSG-007"),
        (0x08, Verdict.RETRY, "MSG-033"),
        (0x0A, Verdict.REFUSED, "MSG-001"),
        (0x0B, Verdict.REFUSED, "MSG-018"),
        (0x14, Verdict.THROTTLED, "MSG-028"),
        (0x45, Verdict.REFUSED, "MSG-023"),
        (0x58, Verdict.THROTTLED, "MSG-028"),
        (0x64, Verdict.RETRY, "MSG-033"),
        (0xFE, Verdict.REFUSED, "MSG-019"),
        (0xFF, Verdict.REFUSED, "MSG-006"),
        (0x101, Verdict.REFUSED, "MSG-009"),
        (0x4FF, Verdict.REFUSED, "MSG-006"),
    ],
)
def test_what_a_status_means(status: int, verdict: Verdict, code: str) -> None:
    assert meaning_of(status) == (verdict, code)


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_octets_raise_out_of_the_session(pieces: list[bytes]) -> None:
    session = bound()
    session.submit(texts("a"), 0.0)
    for piece in pieces:
        session.receive(piece, 0.0)
    session.end()


@given(st.data())
def test_octets_in_any_pieces_give_the_same_events(data: st.DataObject) -> None:
    session = bound(window=20)
    numbers = sequences(session.submit(texts(*range(8)), 0.0))
    octets = b"".join(
        encode_submit_resp(number, 0, b"%d" % number) + delivery(number) for number in numbers
    )
    outcomes, deliveries = [], []
    while octets:
        size = data.draw(st.integers(1, len(octets)))
        effects = session.receive(octets[:size], 0.0)
        outcomes += [outcome.key for outcome in effects.outcomes]
        deliveries += effects.deliveries
        octets = octets[size:]
    assert outcomes == list(range(8))
    assert len(deliveries) == 8
