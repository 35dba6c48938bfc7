"""The codec against two independent ones, and against octets nobody should send."""

from __future__ import annotations

import struct

import pytest
import smpp34
from hypothesis import given
from hypothesis import strategies as st
from smpplib import smpp as smpplib
from smpplib.client import SimpleSequenceGenerator

from viesti.carriers.smpp.addresses import decode_address, encode_address
from viesti.carriers.smpp.codec import (
    decode_bind,
    decode_message,
    decode_message_id,
    encode_bind,
    encode_message,
    encode_pdu,
    encode_submit,
    encode_submit_resp,
    split_frames,
)
from viesti.carriers.smpp.pdu import BindPdu, Command, MessagePdu, Tag

NUMBERS = st.from_regex(rb"[1-9][0-9]{1,18}", fullmatch=True)
OCTET = st.integers(0, 255)
TLVS = st.dictionaries(
    st.sampled_from([0x001E, 0x0204, 0x020C, 0x0423, 0x0427, 0x1400]),
    st.binary(min_size=1, max_size=40),
    max_size=4,
)
MESSAGES = st.builds(
    MessagePdu,
    source_ton_npi=st.sampled_from([b"\1\1", b"\3\0", b"\0\0"]),
    source=NUMBERS,
    destination_ton_npi=st.sampled_from([b"\1\1", b"\2\1"]),
    destination=NUMBERS,
    esm_class=st.sampled_from([0, 0x04, 0x40]),
    data_coding=st.sampled_from([0, 3, 8]),
    short_message=st.binary(max_size=254),
    registered_delivery=st.sampled_from([0, 1]),
    tlvs=TLVS.map(lambda tlvs: tlvs or None),
    protocol_id=OCTET,
    priority=st.integers(0, 3),
    service_type=st.sampled_from([b"", b"CMT"]),
    schedule_time=st.just(b""),
    validity_period=st.sampled_from([b"", b"000002000000000R"]),
    replace_if_present=st.integers(0, 1),
    default_message_id=st.just(0),
)


def whole(command: Command, message: MessagePdu, sequence: int = 7) -> bytes:
    return encode_pdu(command, 0, sequence, encode_message(message))


@given(MESSAGES, st.sampled_from([Command.SUBMIT_SM, Command.DELIVER_SM]))
def test_what_we_encode_another_codec_reads_the_same(message: MessagePdu, command: Command) -> None:
    read = smpp34.decode(whole(command, message))
    assert isinstance(read, smpp34.SubmitSm if command == Command.SUBMIT_SM else smpp34.DeliverSm)
    assert read.sequence_number == 7
    assert read.source_addr.encode() == message.source
    assert read.destination_addr.encode() == message.destination
    assert bytes((read.source_addr_ton, read.source_addr_npi)) == message.source_ton_npi
    assert bytes((read.dest_addr_ton, read.dest_addr_npi)) == message.destination_ton_npi
    assert read.esm_class == message.esm_class
    assert read.data_coding == message.data_coding
    assert read.registered_delivery == message.registered_delivery
    assert read.protocol_id == message.protocol_id
    assert read.short_message == message.short_message
    assert {tlv.tag: tlv.value for tlv in read.tlvs} == (message.tlvs or {})


@given(MESSAGES)
def test_what_another_codec_encodes_we_read_the_same(message: MessagePdu) -> None:
    octets = smpp34.SubmitSm(
        message.source.decode(),
        message.destination.decode(),
        message.short_message,
        service_type=message.service_type.decode(),
        source_addr_ton=message.source_ton_npi[0],
        source_addr_npi=message.source_ton_npi[1],
        dest_addr_ton=message.destination_ton_npi[0],
        dest_addr_npi=message.destination_ton_npi[1],
        esm_class=message.esm_class,
        protocol_id=message.protocol_id,
        priority_flag=message.priority,
        validity_period=message.validity_period.decode(),
        replace_if_present_flag=message.replace_if_present,
        registered_delivery=message.registered_delivery,
        data_coding=message.data_coding,
        tlvs=[smpp34.Tlv(tag, value) for tag, value in (message.tlvs or {}).items()],
        sequence_number=9,
    ).encode()
    frames, consumed, broken = split_frames(octets)
    assert (consumed, broken) == (len(octets), False)
    ((command, status, sequence, start, end),) = frames
    assert (command, status, sequence) == (Command.SUBMIT_SM, 0, 9)
    assert decode_message(octets, start, end) == message


@given(MESSAGES)
def test_a_message_survives_our_own_round_trip(message: MessagePdu) -> None:
    body = encode_message(message)
    assert decode_message(b"xx" + body, 2, 2 + len(body)) == message


@pytest.mark.parametrize("text", [b"", b"hello", bytes(range(1, 200))])
def test_a_submit_is_read_by_smpplib(text: bytes) -> None:
    octets = encode_submit(5, "+12025550100", "+13475550101", text, 8, True, 0xABCD)
    read = smpplib.parse_pdu(
        octets, client=SimpleSequenceGenerator(), allow_unknown_opt_params=True
    )
    assert read.command == "submit_sm"
    assert read.sequence == 5
    assert (read.source_addr_ton, read.source_addr_npi) == (1, 1)
    assert read.source_addr == b"12025550100"
    assert read.destination_addr == b"13475550101"
    assert read.esm_class == 0x40
    assert read.data_coding == 8
    assert read.registered_delivery == 1
    assert (read.short_message or b"") == text
    assert read.user_message_reference == 0xABCD


