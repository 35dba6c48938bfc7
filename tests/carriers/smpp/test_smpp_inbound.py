"""Inbound PDUs in the one form that dispatch sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viesti.carriers.base import Receipt, ReceiptState
from viesti.carriers.smpp.inbound import read_delivery
from viesti.carriers.smpp.pdu import MessagePdu, Tag
from viesti.sms.dlr import find_receipt

RECEIPT = (
    b"id:0A1B sub:001 dlvrd:001 submit date:2611241029 done date:2611241030 "
    b"stat:%b err:%b text:Hello"
)


def inbound(payload: bytes, esm_class: int = 0, **changes: object) -> MessagePdu:
    message = MessagePdu(b"\1\1", b"13475550101", b"\1\1", b"12025550100", esm_class, 0, payload)
    return message._replace(**changes)


@pytest.mark.parametrize("state", list(ReceiptState))
def test_a_receipt_by_text(state: ReceiptState) -> None:
    delivery = read_delivery(1, inbound(RECEIPT % (state.value.encode(), b"027"), 0x04))
    assert delivery.receipt == Receipt("0A1B", state, "027")
    assert (delivery.source, delivery.destination) == ("+13475550101", "+12025550100")


@pytest.mark.parametrize("esm_class", [0x04, 0x08, 0x20, 0x04 | 0x40, 0x20 | 0x80])
def test_every_kind_of_receipt_is_known_by_esm_class(esm_class: int) -> None:
    delivery = read_delivery(1, inbound(RECEIPT % (b"DELIVRD", b"000"), esm_class))
    assert delivery.receipt is not None


def test_parameters_come_before_the_text() -> None:
    tlvs = {
        int(Tag.RECEIPTED_MESSAGE_ID): b"2587\0",
        int(Tag.MESSAGE_STATE): b"\x05",
        int(Tag.USER_MESSAGE_REFERENCE): b"\x01\x02",
    }
    delivery = read_delivery(1, inbound(RECEIPT % (b"DELIVRD", b"027"), 0x04, tlvs=tlvs))
    assert delivery.receipt == Receipt("2587", ReceiptState.UNDELIVERABLE, "027", 0x0102)


def test_a_receipt_by_parameters_alone() -> None:
    tlvs = {
        int(Tag.RECEIPTED_MESSAGE_ID): b"2587",
        int(Tag.MESSAGE_STATE): b"\x02",
        int(Tag.NETWORK_ERROR_CODE): b"\x03\x01\x00",
    }
    delivery = read_delivery(1, inbound(b"", 0, tlvs=tlvs))
    assert delivery.receipt == Receipt("2587", ReceiptState.DELIVERED, "256")


def test_a_receipt_in_the_payload_parameter_and_in_ucs2() -> None:
    text = (RECEIPT % (b"EXPIRED", b"002")).decode()
    tlvs = {int(Tag.MESSAGE_PAYLOAD): text.encode("utf-16-be")}
    delivery = read_delivery(1, inbound(b"", 0x04, tlvs=tlvs, data_coding=8))
    assert delivery.receipt == Receipt("0A1B", ReceiptState.EXPIRED, "002")


def test_a_receipt_that_cannot_be_read_is_still_no_text() -> None:
    delivery = read_delivery(1, inbound(b"\xff\x00garbage", 0x04))
    assert delivery.receipt == Receipt("", ReceiptState.UNKNOWN, "")


def test_a_handset_cannot_write_a_receipt() -> None:
    delivery = read_delivery(1, inbound(RECEIPT % (b"DELIVRD", b"000")))
    assert delivery.receipt is None


@pytest.mark.parametrize("esm_class", [0x00, 0x10, 0x18])
def test_texts_of_people_are_texts(esm_class: int) -> None:
    delivery = read_delivery(1, inbound(b"hi", esm_class))
    assert (delivery.receipt, delivery.payload, delivery.has_udh) == (None, b"hi", False)


def test_a_text_in_the_payload_parameter() -> None:
    delivery = read_delivery(1, inbound(b"", tlvs={int(Tag.MESSAGE_PAYLOAD): b"a" * 400}))
    assert delivery.payload == b"a" * 400


def sar(reference: bytes, total: bytes, number: bytes) -> dict[int, bytes]:
    return {
        int(Tag.SAR_MSG_REF_NUM): reference,
        int(Tag.SAR_TOTAL_SEGMENTS): total,
        int(Tag.SAR_SEGMENT_SEQNUM): number,
    }


def test_parts_by_parameters_become_parts_by_header() -> None:
    delivery = read_delivery(1, inbound(b"part", tlvs=sar(b"\x12\x34", b"\x03", b"\x02")))
    assert delivery.has_udh
    assert delivery.payload == bytes((6, 8, 4, 0x12, 0x34, 3, 2)) + b"part"


@pytest.mark.parametrize(("total", "number"), [(b"\0", b"\0"), (b"\2", b"\3"), (b"", b"\1")])
def test_parts_that_cannot_be_are_a_plain_text(total: bytes, number: bytes) -> None:
    delivery = read_delivery(1, inbound(b"part", tlvs=sar(b"\0\1", total, number)))
    assert (delivery.has_udh, delivery.payload) == (False, b"part")


FIELD = st.from_regex(rb"[0-9A-Za-z-]{1,20}", fullmatch=True)


@given(FIELD, st.sampled_from(list(ReceiptState)), st.from_regex(rb"[0-9]{3}", fullmatch=True))
def test_the_fast_reading_equals_the_thorough_one(
    identifier: bytes, state: ReceiptState, err: bytes
) -> None:
    text = (
        b"id:%b sub:001 dlvrd:000 submit date:2611241029 done date:261124103001 stat:%b err:%b text:"
        % (identifier, state.value.encode(), err)
    )
    thorough = find_receipt(text.decode())
    assert thorough is not None
    receipt = read_delivery(1, inbound(text, 0x04)).receipt
    assert receipt == Receipt(thorough.message_id, ReceiptState(thorough.stat), thorough.err)


@given(st.binary(max_size=254), st.integers(0, 255), st.integers(0, 255))
def test_no_octets_raise(payload: bytes, esm_class: int, data_coding: int) -> None:
    read_delivery(1, inbound(payload, esm_class, data_coding=data_coding))
