"""Delivery receipts as the simulated SMSC writes them (SMPP 3.4, appendix B and 5.3.2)."""

from __future__ import annotations

import time
from functools import lru_cache

from viesti.carriers.simulator.settings import IdFormat, ReceiptForm
from viesti.carriers.smpp.codec import encode_message
from viesti.carriers.smpp.pdu import ESM_RECEIPT, STATE_NUMBERS, MessagePdu, Tag


def submit_id(number: int, id_format: IdFormat) -> str:
    """The message id as the answer to the submit writes it."""
    return _hex(number) if id_format == "hex-dec" else str(number)


def receipt_id(number: int, id_format: IdFormat) -> str:
    """The same id as the receipt writes it."""
    return _hex(number) if id_format == "dec-hex" else str(number)


def _hex(number: int) -> str:
    text = f"{number:X}"
    return text if len(text) % 2 == 0 else "0" + text


@lru_cache(maxsize=16)
def _date(minute: int) -> bytes:
    """YYMMDDhhmm of appendix B."""
    return time.strftime("%y%m%d%H%M", time.gmtime(minute * 60)).encode()


def encode_receipt(
    message: MessagePdu,
    message_id: str,
    submitted_s: float,
    state: str,
    err: str,
    form: ReceiptForm,
) -> bytes:
    """The body of the deliver_sm that reports ``state`` of a submitted ``message``."""
    identifier, word = message_id.encode("latin-1"), state.encode("ascii")
    text = b""
    tlvs: dict[int, bytes] | None = None
    if form != "tlv":
        text = b"id:%b sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:%b text:%b" % (
            identifier,
            b"001" if state == "DELIVRD" else b"000",
            _date(int(submitted_s // 60)),
            _date(int(time.time() // 60)),
            word,
            err.encode("latin-1", "replace")[:3],
            _excerpt(message),
        )
    if form != "text":
        tlvs = {
            Tag.RECEIPTED_MESSAGE_ID: identifier + b"\0",
            Tag.MESSAGE_STATE: bytes((STATE_NUMBERS[state],)),
        }
        if err != "000" and err.isdecimal() and int(err):
            # Network type 3 is GSM (section 5.3.2.31).
            code = min(int(err), 0xFFFF)
            tlvs[Tag.NETWORK_ERROR_CODE] = bytes((3, code >> 8, code & 0xFF))
        if message.tlvs and Tag.USER_MESSAGE_REFERENCE in message.tlvs:
            tlvs[Tag.USER_MESSAGE_REFERENCE] = message.tlvs[Tag.USER_MESSAGE_REFERENCE]
    return encode_message(
        MessagePdu(
            message.destination_ton_npi,
            message.destination,
            message.source_ton_npi,
            message.source,
            ESM_RECEIPT,
            0,
            text,
            0,
            tlvs,
        )
    )


def _excerpt(message: MessagePdu) -> bytes:
    """The first 20 octets, as far as they are plain; appendix B wants them and nobody reads them."""
    start = message.payload[:20]
    return start if start.isascii() and message.data_coding == 0 and not message.esm_class else b""