def test_smpplib_s_bind_is_read() -> None:
    octets = encode_pdu(
        Command.BIND_TRANSCEIVER, 0, 1, encode_bind(BindPdu(b"viesti", b"secret", b"VMA"))
    )
    read = smpplib.parse_pdu(octets, client=SimpleSequenceGenerator())
    assert (read.system_id, read.password, read.system_type) == (b"viesti", b"secret", b"VMA")
    assert decode_bind(octets, 16, len(octets)) == BindPdu(b"viesti", b"secret", b"VMA")


@pytest.mark.parametrize(
    ("address", "octets"),
    [
        ("+13475550101", b"\x01\x0113475550101\0"),
        ("72584", b"\x03\x0072584\0"),
        ("Viesti", b"\x05\x00Viesti\0"),
        ("a\0b", b"\x05\x00a?b\0"),
        ("Viësti", b"\x05\x00Vi?sti\0"),
    ],
)
def test_addresses_by_their_kind(address: str, octets: bytes) -> None:
    assert encode_address(address) == octets


@pytest.mark.parametrize(
    ("ton_npi", "address", "ours"),
    [
        (b"\x01\x01", b"13475550101", "+13475550101"),
        (b"\x00\x01", b"13475550101", "13475550101"),
        (b"\x03\x00", b"72584", "72584"),
        (b"\x05\x00", b"Viesti", "Viesti"),
        (b"\x01\x01", b"Viesti", "Viesti"),
    ],
)
def test_addresses_back_in_our_form(ton_npi: bytes, address: bytes, ours: str) -> None:
    assert decode_address(ton_npi, address) == ours


def test_a_text_too_long_for_short_message_moves_to_the_payload_parameter() -> None:
    octets = encode_submit(1, "+12025550100", "+13475550101", b"a" * 300, 0, False, None)
    message = decode_message(octets, 16, len(octets))
    assert message is not None
    assert message.short_message == b""
    assert message.payload == b"a" * 300
    assert whole(Command.SUBMIT_SM, message._replace(short_message=b"b" * 300)).endswith(b"b" * 300)


def test_a_message_id_without_its_final_nul_is_still_an_id() -> None:
    assert decode_message_id(b"0A1B", 0, 4) == "0A1B"
    assert decode_message_id(b"0A1B\0rest", 0, 9) == "0A1B"
    assert decode_message_id(b"", 0, 0) == ""
    octets = encode_submit_resp(3, 0, b"0A1B")
    assert decode_message_id(octets, 16, len(octets)) == "0A1B"


# Hostile input


@pytest.mark.parametrize("length", [0, 1, 15, 64 * 1024 + 1, 0xFFFFFFFF])
def test_a_length_no_pdu_can_have_breaks_the_stream(length: int) -> None:
    good = encode_pdu(Command.ENQUIRE_LINK, 0, 1)
    frames, consumed, broken = split_frames(good + struct.pack(">IIII", length, 4, 0, 1))
    assert (len(frames), consumed, broken) == (1, 16, True)


@given(st.binary(max_size=400))
def test_no_octets_raise(octets: bytes) -> None:
    split_frames(octets)
    decode_message(octets, 0, len(octets))
    decode_bind(octets, 0, len(octets))
    decode_message_id(octets, 0, len(octets))


@given(MESSAGES, st.data())
def test_a_cut_or_changed_message_is_refused_or_read_but_never_raises(
    message: MessagePdu, data: st.DataObject
) -> None:
    body = encode_message(message)
    cut = data.draw(st.integers(0, len(body) - 1))
    decoded = decode_message(body, 0, cut)
    assert decoded is None or decoded.tlvs != message.tlvs or not message.tlvs
    at = data.draw(st.integers(0, len(body) - 1))
    decode_message(body[:at] + bytes((data.draw(OCTET),)) + body[at + 1 :], 0, len(body))


def test_an_unterminated_string_is_malformed() -> None:
    assert decode_message(b"\0\1\1" + b"9" * 300, 0, 303) is None
    assert decode_bind(b"viesti", 0, 6) is None


def test_a_parameter_that_passes_the_end_is_malformed_and_padding_is_not() -> None:
    body = encode_message(MessagePdu(b"\1\1", b"1", b"\1\1", b"2", 0, 0, b"hi"))
    assert decode_message(body + struct.pack(">HH", Tag.MESSAGE_STATE, 9), 0, len(body) + 4) is None
    padded = decode_message(body + b"\0\0", 0, len(body) + 2)
    assert padded is not None
    assert padded.short_message == b"hi"


@given(st.lists(MESSAGES, max_size=5), st.data())
def test_frames_are_found_whatever_the_pieces(
    messages: list[MessagePdu], data: st.DataObject
) -> None:
    octets = b"".join(whole(Command.DELIVER_SM, m, i) for i, m in enumerate(messages, 1))
    cut = data.draw(st.integers(0, len(octets)))
    first, consumed, _ = split_frames(octets[:cut])
    rest = octets[consumed:]
    second, _, broken = split_frames(rest)
    assert not broken
    assert [frame[2] for frame in first + second] == list(range(1, len(messages) + 1))
