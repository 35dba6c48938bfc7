"""How many segments a text takes, and what each of them carries.

The API prices with ``count_segments``; dispatch submits what ``encode_message`` gives; the hub's
counter and the simulator use the same functions, so that the four always agree.

Sizes: a segment holds 140 octets (3GPP TS 23.040, section 9.2.3.16): 160 septets or 70 UCS-2
units alone. A concatenation header with an 8-bit reference takes 6 octets (section 9.2.3.24.1)
and leaves 153 or 67; with a 16-bit one (section 9.2.3.24.8) 7 octets, leaving 152 or 66.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import msgspec

from viesti.sms.alphabet import ESCAPE, encode_ucs2, find_gsm
from viesti.sms.udh import Concatenation, build_udh

MAX_SEGMENTS: Final = 10  # product decision; a longer text is refused with MSG-007
MAX_PARTS: Final = 255  # what the one-octet part counter of the header can say

GSM_SINGLE: Final = 160
GSM_PART: Final = 153
GSM_PART_WIDE: Final = 152
UCS2_SINGLE: Final = 70
UCS2_PART: Final = 67
UCS2_PART_WIDE: Final = 66

DATA_CODING_GSM: Final = 0x00  # SMPP 3.4, section 5.2.19: SMSC default alphabet
DATA_CODING_UCS2: Final = 0x08


class Encoding(enum.Enum):
    GSM7 = "gsm7"
    UCS2 = "ucs2"


# A struct rather than a dataclass: ten thousand are made in one call.
class SegmentCount(msgspec.Struct, frozen=True, gc=False):
    encoding: Encoding
    segments: int
    units: int  # septets (an extension character is two) or UTF-16 units


@dataclass(frozen=True, slots=True)
class EncodedText:
    encoding: Encoding
    data_coding: int  # SMPP 3.4 section 5.2.19
    parts: tuple[bytes, ...]

    @property
    def segments(self) -> int:
        return len(self.parts)


def _cut_gsm(septets: bytes, size: int) -> tuple[bytes, ...]:
    """Greedy parts of at most ``size`` septets that never end between an escape and its code."""
    parts: list[bytes] = []
    start, length = 0, len(septets)
    while start < length:
        end = start + size
        if end < length and septets[end - 1] == ESCAPE:
            end -= 1
        parts.append(septets[start:end])
        start = end
    return tuple(parts)


def _cut_ucs2(octets: bytes, size: int) -> tuple[bytes, ...]:
    """Greedy parts of at most ``size`` units that never end inside a surrogate pair."""
    parts: list[bytes] = []
    start, length = 0, len(octets)
    while start < length:
        end = start + 2 * size
        if end < length and 0xD8 <= octets[end - 2] <= 0xDB:  # a high surrogate's first octet
            end -= 2
        parts.append(octets[start:end])
        start = end
    return tuple(parts)


def _cut(text: str, *, wide: bool) -> EncodedText:
    septets = find_gsm(text)
    if septets is not None:
        if len(septets) <= GSM_SINGLE:
            return EncodedText(Encoding.GSM7, DATA_CODING_GSM, (septets,))
        parts = _cut_gsm(septets, GSM_PART_WIDE if wide else GSM_PART)
        return EncodedText(Encoding.GSM7, DATA_CODING_GSM, parts)
    octets = encode_ucs2(text)
    if len(octets) <= 2 * UCS2_SINGLE:
        return EncodedText(Encoding.UCS2, DATA_CODING_UCS2, (octets,))
    parts = _cut_ucs2(octets, UCS2_PART_WIDE if wide else UCS2_PART)
    return EncodedText(Encoding.UCS2, DATA_CODING_UCS2, parts)


def count_segments(text: str) -> SegmentCount:
    """The encoding, segments and units of ``text`` with 8-bit references; empty text is one.

    A text beyond ``MAX_SEGMENTS`` is counted too: whether to refuse it is the caller's rule.
    """
    septets = find_gsm(text)
    if septets is not None:
        units = len(septets)
        if units <= GSM_SINGLE:
            return SegmentCount(Encoding.GSM7, 1, units)
        if ESCAPE in septets:
            return SegmentCount(Encoding.GSM7, len(_cut_gsm(septets, GSM_PART)), units)
        return SegmentCount(Encoding.GSM7, -(-units // GSM_PART), units)
    octets = encode_ucs2(text)
    units = len(octets) // 2
    if units <= UCS2_SINGLE:
        return SegmentCount(Encoding.UCS2, 1, units)
    if units == len(text):  # nothing outside the basic plane, so nothing that may not be cut
        return SegmentCount(Encoding.UCS2, -(-units // UCS2_PART), units)
    return SegmentCount(Encoding.UCS2, len(_cut_ucs2(octets, UCS2_PART)), units)


def split_text(text: str, *, wide_reference: bool = False) -> EncodedText:
    """``text`` cut into its segments' contents, without headers."""
    return _cut(text, wide=wide_reference)


def encode_message(text: str, reference: int, wide_reference: bool = False) -> EncodedText:
    """``text`` as the payloads to submit, with a concatenation header when there are several.

    ``reference`` is taken modulo 256, or 65,536 when wide. Raises ValueError beyond 255 parts,
    which no header can count; refuse at ``MAX_SEGMENTS`` long before.
    """
    cut = _cut(text, wide=wide_reference)
    total = len(cut.parts)
    if total == 1:
        return cut
    if total > MAX_PARTS:
        raise ValueError(f"{total} parts; a concatenation header counts to {MAX_PARTS}")
    number = reference & (0xFFFF if wide_reference else 0xFF)
    return EncodedText(
        cut.encoding,
        cut.data_coding,
        tuple(
            build_udh(Concatenation(number, total, sequence, wide_reference)) + part
            for sequence, part in enumerate(cut.parts, 1)
        ),
    )


# Typographic characters and what they become under smart encoding (product decision: quotes,
# dashes, ellipsis, no-break and zero-width spaces).
_SMART: Final = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2035", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2039", "<"),
        **dict.fromkeys("\u203a", ">"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        "\u2026": "...",
        **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", ""),
    }
)


def smart_encode(text: str) -> str:
    """``text`` with typographic characters made plain, if that makes the whole of it GSM 7-bit.

    Otherwise ``text`` itself: it pays for UCS-2 anyway, so nothing is taken from it.
    """
    if find_gsm(text) is not None:
        return text
    plain = text.translate(_SMART)
    return plain if find_gsm(plain) is not None else text
