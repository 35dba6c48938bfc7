"""Chooses the sender of a text; used by the send and by replies to keywords.

The rule (product decisions, "sender choice"): the open conversation's sender; else the
account's sender of the contact's country; else one with the same dialling code; else the
default one. Where a group is asked for, its senders stand for the account's
(``domain/groups/choice.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from viesti.sms.number_rules import find_calling_code


@dataclass(frozen=True, slots=True)
class SenderRow:
    """A sender; ``id`` is its lane's id too; the default group's id is the account's."""

    id: UUID
    account_id: UUID
    carrier_id: UUID
    number: str
    country: str
    type: str
    is_default: bool
    group_id: UUID


_COLUMNS = (
    "id, account_id, carrier_id, number, country, type, is_default, coalesce(group_id, account_id)"
)


def find_senders(conn: psycopg.Connection, account_id: UUID) -> list[SenderRow]:
    """The account's active senders, the default one first, then the oldest."""
    rows: list[tuple[Any, ...]] = conn.execute(
        f"SELECT {_COLUMNS} FROM senders WHERE account_id = %s AND active"
        " ORDER BY is_default DESC, id",
        (account_id,),
    ).fetchall()
    return [SenderRow(*row) for row in rows]


def find_senders_by_number(
    conn: psycopg.Connection, carrier_id: UUID, numbers: Sequence[str]
) -> dict[str, SenderRow]:
    """The senders that ``carrier_id`` knows by ``numbers``: lead arrivals to their accounts."""
    rows: list[tuple[Any, ...]] = conn.execute(
        f"SELECT {_COLUMNS} FROM senders WHERE carrier_id = %s AND number = ANY(%s)",
        (carrier_id, list(numbers)),
    ).fetchall()
    return {row[3]: SenderRow(*row) for row in rows}


def find_senders_by_id(conn: psycopg.Connection, ids: Sequence[UUID]) -> dict[UUID, SenderRow]:
    """The senders among ``ids``, whosever they are."""
    rows: list[tuple[Any, ...]] = conn.execute(
        f"SELECT {_COLUMNS} FROM senders WHERE id = ANY(%s)", (list(ids),)
    ).fetchall()
    return {row[0]: SenderRow(*row) for row in rows}


class SenderChoice:
    """The choice among one account's senders, remembered by country.

    ``pools`` narrow what a text without an open conversation may leave from: a sender that fits
    is looked for in each of them in turn, then the first sender of the first that has any.
    """

    def __init__(
        self,
        senders: Sequence[SenderRow],
        pools: Sequence[Sequence[SenderRow]] | None = None,
    ) -> None:
        self._pools = (senders,) if pools is None else pools
        self._by_id = {sender.id: sender for sender in senders}
        self._by_country: dict[tuple[str, int], SenderRow | None] = {}

    @property
    def preferred(self) -> list[UUID]:
        """The senders of the group that was asked for; none: the account's are all alike."""
        return [sender.id for sender in self._pools[0]] if len(self._pools) > 1 else []

    def by_id(self, sender_id: UUID) -> SenderRow | None:
        return self._by_id.get(sender_id)

    def for_contact(self, mobile: str, country: str) -> SenderRow | None:
        """The sender for a contact without an open conversation; None if there is none."""
        key = (country, calling_code(mobile))
        if key not in self._by_country:
            self._by_country[key] = self._choose(*key)
        return self._by_country[key]

    def _choose(self, country: str, code: int) -> SenderRow | None:
        for pool in self._pools:
            fitting = _find_fitting(pool, country, code)
            if fitting is not None:
                return fitting
        return next((pool[0] for pool in self._pools if pool), None)


def _find_fitting(senders: Sequence[SenderRow], country: str, code: int) -> SenderRow | None:
    for sender in senders:
        if sender.country == country:
            return sender
    for sender in senders:
        if code and calling_code(sender.number) == code:
            return sender
    return None


def calling_code(number: str) -> int:
    """0 for what has none: a short code, a name, a number that a carrier made up."""
    return (find_calling_code(number[1:]) or 0) if number.startswith("+") else 0
