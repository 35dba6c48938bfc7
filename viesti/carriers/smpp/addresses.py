"""Addresses between our form and the wire's: TON, NPI and digits (SMPP 3.4, section 5.2.5-7).

Ours is E.164 with a plus, a short code in digits, or an alphanumeric sender.
"""

from __future__ import annotations

from functools import lru_cache

TON_INTERNATIONAL = 1
TON_NETWORK_SPECIFIC = 3
TON_ALPHANUMERIC = 5
NPI_UNKNOWN = 0
NPI_ISDN = 1  # E.163/E.164

_INTERNATIONAL = bytes((TON_INTERNATIONAL, NPI_ISDN))
_SHORT_CODE = bytes((TON_NETWORK_SPECIFIC, NPI_UNKNOWN))
_ALPHANUMERIC = bytes((TON_ALPHANUMERIC, NPI_UNKNOWN))


def encode_address(address: str) -> bytes:
    """TON, NPI, address and NUL: ``+13475550101`` is ``01 01 "13475550101" 00``.

    A NUL or a character outside ASCII cannot be written in a C-octet string and becomes ``?``;
    senders and numbers are checked long before they come here.
    """
    if address.startswith("+"):
        return _INTERNATIONAL + _octets(address[1:]) + b"\0"
    if address.isdigit():
        return _SHORT_CODE + _octets(address) + b"\0"
    return _ALPHANUMERIC + _octets(address) + b"\0"


def _octets(text: str) -> bytes:
    return text.encode("ascii", "replace").replace(b"\0", b"?")


@lru_cache(maxsize=16384)
def decode_address(ton_npi: bytes, address: bytes) -> str:
    """Our form of an address: a plus for international ones, else as the carrier wrote it."""
    text = address.decode("latin-1")
    if ton_npi[0] == TON_INTERNATIONAL and text.isdigit():
        return "+" + text
    return text
