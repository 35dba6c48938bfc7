"""Chooses the sender of a text; used by the send and by replies to keywords.

The rule (product decisions, "sender choice"): the open conversation's sender; else the
account's sender of the contact's country; else one with the same dialling code; else the
default one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from viesti.sms.msisdn import dialing_code


@dataclass(frozen=True, slots=True)
class SenderRow:
    """A sender; ``id`` is its lane's id too."""

    id: UUID
    account_id: UUID
    carrier_id: UUID
    number: str
    country: str
    type: str
    is_default: bool


_COLUMNS = "id, account_id, carrier_id, number, country, type, is_default"


def find_senders(conn: psycopg.Connection, account_id: UUID) -> list[SenderRow]:
    """The account's active senders, the default one first, then the oldest."""
    rows: list[tuple[Any, ...]] = conn.execute(
        f"SELECT {_COLUMNS} FROM senders WHERE account_id = %s AND active"
        " ORDER BY is_default DESC, id",
        (account_id,),
    ).fetchall()
    return [SenderRow(*row) for row in rows]


def find_sender_by_number(
    conn: psycopg.Connection, carrier_id: UUID, number: str
) -> SenderRow | None:
    """The sender that ``carrier_id`` knows as ``number``: leads inbound texts to the account."""
    row: tuple[Any, ...] | None = conn.execute(
        f"SELECT {_COLUMNS} FROM senders WHERE carrier_id = %s AND number = %s",
        (carrier_id, number),
    ).fetchone()
    return SenderRow(*row) if row else None


class SenderChoice:
    """The choice among one account's senders, remembered by country."""

    def __init__(self, senders: Sequence[SenderRow]) -> None:
        self._senders = senders
        self._by_id = {sender.id: sender for sender in senders}
        self._by_country: dict[tuple[str, int], SenderRow | None] = {}

    def by_id(self, sender_id: UUID) -> SenderRow | None:
        return self._by_id.get(sender_id)

    def for_contact(self, mobile: str, country: str) -> SenderRow | None:
        """The sender for a contact without an open conversation; None if there is none."""
        key = (country, dialing_code(mobile))
        if key not in self._by_country:
            self._by_country[key] = self._choose(*key)
        return self._by_country[key]

    def _choose(self, country: str, code: int) -> SenderRow | None:
        for sender in self._senders:
            if sender.country == country:
                return sender
        for sender in self._senders:
            if sender.number.startswith("+") and dialing_code(sender.number) == code:
                return sender
        return self._senders[0] if self._senders else None
