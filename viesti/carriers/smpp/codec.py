"""PDUs to octets and back, fast and without exceptions; used by both ends of a session.

Decoders answer None for a body that is not well formed: a peer's octets never raise. One
compiled expression checks and cuts the nine leading fields of a message in a single call,
which is what makes tens of thousands of PDUs a second possible.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from functools import lru_cache

from viesti.carriers.smpp.addresses import encode_address
from viesti.carriers.smpp.pdu import (
    ESM_UDHI,
    HEADER_OCTETS,
    MAX_PDU_OCTETS,
    MAX_SHORT_MESSAGE_OCTETS,
    BindPdu,
    Command,
    Frame,
    MessagePdu,
    Tag,
)

_HEADER = struct.Struct(">IIII")
_TLV = struct.Struct(">HH")
_REFERENCE = struct.Struct(">HHH")

# Field sizes of section 5.2 without the final NUL. Addresses are bounded at 64 instead of 20
# octets, since some SMSCs pad or prefix them; the PDU's own length bounds everything else.
_MESSAGE = re.compile(
    rb"([^\0]{0,16})\0(..)([^\0]{0,64})\0(..)([^\0]{0,64})\0(...)"
    rb"([^\0]{0,32})\0([^\0]{0,32})\0(.....)",
    re.DOTALL,
)
_BIND = re.compile(rb"([^\0]{0,64})\0([^\0]{0,64})\0([^\0]{0,64})\0(...)([^\0]{0,64})\0", re.DOTALL)

NO_BODY = b""


def encode_pdu(command: int, status: int, sequence: int, body: bytes = NO_BODY) -> bytes:
    """One whole PDU (section 3.2)."""
    return _HEADER.pack(HEADER_OCTETS + len(body), command, status, sequence) + body


def split_frames(buffer: bytes) -> tuple[list[Frame], int, bool]:
    """The whole PDUs in ``buffer``, how many octets they take, and whether the stream is broken.

    Broken means a length no PDU can have; nothing after it can be trusted to be a PDU.
    """
    frames: list[Frame] = []
    add = frames.append
    unpack = _HEADER.unpack_from
    position, end = 0, len(buffer)
    while end - position >= HEADER_OCTETS:
        length, command, status, sequence = unpack(buffer, position)
        if length < HEADER_OCTETS or length > MAX_PDU_OCTETS:
            return frames, position, True
        following = position + length
        if following > end:
            break
        add((command, status, sequence, position + HEADER_OCTETS, following))
        position = following
    return frames, position, False


def decode_message(buffer: bytes, start: int, end: int) -> MessagePdu | None:
    """The submit_sm or deliver_sm whose body is ``buffer[start:end]``; None if malformed."""
    match = _MESSAGE.match(buffer, start, end)
    if match is None:
        return None
    service, source_kind, source, destination_kind, destination, first, schedule, validity, last = (
        match.groups()
    )
    position = match.end()
    message_end = position + last[4]
    if message_end > end:
        return None
    tlvs: dict[int, bytes] | None = None
    if message_end < end:
        tlvs = decode_tlvs(buffer, message_end, end)
        if tlvs is None:
            return None
    return MessagePdu(
        source_kind,
        source,
        destination_kind,
        destination,
        first[0],
        last[2],
        buffer[position:message_end],
        last[0],
        tlvs,
        service,
        first[1],
        first[2],
        schedule,
        validity,
        last[1],
        last[3],
    )


def decode_tlvs(buffer: bytes, start: int, end: int) -> dict[int, bytes] | None:
    """Optional parameters (section 3.2.4) by tag; None if one passes the end.

    Fewer than four octets left over are padding of careless peers and ignored.
    """
    found: dict[int, bytes] = {}
    while end - start >= 4:
        tag, length = _TLV.unpack_from(buffer, start)
        start += 4
        if start + length > end:
            return None
        found[tag] = buffer[start : start + length]
        start += length
    return found


def encode_tlvs(tlvs: Mapping[int, bytes]) -> bytes:
    """Optional parameters in the order given."""
    return b"".join([_TLV.pack(tag, len(value)) + value for tag, value in tlvs.items()])


def encode_message(message: MessagePdu) -> bytes:
    """The body of a submit_sm or deliver_sm.

    A short_message over 254 octets moves to the message_payload TLV (section 5.3.2.32).
    """
    short, tlvs = message.short_message, message.tlvs
    if len(short) > MAX_SHORT_MESSAGE_OCTETS:
        tlvs = {**(tlvs or {}), Tag.MESSAGE_PAYLOAD: short}
        short = b""
    return b"".join(
        (
            message.service_type,
            b"\0",
            message.source_ton_npi,
            message.source,
            b"\0",
            message.destination_ton_npi,
            message.destination,
            b"\0",
            bytes((message.esm_class, message.protocol_id, message.priority)),
            message.schedule_time,
            b"\0",
            message.validity_period,
            b"\0",
            bytes(
                (
                    message.registered_delivery,
                    message.replace_if_present,
                    message.data_coding,
                    message.default_message_id,
                    len(short),
                )
            ),
            short,
            encode_tlvs(tlvs) if tlvs else b"",
        )
    )


@lru_cache(maxsize=64)
def _submit_middle(has_udh: bool, data_coding: int) -> bytes:
    # esm_class, protocol_id, priority, no schedule, no validity, registered_delivery 1 (a final
    # receipt for each segment, section 5.2.17), no replace, data_coding, no default message.
    return bytes((ESM_UDHI if has_udh else 0, 0, 0, 0, 0, 1, 0, data_coding, 0))


@lru_cache(maxsize=4096)
def _submit_source(source: str) -> bytes:
    return b"\0" + encode_address(source)


def encode_submit(
    sequence: int,
    source: str,
    destination: str,
    payload: bytes,
    data_coding: int,
    has_udh: bool,
    reference: int | None,
) -> bytes:
    """A whole submit_sm that asks for a receipt, out of parts that are made once."""
    length = len(payload)
    if length > MAX_SHORT_MESSAGE_OCTETS:
        tail = b"\0" + _TLV.pack(Tag.MESSAGE_PAYLOAD, length) + payload
    else:
        tail = bytes((length,)) + payload
    if reference is not None:
        tail += _REFERENCE.pack(Tag.USER_MESSAGE_REFERENCE, 2, reference)
    body = b"".join(
        (
            _submit_source(source),
            encode_address(destination),
            _submit_middle(has_udh, data_coding),
            tail,
        )
    )
    return _HEADER.pack(HEADER_OCTETS + len(body), Command.SUBMIT_SM, 0, sequence) + body


# The body of a deliver_sm_resp is an unused, empty message_id (section 4.6.2).
def encode_deliver_resp(sequence: int, status: int = 0) -> bytes:
    """A whole deliver_sm_resp."""
    return _HEADER.pack(17, Command.DELIVER_SM_RESP, status, sequence) + b"\0"


def encode_submit_resp(sequence: int, status: int, message_id: bytes) -> bytes:
    """A whole submit_sm_resp; with an error status it has no body (section 4.4.2)."""
    if status:
        return _HEADER.pack(HEADER_OCTETS, Command.SUBMIT_SM_RESP, status, sequence)
    return (
        _HEADER.pack(17 + len(message_id), Command.SUBMIT_SM_RESP, 0, sequence) + message_id + b"\0"
    )


def decode_message_id(buffer: bytes, start: int, end: int) -> str:
    """The message_id of a submit_sm_resp, or "" if there is none.

    A missing final NUL is forgiven: the answer says that the text was taken, and refusing to
    understand it would only make it taken twice.
    """
    body = buffer[start:end]
    stop = body.find(b"\0")
    return (body if stop < 0 else body[:stop]).decode("latin-1")


def encode_bind(bind: BindPdu) -> bytes:
    """The body of a bind request (section 4.1)."""
    return b"".join(
        (
            bind.system_id,
            b"\0",
            bind.password,
            b"\0",
            bind.system_type,
            b"\0",
            bytes((bind.interface_version, bind.address_ton, bind.address_npi)),
            bind.address_range,
            b"\0",
        )
    )


def decode_bind(buffer: bytes, start: int, end: int) -> BindPdu | None:
    """The bind request whose body is ``buffer[start:end]``; None if malformed."""
    match = _BIND.match(buffer, start, end)
    if match is None:
        return None
    system_id, password, system_type, numbers, address_range = match.groups()
    version, ton, npi = numbers
    return BindPdu(system_id, password, system_type, version, ton, npi, address_range)
