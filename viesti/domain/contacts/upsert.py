"""Creates or merges many contacts of one account at once, by mobile number.

Used by the send (every recipient becomes a contact) and by contact creation. Rows are
inserted and locked in the order of their numbers, so that parallel calls over the same people
cannot deadlock. Consent is never touched here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import msgspec
import psycopg

from viesti.domain.contacts.models import MergeStrategy, ParsedContact
from viesti.kit.ids import new_id

_COLUMNS = (
    "id, mobile, country, first_name, last_name, email, attributes, tags,"
    " opted_in_at, noticed_at, created_at, updated_at"
)


@dataclass(slots=True)
class ContactRow:
    """A stored contact, with what the upsert did to it."""

    id: UUID
    mobile: str
    country: str
    first_name: str | None
    last_name: str | None
    email: str | None
    attributes: dict[str, Any]
    tags: list[str]
    opted_in_at: datetime | None
    noticed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    blocked_at: datetime | None = None
    inserted: bool = False
    changed: bool = False


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
    if not contacts:
        return {}
    wanted: dict[str, list[ParsedContact]] = {}
    for contact in contacts:
        wanted.setdefault(contact.mobile, []).append(contact)
    numbers = sorted(wanted)
    rows = find_contacts_by_mobile(conn, account_id, numbers)
    fresh = [_fresh_row(wanted[number], strategy, now) for number in numbers if number not in rows]
    if fresh:
        inserted = _insert(conn, account_id, fresh)
        made = {row.mobile: row for row in fresh if row.mobile in inserted}
        # A number that opted out stays blocked when its contact is created again.
        _note_opt_outs(conn, account_id, made)
        rows.update(made)
        lost = [row.mobile for row in fresh if row.mobile not in inserted]
        if lost:
            rows.update(find_contacts_by_mobile(conn, account_id, lost))
    stale = [
        number
        for number in numbers
        if not rows[number].inserted and _merge(rows[number], wanted[number], strategy)
    ]
    if stale:
        # Merged again over the locked rows, for another call may have changed them meanwhile.
        locked = find_contacts_by_mobile(conn, account_id, stale, lock=True)
        changed = [row for row in locked.values() if _merge(row, wanted[row.mobile], strategy)]
        for row in changed:
            row.updated_at = now
            row.changed = True
        _update(conn, account_id, changed)
        rows.update(locked)
    return rows


def find_contacts_by_mobile(
    conn: psycopg.Connection, account_id: UUID, numbers: Sequence[str], *, lock: bool = False
) -> dict[str, ContactRow]:
    """The live contacts that have one of ``numbers``, with the times they opted out."""
    found = conn.execute(
        f"SELECT {_COLUMNS} FROM contacts"
        " WHERE account_id = %s AND mobile = ANY(%b) AND deleted_at IS NULL"
        " ORDER BY mobile" + (" FOR UPDATE" if lock else ""),
        (account_id, list(numbers)),
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
        (account_id, list(ids)),
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
            (account_id, list(rows)),
        ):
            rows[mobile].blocked_at = at


def _fresh_row(
    given: Sequence[ParsedContact], strategy: MergeStrategy, now: datetime
) -> ContactRow:
    first = given[0]
    row = ContactRow(
        id=new_id(),
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


_INSERT = """
INSERT INTO contacts (account_id, id, mobile, country, first_name, last_name, email,
                      attributes, tags, created_at, updated_at)
SELECT %(account)s, u.id, u.mobile, u.country, u.first_name, u.last_name, u.email,
       u.attributes::jsonb, ARRAY(SELECT jsonb_array_elements_text(u.tags::jsonb)), %(now)s, %(now)s
FROM unnest(%(ids)b::uuid[], %(mobiles)b::text[], %(countries)b::text[], %(firsts)b::text[],
            %(lasts)b::text[], %(emails)b::text[], %(attributes)b::text[], %(tags)b::text[])
     AS u(id, mobile, country, first_name, last_name, email, attributes, tags)
ORDER BY u.mobile
ON CONFLICT (account_id, mobile) WHERE deleted_at IS NULL DO NOTHING
RETURNING mobile
"""

_UPDATE = """
UPDATE contacts c SET country = u.country, first_name = u.first_name, last_name = u.last_name,
    email = u.email, attributes = u.attributes::jsonb,
    tags = ARRAY(SELECT jsonb_array_elements_text(u.tags::jsonb)), updated_at = %(now)s
FROM unnest(%(ids)b::uuid[], %(mobiles)b::text[], %(countries)b::text[], %(firsts)b::text[],
            %(lasts)b::text[], %(emails)b::text[], %(attributes)b::text[], %(tags)b::text[])
     AS u(id, mobile, country, first_name, last_name, email, attributes, tags)
WHERE c.account_id = %(account)s AND c.id = u.id
"""


def _insert(conn: psycopg.Connection, account_id: UUID, rows: Sequence[ContactRow]) -> set[str]:
    found = conn.execute(_INSERT, _columns(account_id, rows)).fetchall()
    return {cast(str, record[0]) for record in found}


def _update(conn: psycopg.Connection, account_id: UUID, rows: Sequence[ContactRow]) -> None:
    if rows:
        conn.execute(_UPDATE, _columns(account_id, rows))


def _columns(account_id: UUID, rows: Sequence[ContactRow]) -> dict[str, Any]:
    return {
        "account": account_id,
        "now": rows[0].updated_at,
        "ids": [row.id for row in rows],
        "mobiles": [row.mobile for row in rows],
        "countries": [row.country for row in rows],
        "firsts": [row.first_name for row in rows],
        "lasts": [row.last_name for row in rows],
        "emails": [row.email for row in rows],
        "attributes": [_json(row.attributes) for row in rows],
        "tags": [_json(row.tags) for row in rows],
    }


def _json(value: dict[str, Any] | list[str]) -> str:
    if not value:
        return "{}" if isinstance(value, dict) else "[]"
    return msgspec.json.encode(value).decode()
