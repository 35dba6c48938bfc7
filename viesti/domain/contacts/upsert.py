"""Creates or merges many contacts of one account at once, by mobile number.

Used by the send (every recipient becomes a contact) and by contact creation. Rows are
inserted and locked in the order of their numbers, so that parallel calls over the same people
cannot deadlock. Consent is never touched here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from viesti.db.binary import (
    TextArray,
    UuidArray,
)
from viesti.domain.contacts.models import MergeStrategy, ParsedContact
from viesti.domain.contacts.rows import ContactRow, insert_all, insert_missing, write_changed
from viesti.kit.ids import new_ids

_COLUMNS = (
    "id, mobile, country, first_name, last_name, email, attributes, tags,"
    " opted_in_at, noticed_at, created_at, updated_at"
)
_encode = msgspec.json.Encoder().encode


def upsert_contacts(
    conn: psycopg.Connection,
    account_id: UUID,
    contacts: Sequence[ParsedContact],
    strategy: MergeStrategy,
    now: datetime,
) -> dict[str, ContactRow]:
    """The stored contact of each number in ``contacts``, after merging them in their order.

    A number that stands in ``contacts`` several times is merged several times: the last wins.
    """
    writing = begin_upsert(conn, account_id, contacts, strategy, now)
    writing.finish()
    return writing.rows


@dataclass(slots=True)
class Writing:
    """Contacts on their way into the database: ``rows`` by number, as they most likely will be.

    Until ``finish`` they are read but not stored.
    """

    rows: dict[str, ContactRow]
    _conn: psycopg.Connection
    _account_id: UUID
    _wanted: Mapping[str, Sequence[ParsedContact]]
    _strategy: MergeStrategy
    _now: datetime
    _fresh: Sequence[ContactRow]
    _stale: Sequence[str]

    def finish(self) -> bool:
        """Store them. True if another call came between: ``rows`` hold what is stored now."""
        stored: dict[str, ContactRow] = {}
        inserted = insert_all(self._conn, self._account_id, self._fresh)
        while lost := [
            row for row in self._fresh if row.mobile not in inserted and row.mobile not in stored
        ]:
            found = find_contacts_by_mobile(
                self._conn, self._account_id, [row.mobile for row in lost]
            )
            stored.update(found)
            gone = [row for row in lost if row.mobile not in found]
            if gone:
                inserted |= insert_missing(self._conn, self._account_id, gone)
        came_between = bool(stored)
        stale = [
            *self._stale,
            *(number for number, row in stored.items() if self._merge(row)),
        ]
        if stale:
            # Merged again over the locked rows, for another call may have changed them meanwhile.
            locked = find_contacts_by_mobile(self._conn, self._account_id, stale, lock=True)
            changed = [row for row in locked.values() if self._merge(row)]
            for row in changed:
                row.updated_at = self._now
                row.changed = True
            write_changed(self._conn, self._account_id, changed)
            stored.update(locked)
        for number, row in stored.items():
            given = self.rows[number]
            came_between |= _content(given) != _content(row)
            for name in ContactRow.__struct_fields__:
                setattr(given, name, getattr(row, name))
        return came_between

    def _merge(self, row: ContactRow) -> bool:
        return _merge(row, self._wanted[row.mobile], self._strategy)


def begin_upsert(
    conn: psycopg.Connection,
    account_id: UUID,
    contacts: Sequence[ParsedContact],
    strategy: MergeStrategy,
    now: datetime,
) -> Writing:
    """``upsert_contacts`` up to the first row that is written or locked."""
    wanted: dict[str, list[ParsedContact]] = {}
    for contact in contacts:
        wanted.setdefault(contact.mobile, []).append(contact)
    numbers = sorted(wanted)
    rows = find_contacts_by_mobile(conn, account_id, numbers) if numbers else {}
    stale = [number for number, row in rows.items() if _merge(row, wanted[number], strategy)]
    unknown = [number for number in numbers if number not in rows]
    fresh = [
        _fresh_row(row_id, wanted[number], strategy, now)
        for row_id, number in zip(new_ids(len(unknown)), unknown, strict=True)
    ]
    made = {row.mobile: row for row in fresh}
    # A number that opted out stays blocked when its contact is created again.
    _note_opt_outs(conn, account_id, made)
    rows.update(made)
    return Writing(rows, conn, account_id, wanted, strategy, now, fresh, stale)


def _content(row: ContactRow) -> tuple[object, ...]:
    """What a text to ``row`` may depend on."""
    return (
        row.id,
        row.country,
        row.first_name,
        row.last_name,
        row.email,
        row.attributes,
        row.tags,
        row.opted_in_at,
        row.noticed_at,
        row.blocked_at,
    )


def find_contacts_by_mobile(
    conn: psycopg.Connection, account_id: UUID, numbers: Sequence[str], *, lock: bool = False
) -> dict[str, ContactRow]:
    """The live contacts that have one of ``numbers``, with the times they opted out."""
    found = conn.execute(
        f"SELECT {_COLUMNS} FROM contacts"
        " WHERE account_id = %s AND mobile = ANY(%b) AND deleted_at IS NULL"
        " ORDER BY mobile" + (" FOR UPDATE" if lock else ""),
        (account_id, TextArray(numbers)),
        binary=True,
    ).fetchall()
    return _with_opt_outs(conn, account_id, found)


def find_contacts_by_id(
    conn: psycopg.Connection, account_id: UUID, ids: Sequence[UUID]
) -> dict[UUID, ContactRow]:
    """The live contacts among ``ids``, with the times they opted out."""
    found = conn.execute(
        f"SELECT {_COLUMNS} FROM contacts"
        " WHERE account_id = %s AND id = ANY(%b) AND deleted_at IS NULL",
        (account_id, UuidArray(ids)),
        binary=True,
    ).fetchall()
    return {row.id: row for row in _with_opt_outs(conn, account_id, found).values()}


def _with_opt_outs(
    conn: psycopg.Connection, account_id: UUID, found: Sequence[tuple[Any, ...]]
) -> dict[str, ContactRow]:
    rows = {record[1]: ContactRow(*record) for record in found}
    _note_opt_outs(conn, account_id, rows)
    return rows


def _note_opt_outs(conn: psycopg.Connection, account_id: UUID, rows: dict[str, ContactRow]) -> None:
    if rows:
        for mobile, at in conn.execute(
            "SELECT mobile, at FROM opt_outs WHERE account_id = %s AND mobile = ANY(%b)",
            (account_id, TextArray(list(rows))),
        ):
            rows[mobile].blocked_at = at


def _fresh_row(
    row_id: UUID, given: Sequence[ParsedContact], strategy: MergeStrategy, now: datetime
) -> ContactRow:
    first = given[0]
    row = ContactRow(
        id=row_id,
        mobile=first.mobile,
        country=first.country,
        first_name=first.first_name or None,
        last_name=first.last_name or None,
        email=first.email or None,
        attributes=dict(first.attributes),
        tags=list(dict.fromkeys(first.tags)),
        opted_in_at=None,
        noticed_at=None,
        created_at=now,
        updated_at=now,
        inserted=True,
    )
    if len(given) > 1:
        _merge(row, given[1:], strategy)
    return row


def _merge(row: ContactRow, given: Sequence[ParsedContact], strategy: MergeStrategy) -> bool:
    """Merge ``given`` into ``row`` (product decisions, "mergeStrategy"); True if it changed."""
    before = (row.first_name, row.last_name, row.email, row.country, row.attributes, row.tags)
    for contact in given:
        if strategy is MergeStrategy.REMOVE:
            row.first_name = contact.first_name or None
            row.last_name = contact.last_name or None
            row.email = contact.email or None
            row.attributes = dict(contact.attributes)
            row.tags = list(dict.fromkeys(contact.tags))
            row.country = contact.country
            continue
        if contact.first_name is not None:
            row.first_name = contact.first_name or None
        if contact.last_name is not None:
            row.last_name = contact.last_name or None
        if contact.email is not None:
            row.email = contact.email or None
        if strategy is MergeStrategy.APPEND:
            if contact.attributes:
                row.attributes = {**row.attributes, **contact.attributes}
            if contact.tags:
                row.tags = list(dict.fromkeys((*row.tags, *contact.tags)))
    after = (row.first_name, row.last_name, row.email, row.country, row.attributes, row.tags)
    return before != after
