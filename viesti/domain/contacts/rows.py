"""A stored contact, and the statements that write many of them at once; used by ``upsert``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import msgspec
import psycopg
from psycopg.errors import UniqueViolation

from viesti.db.binary import (
    TextArray,
    UuidArray,
    copy_rows,
    json_field,
    moment_field,
    row_head,
    text_array_field,
    text_field,
    uuid_field,
)

_encode = msgspec.json.Encoder().encode
# From here on a COPY saves more than the savepoint around it costs.
_COPY_FROM_ROWS = 64


# A struct rather than a dataclass: ten thousand are made in one call, in no cycle.
class ContactRow(msgspec.Struct, gc=False):
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


def insert_all(conn: psycopg.Connection, account_id: UUID, rows: Sequence[ContactRow]) -> set[str]:
    """The numbers of those of ``rows`` that went in; the others have a contact by now."""
    if not rows:
        return set()
    if len(rows) < _COPY_FROM_ROWS:
        return insert_missing(conn, account_id, rows)
    try:
        # Nobody had these numbers a moment ago, so none of them is likely to be in the way.
        with conn.transaction():
            _copy(conn, account_id, rows)
    except UniqueViolation:
        return insert_missing(conn, account_id, rows)
    return {row.mobile for row in rows}


def _copy(conn: psycopg.Connection, account_id: UUID, rows: Sequence[ContactRow]) -> None:
    head = row_head(11) + uuid_field(account_id) + 2 * moment_field(rows[0].updated_at)
    no_tags, nothing = text_array_field(()), json_field(b"{}")
    copy_rows(
        conn,
        "contacts",
        "account_id, created_at, updated_at, id, mobile, country, first_name, last_name, email,"
        " attributes, tags",
        (
            b"".join(
                (
                    head,
                    uuid_field(row.id),
                    text_field(row.mobile),
                    text_field(row.country),
                    text_field(row.first_name),
                    text_field(row.last_name),
                    text_field(row.email),
                    json_field(_encode(row.attributes)) if row.attributes else nothing,
                    text_array_field(row.tags) if row.tags else no_tags,
                )
            )
            for row in rows
        ),
    )


def insert_missing(
    conn: psycopg.Connection, account_id: UUID, rows: Sequence[ContactRow]
) -> set[str]:
    found = conn.execute(_INSERT, _columns(account_id, rows)).fetchall()
    return {cast(str, record[0]) for record in found}


def write_changed(conn: psycopg.Connection, account_id: UUID, rows: Sequence[ContactRow]) -> None:
    if rows:
        conn.execute(_UPDATE, _columns(account_id, rows))


def _columns(account_id: UUID, rows: Sequence[ContactRow]) -> dict[str, Any]:
    return {
        "account": account_id,
        "now": rows[0].updated_at,
        "ids": UuidArray([row.id for row in rows]),
        "mobiles": TextArray([row.mobile for row in rows]),
        "countries": TextArray([row.country for row in rows]),
        "firsts": TextArray([row.first_name for row in rows]),
        "lasts": TextArray([row.last_name for row in rows]),
        "emails": TextArray([row.email for row in rows]),
        "attributes": TextArray([_json(row.attributes) for row in rows]),
        "tags": TextArray([_json(row.tags) for row in rows]),
    }


def _json(value: dict[str, Any] | list[str]) -> str:
    if not value:
        return "{}" if isinstance(value, dict) else "[]"
    return _encode(value).decode()
