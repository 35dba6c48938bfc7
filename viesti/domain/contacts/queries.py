"""Reads contacts: lists with partial filters and single ones.

Called by the API, the hub and whoever builds an event's body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql

from viesti.domain.contacts.upsert import ContactRow
from viesti.kit.errors import NotFound
from viesti.kit.ids import find_id

CONTACT_NOT_FOUND = "CONT-002"

_TRUNK_ZERO = re.compile(r"\(\s*0\s*\)")
_NOT_DIGITS = re.compile(r"[^0-9]+")

_SELECT = """
SELECT c.id, c.mobile, c.country, c.first_name, c.last_name, c.email, c.attributes, c.tags,
       c.opted_in_at, c.noticed_at, c.created_at, c.updated_at, o.at
FROM contacts c
LEFT JOIN opt_outs o ON o.account_id = %(account)s AND o.mobile = c.mobile
WHERE c.account_id = %(account)s AND
"""


@dataclass(frozen=True, slots=True)
class ContactFilter:
    """What a list of contacts is narrowed to, all together; empty: not narrowed.

    The texts match anywhere and in any case; ``mobile`` matches by digits, however it is
    written; each of ``tags`` must be there.
    """

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    mobile: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContactPage:
    contacts: list[ContactRow]
    total_count: int


def list_contacts(
    conn: psycopg.Connection, account_id: UUID, narrow: ContactFilter, offset: int, limit: int
) -> ContactPage:
    """Live contacts of the account, oldest first: a new one never moves those of a page."""
    params: dict[str, Any] = {"account": account_id, "offset": offset, "limit": limit}
    where = sql.SQL(" AND ".join(_clauses(narrow, params)))
    count = conn.execute(sql.SQL("SELECT count(*) FROM contacts c WHERE {}").format(where), params)
    record = count.fetchone()
    total = int(record[0]) if record else 0
    if offset >= total:
        return ContactPage([], total)
    ids = [
        record[0]
        for record in conn.execute(
            sql.SQL(
                "SELECT c.id FROM contacts c WHERE {} ORDER BY c.id LIMIT %(limit)s OFFSET %(offset)s"
            ).format(where),
            params,
        )
    ]
    return ContactPage(list(load_contacts(conn, account_id, ids).values()), total)


def get_contact(
    conn: psycopg.Connection, account_id: UUID, contact_id: str, *, lock: bool = False
) -> ContactRow:
    """One live contact of the account. Raises NotFound (CONT-002)."""
    found = find_id(contact_id)
    row = None
    if found is not None:
        record = conn.execute(
            _SELECT
            + "c.id = %(id)s AND c.deleted_at IS NULL"
            + (" FOR UPDATE OF c" if lock else ""),
            {"account": account_id, "id": found},
            binary=True,
        ).fetchone()
        row = _row(record) if record else None
    if row is None:
        raise NotFound("There is no such contact.", CONTACT_NOT_FOUND)
    return row


def load_contacts(
    conn: psycopg.Connection, account_id: UUID, ids: Iterable[UUID]
) -> dict[UUID, ContactRow]:
    """The contacts of the account among ``ids``, deleted ones too, oldest first."""
    wanted = list(ids)
    if not wanted:
        return {}
    records = conn.execute(
        _SELECT + "c.id = ANY(%(ids)s) ORDER BY c.id",
        {"account": account_id, "ids": wanted},
        binary=True,
    ).fetchall()
    return {record[0]: _row(record) for record in records}


def _row(record: tuple[Any, ...]) -> ContactRow:
    return ContactRow(*record[:12], blocked_at=record[12])


def _clauses(narrow: ContactFilter, params: dict[str, Any]) -> list[LiteralString]:
    clauses: list[LiteralString] = ["c.account_id = %(account)s", "c.deleted_at IS NULL"]
    if narrow.first_name:
        clauses.append("c.first_name ILIKE %(first_name)s")
        params["first_name"] = _anywhere(narrow.first_name)
    if narrow.last_name:
        clauses.append("c.last_name ILIKE %(last_name)s")
        params["last_name"] = _anywhere(narrow.last_name)
    if narrow.email:
        clauses.append("c.email ILIKE %(email)s")
        params["email"] = _anywhere(narrow.email)
    if narrow.mobile:
        digits = _NOT_DIGITS.sub("", _TRUNK_ZERO.sub("", narrow.mobile))
        # A stored number has no trunk zero and no 00, so what begins with zeros is also
        # looked for without them.
        bare = digits.lstrip("0")
        if digits:
            clauses.append("(c.mobile LIKE %(mobile)s OR c.mobile LIKE %(bare)s)")
            params["mobile"] = f"%{digits}%"
            params["bare"] = f"%{bare or digits}%"
        else:
            clauses.append("false")
    if narrow.tags:
        clauses.append("c.tags @> %(tags)s::text[]")
        params["tags"] = list(narrow.tags)
    return clauses


def _anywhere(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
