"""SMPP 3.4 numbers and the shapes of decoded PDUs; used by the codec and both session sides.

Section numbers in comments are those of the SMPP 3.4 specification, issue 1.2.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

HEADER_OCTETS = 16
# The specification sets no limit. A message_payload TLV carries at most 64 KiB - 1 octets, so
# anything that claims to be longer is a broken or hostile stream.
MAX_PDU_OCTETS = 64 * 1024
# Section 5.2.21: sm_length is one octet, and 255 is reserved.
MAX_SHORT_MESSAGE_OCTETS = 254
INTERFACE_VERSION = 0x34


class Command(enum.IntEnum):
    """Section 5.1.2.1; an answer is its request with the top bit set."""

    GENERIC_NACK = 0x80000000
    BIND_RECEIVER = 0x00000001
    BIND_RECEIVER_RESP = 0x80000001
    BIND_TRANSMITTER = 0x00000002
    BIND_TRANSMITTER_RESP = 0x80000002
    QUERY_SM = 0x00000003
    QUERY_SM_RESP = 0x80000003
    SUBMIT_SM = 0x00000004
    SUBMIT_SM_RESP = 0x80000004
    DELIVER_SM = 0x00000005
    DELIVER_SM_RESP = 0x80000005
    UNBIND = 0x00000006
    UNBIND_RESP = 0x80000006
    BIND_TRANSCEIVER = 0x00000009
    BIND_TRANSCEIVER_RESP = 0x80000009
    ENQUIRE_LINK = 0x00000015
    ENQUIRE_LINK_RESP = 0x80000015


COMMAND_NAMES = {int(command): command.name.lower() for command in Command}
RESPONSE_BIT = 0x80000000
BINDS = frozenset(
    (Command.BIND_RECEIVER, Command.BIND_TRANSMITTER, Command.BIND_TRANSCEIVER),
)


class Status(enum.IntEnum):
    """The command_status values that we send or single out (section 5.1.3)."""

    OK = 0x00
    INVALID_MESSAGE_LENGTH = 0x01
    INVALID_COMMAND_LENGTH = 0x02
    INVALID_COMMAND_ID = 0x03
    INVALID_BIND_STATUS = 0x04
    ALREADY_BOUND = 0x05
    SYSTEM_ERROR = 0x08
    INVALID_SOURCE = 0x0A
    INVALID_DESTINATION = 0x0B
    BIND_FAILED = 0x0D
    INVALID_PASSWORD = 0x0E
    INVALID_SYSTEM_ID = 0x0F
    MESSAGE_QUEUE_FULL = 0x14
    SUBMIT_FAILED = 0x45
    THROTTLED = 0x58


class Tag(enum.IntEnum):
    """Optional parameters that are read or written here (section 5.3.2)."""

    RECEIPTED_MESSAGE_ID = 0x001E
    USER_MESSAGE_REFERENCE = 0x0204
    SAR_MSG_REF_NUM = 0x020C
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    SC_INTERFACE_VERSION = 0x0210
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    DELIVERY_FAILURE_REASON = 0x0425
    MESSAGE_STATE = 0x0427


# esm_class, section 5.2.12. Bits 2-5 say what kind of message a deliver_sm is.
ESM_TYPE_MASK = 0x3C
ESM_RECEIPT = 0x04  # SMSC delivery receipt
ESM_DELIVERY_ACK = 0x08  # the handset's own acknowledgement
ESM_MANUAL_ACK = 0x10  # a person's acknowledgement: a text, not a receipt
ESM_INTERMEDIATE = 0x20  # intermediate delivery notification
ESM_UDHI = 0x40  # a user data header leads the message

# Section 5.2.28: message_state values by the words that receipts use.
STATE_WORDS = {
    1: "ENROUTE",
    2: "DELIVRD",
    3: "EXPIRED",
    4: "DELETED",
    5: "UNDELIV",
    6: "ACCEPTD",
    7: "UNKNOWN",
    8: "REJECTD",
}
STATE_NUMBERS = {word: number for number, word in STATE_WORDS.items()}


# One whole PDU in a buffer: command, status, sequence, start, end; its body is
# ``buffer[start:end]``. A plain tuple: naming its fields would cost more than unpacking it.
Frame = tuple[int, int, int, int, int]


class MessagePdu(NamedTuple):
    """The body of a submit_sm (section 4.4.1) or deliver_sm (4.6.1); both have one layout.

    A named tuple, because one is made for each text and tuples are cheapest to make.
    """

    source_ton_npi: bytes  # two octets
    source: bytes
    destination_ton_npi: bytes
    destination: bytes
    esm_class: int
    data_coding: int
    short_message: bytes
    registered_delivery: int = 0
    tlvs: dict[int, bytes] | None = None
    service_type: bytes = b""
    protocol_id: int = 0
    priority: int = 0
    schedule_time: bytes = b""
    validity_period: bytes = b""
    replace_if_present: int = 0
    default_message_id: int = 0

    @property
    def payload(self) -> bytes:
        """The message, wherever it is: short_message, or the message_payload TLV (5.3.2.32)."""
        if self.short_message or not self.tlvs:
            return self.short_message
        return self.tlvs.get(Tag.MESSAGE_PAYLOAD, b"")


class BindPdu(NamedTuple):
    """The body of the three bind requests (section 4.1)."""

    system_id: bytes
    password: bytes
    system_type: bytes = b""
    interface_version: int = INTERFACE_VERSION
    address_ton: int = 0
    address_npi: int = 0
    address_range: bytes = b""
