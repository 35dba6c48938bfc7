"""The user data header: building and reading the concatenation elements of long texts.

``segments`` builds, ``inbound`` and the simulator read. Reading never raises: what comes over
the air is hostile until proven otherwise.

Source: 3GPP TS 23.040, sections 9.2.3.24, 9.2.3.24.1 (8-bit reference) and 9.2.3.24.8 (16-bit).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_CONCATENATION: Final = 0x00
_CONCATENATION_WIDE: Final = 0x08


@dataclass(frozen=True, slots=True)
class Concatenation:
    reference: int
    total: int  # 1..255
    sequence: int  # 1..total
    wide: bool = False  # a 16-bit reference


def build_udh(concatenation: Concatenation) -> bytes:
    """The whole header, its length octet included: 6 octets, or 7 with a wide reference.

    Raises ValueError if a number does not fit its field.
    """
    total, sequence, reference = (
        concatenation.total,
        concatenation.sequence,
        concatenation.reference,
    )
    if not 1 <= sequence <= total <= 255:
        raise ValueError(f"part {sequence} of {total} cannot be written")
    if concatenation.wide:
        if not 0 <= reference <= 0xFFFF:
            raise ValueError(f"reference {reference} does not fit 16 bits")
        return bytes((6, _CONCATENATION_WIDE, 4, reference >> 8, reference & 0xFF, total, sequence))
    if not 0 <= reference <= 0xFF:
        raise ValueError(f"reference {reference} does not fit 8 bits")
    return bytes((5, _CONCATENATION, 3, reference, total, sequence))


def parse_udh(payload: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The header's elements as (identifier, data), and the body behind it.

    A header that claims to be longer than the payload is no header: no elements, and the whole
    payload as body. An element that overruns its header ends the list, the body still stands.
    """
    if not payload or payload[0] >= len(payload):
        return [], payload
    end = payload[0] + 1
    elements: list[tuple[int, bytes]] = []
    at = 1
    while at + 2 <= end:
        data_end = at + 2 + payload[at + 1]
        if data_end > end:
            break
        elements.append((payload[at], payload[at + 2 : data_end]))
        at = data_end
    return elements, payload[end:]


def _read(identifier: int, data: bytes) -> Concatenation | None:
    if identifier == _CONCATENATION and len(data) == 3:
        found = Concatenation(data[0], data[1], data[2])
    elif identifier == _CONCATENATION_WIDE and len(data) == 4:
        found = Concatenation(data[0] << 8 | data[1], data[2], data[3], wide=True)
    else:
        return None
    # Section 9.2.3.24.1: with a zero, or a sequence beyond the total, the element is ignored.
    return found if 1 <= found.sequence <= found.total else None


def find_concatenation(payload: bytes) -> tuple[Concatenation | None, bytes]:
    """Which part of what ``payload`` (user data with a header) is, and its body.

    Never raises. None when there is no sound concatenation element. Of several the last counts
    (section 9.2.3.24).
    """
    elements, body = parse_udh(payload)
    found: Concatenation | None = None
    for identifier, data in elements:
        found = _read(identifier, data) or found
    return found, body
