"""The addresses of inbound PDUs as the database knows them; used by the whole room.

Carriers write one number in several ways: with and without its plus, or as people dial it in
the sender's country.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

import psycopg

from viesti.domain.senders.choice import SenderRow, find_senders_by_number
from viesti.sms.msisdn import parse_msisdn

# As many digits make an unmarked number international first (E.164 allows 15).
_INTERNATIONAL_DIGITS = range(11, 16)
# Longer than any address (SMPP 3.4 section 5.2.9: 20 characters).
_LONGEST = 40
NO_ADDRESS = "unknown"


@dataclass(frozen=True, slots=True)
class Handset:
    """Who wrote: an E.164 number with its country, or a short code or name as it came."""

    mobile: str
    country: str = ""


def clean(text: str) -> str:
    """``text`` as PostgreSQL can store it: no NUL, no half surrogate."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def read_handset(address: str, country: str) -> Handset:
    """The handset behind ``address``, which came to a sender of ``country``. Never raises."""
    address = clean(address[:_LONGEST]).strip()
    readings = [(address, country or None)]
    if address.isascii() and address.isdigit():
        international = (f"+{address}", None)
        first = len(address) in _INTERNATIONAL_DIGITS
        readings.insert(0 if first else 1, international)
    elif not address.startswith("+"):
        # A name: nothing of it is dialled, even if its letters stand on a keypad.
        return Handset(address or NO_ADDRESS)
    for raw, home in readings:
        found = parse_msisdn(raw, home)
        if found is not None:
            return Handset(found.e164, found.country)
    if address.isascii() and address.isdigit() and len(address) in _INTERNATIONAL_DIGITS:
        # Of a range that was opened after our tables were made; the network knows it.
        return Handset(f"+{address}")
    return Handset(address)


def has_route_back(mobile: str) -> bool:
    """Whether a handset can be written to: a name cannot."""
    return mobile.startswith("+") or mobile.isdigit()


def numbers_agree(one: str, other: str, digits: int) -> bool:
    """Whether two spellings may be of one number: their last ``digits`` characters are equal."""
    return one[-digits:] == other[-digits:]


def find_owners(
    conn: psycopg.Connection, carrier_id: UUID, addresses: Iterable[str]
) -> dict[str, SenderRow]:
    """The sender that each of ``addresses`` means to this carrier; absent where it is none."""
    spellings = {address: _spellings(address) for address in set(addresses)}
    known = find_senders_by_number(
        conn, carrier_id, sorted({number for some in spellings.values() for number in some})
    )
    return _owners(spellings, known)


def _owners(
    spellings: Mapping[str, Collection[str]], known: Mapping[str, SenderRow]
) -> dict[str, SenderRow]:
    owners: dict[str, SenderRow] = {}
    for address, numbers in spellings.items():
        owner = next((known[number] for number in numbers if number in known), None)
        if owner is not None:
            owners[address] = owner
    return owners


def _spellings(address: str) -> list[str]:
    """How the sender may be written in our table, the likeliest first."""
    bare = clean(address[:_LONGEST]).strip()
    found = [bare]
    if bare.isascii() and bare.isdigit():
        found.append(f"+{bare}")
        # A North American number without its country code.
        if len(bare) == 10:
            found.append(f"+1{bare}")
    elif bare.startswith("+"):
        # Short codes marked as international are seen in the wild.
        found.append(bare[1:])
    return found
