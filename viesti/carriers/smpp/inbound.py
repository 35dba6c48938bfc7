"""A deliver_sm as dispatch sees it: a receipt or (a part of) a text, in one form whatever the wire.

Called by the session for each inbound PDU. Receipts are read from TLVs first and from the text
second; parts joined by SAR parameters get the user data header that means the same.
"""

from __future__ import annotations

import re

from viesti.carriers.base import Delivery, Receipt, ReceiptState
from viesti.carriers.smpp.addresses import decode_address
from viesti.carriers.smpp.pdu import (
    ESM_DELIVERY_ACK,
    ESM_INTERMEDIATE,
    ESM_RECEIPT,
    ESM_TYPE_MASK,
    ESM_UDHI,
    STATE_WORDS,
    MessagePdu,
    Tag,
)
from viesti.sms.dlr import find_receipt

_RECEIPT_TYPES = frozenset((ESM_RECEIPT, ESM_DELIVERY_ACK, ESM_INTERMEDIATE))
_STATES = {state.value: state for state in ReceiptState}
# Appendix B to the letter, which is what most carriers send: read here in one step, a tenth of
# what ``find_receipt`` takes for all the liberties. Both give the same answer.
_PLAIN_RECEIPT = re.compile(
    rb"id:([0-9A-Za-z-]{1,64}) sub:[0-9]{1,3} dlvrd:[0-9]{1,3} submit date:[0-9]{10,12} "
    rb"done date:[0-9]{10,12} stat:(DELIVRD|UNDELIV|EXPIRED|REJECTD|DELETED|ACCEPTD|ENROUTE|UNKNOWN)"
    rb" err:([0-9A-Za-z]{1,8})(?: [tT]ext:|$)"
)
_NO_TLVS: dict[int, bytes] = {}
_UCS2 = 0x08


def read_delivery(token: object, message: MessagePdu) -> Delivery:
    """What an inbound PDU brings; ``token`` comes back when it is acknowledged."""
    tlvs = message.tlvs or _NO_TLVS
    payload = message.short_message or tlvs.get(Tag.MESSAGE_PAYLOAD, b"")
    esm_class = message.esm_class
    receipt: Receipt | None = None
    has_udh = bool(esm_class & ESM_UDHI)
    # A handset can write a text that looks like a receipt, but it can neither set esm_class nor
    # add a receipted_message_id: only those two make a receipt.
    if esm_class & ESM_TYPE_MASK in _RECEIPT_TYPES or Tag.RECEIPTED_MESSAGE_ID in tlvs:
        receipt = _read_receipt(payload, message.data_coding, tlvs)
    elif not has_udh and Tag.SAR_MSG_REF_NUM in tlvs:
        header = _sar_header(tlvs)
        if header:
            payload, has_udh = header + payload, True
    return Delivery(
        token,
        decode_address(message.source_ton_npi, message.source),
        decode_address(message.destination_ton_npi, message.destination),
        payload,
        message.data_coding,
        has_udh,
        receipt,
    )


def _read_receipt(payload: bytes, data_coding: int, tlvs: dict[int, bytes]) -> Receipt:
    message_id, word, carrier_error = _read_text(payload, data_coding)
    reference: int | None = None
    if tlvs:
        identifier = tlvs.get(Tag.RECEIPTED_MESSAGE_ID, b"").split(b"\0", 1)[0]
        message_id = identifier.decode("latin-1") or message_id
        word = STATE_WORDS.get(_integer(tlvs.get(Tag.MESSAGE_STATE)), word)
        network_error = tlvs.get(Tag.NETWORK_ERROR_CODE, b"")
        # Section 5.3.2.31: the network's type in one octet, its error code in two.
        if not carrier_error and len(network_error) == 3:
            carrier_error = str(int.from_bytes(network_error[1:]))
        if Tag.USER_MESSAGE_REFERENCE in tlvs:
            reference = _integer(tlvs[Tag.USER_MESSAGE_REFERENCE])
    state = _STATES.get(word, ReceiptState.UNKNOWN)
    return Receipt(message_id, state, carrier_error, reference)


def _read_text(payload: bytes, data_coding: int) -> tuple[str, str, str]:
    """Message id, state word and error, each "" if the text does not say it."""
    plain = _PLAIN_RECEIPT.match(payload)
    if plain is not None:
        return plain[1].decode(), plain[2].decode(), plain[3].decode()
    text = payload.decode("utf-16-be" if data_coding == _UCS2 else "latin-1", "replace")
    written = find_receipt(text)
    if written is None:
        return "", "", ""
    return written.message_id, written.stat, written.err


def _integer(octets: bytes | None) -> int:
    return int.from_bytes(octets) if octets else 0


def _sar_header(tlvs: dict[int, bytes]) -> bytes:
    """The 16-bit concatenation element (3GPP TS 23.040, 9.2.3.24.8) that says the same."""
    reference = _integer(tlvs.get(Tag.SAR_MSG_REF_NUM)) & 0xFFFF
    total = _integer(tlvs.get(Tag.SAR_TOTAL_SEGMENTS))
    number = _integer(tlvs.get(Tag.SAR_SEGMENT_SEQNUM))
    if not 1 <= number <= total <= 255:
        return b""
    return bytes((6, 8, 4, reference >> 8, reference & 0xFF, total, number))
