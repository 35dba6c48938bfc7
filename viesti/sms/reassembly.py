"""From the parts of an inbound text to the text, whatever their number, order and coding.

``inbound`` keeps the parts that have come in the database and joins them with ``join_parts``
when all are there, or when ``INCOMPLETE_AFTER_S`` has passed since the first; the simulator's
handsets join what they receive with the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from viesti.sms.alphabet import decode_gsm, decode_ucs2

# A sender's parts follow each other within seconds; networks retry a busy handset for minutes.
# After ten minutes a person is better served by the text with a gap than by silence.
INCOMPLETE_AFTER_S: Final = 600.0

GAP: Final = "\u2026"  # shown for each run of parts that never came

# SMPP 3.4 section 5.2.19, codes 0-7, where they are a character set of their own.
_CHARSETS: Final[dict[int, str]] = {
    0x01: "latin-1",  # IA5 (ASCII); octets beyond it come from senders who mean Latin-1
    0x02: "latin-1",  # octets, unspecified
    0x03: "latin-1",
    0x04: "latin-1",  # octets, unspecified
    0x05: "shift_jis",
    0x06: "iso8859-5",
    0x07: "iso8859-8",
    0x0E: "euc_kr",
}
_GSM, _OCTETS, _UCS2 = 0, 1, 2


def _alphabet_of_group(data_coding: int) -> int:
    """The alphabet of a 3GPP TS 23.038 section 4 coding group, in SMPP's octet."""
    if data_coding & 0xF0 == 0xF0:  # data coding and message class
        return _OCTETS if data_coding & 0x04 else _GSM
    if data_coding & 0xF0 == 0xE0:  # message waiting, stored, UCS-2
        return _UCS2
    if data_coding & 0xC0 == 0x00:  # general: bits 3 and 2 name the alphabet
        return (_GSM, _OCTETS, _UCS2, _GSM)[data_coding >> 2 & 0x03]
    return _GSM


def decode_text(octets: bytes, data_coding: int) -> str:
    """The text of ``octets`` (no header) under an SMPP 3.4 ``data_coding``. Never raises."""
    if data_coding == 0x00:
        return decode_gsm(octets)
    if data_coding == 0x08:
        return decode_ucs2(octets)
    charset = _CHARSETS.get(data_coding)
    if charset is None:
        alphabet = _alphabet_of_group(data_coding)
        if alphabet == _GSM:
            return decode_gsm(octets)
        if alphabet == _UCS2:
            return decode_ucs2(octets)
        charset = "latin-1"
    return octets.decode(charset, "replace")


def join_parts(parts: Mapping[int, bytes], total: int, data_coding: int) -> str:
    """The text of ``parts`` (bodies without header, by sequence number from 1).

    Bodies are joined before they are decoded, so a pair cut by a careless sender is whole again.
    Parts beyond ``total`` are ignored; each run of missing ones is shown as ``GAP``. Never
    raises.
    """
    runs: list[bytes] = []
    text: list[str] = []
    missing = False
    for sequence in range(1, total + 1):
        body = parts.get(sequence)
        if body is not None:
            runs.append(body)
            missing = False
            continue
        if runs:
            text.append(decode_text(b"".join(runs), data_coding))
            runs = []
        if not missing:
            text.append(GAP)
            missing = True
    if runs:
        text.append(decode_text(b"".join(runs), data_coding))
    return "".join(text)
