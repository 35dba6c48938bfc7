"""Reads contacts: lists with partial filters and single ones.

Called by the API, the hub and whoever builds an event's body.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from viesti.domain.contacts.counts import EXACT_TO, Count, count_rows
from viesti.domain.contacts.filters import Conditions, ContactFilter, conditions
from viesti.domain.contacts.upsert import ContactRow
from viesti.kit.errors import NotFound
from viesti.kit.ids import find_id

CONTACT_NOT_FOUND = "CONT-002"

# Beyond the known total by more than this, a page is empty without a look: deep offsets cost.
SLACK = 10_000
# So many contacts from either end tell how common a match is.
SAMPLE = 1000
# A page of a common match is looked for among so many contacts before all of them are sorted.
WALK = 50_000

_SELECT = """
SELECT c.id, c.mobile, c.country, c.first_name, c.last_name, c.email, c.attributes, c.tags,
       c.opted_in_at, c.noticed_at, c.created_at, c.updated_at, o.at
FROM contacts c
LEFT JOIN opt_outs o ON o.account_id = %(account)s AND o.mobile = c.mobile
WHERE c.account_id = %(account)s AND
"""


@dataclass(frozen=True, slots=True)
class ContactPage:
    """``count`` of all that match; ``has_next``, always exact: whether any stands behind."""

    contacts: list[ContactRow]
    count: Count
    has_next: bool


def list_contacts(
    conn: psycopg.Connection,
    account_id: UUID,
    narrow: ContactFilter,
    offset: int,
    limit: int,
    after: UUID | None = None,
) -> ContactPage:
    """Live contacts of the account, oldest first: a new one never moves those of a page.

    ``after``: only those beyond this id, so that a walk reads nothing twice.
    """
    found = conditions(conn, account_id, narrow)
    page = {**found.params, "offset": offset, "limit": limit + 1, "after": after or UUID(int=0)}
    if narrow:
        ids, count = _find_page(conn, found, page)
    else:
        count = count_rows(conn, account_id, "contacts")
        beyond = offset > count.total + SLACK
        ids = [] if beyond else _by_key(conn, found.source(indexed=False), page)
    rows = load_contacts(conn, account_id, ids[:limit])
    return ContactPage(list(rows.values()), count, len(ids) > limit)


def _find_page(
    conn: psycopg.Connection, found: Conditions, page: dict[str, Any]
) -> tuple[list[UUID], Count]:
    """The ids of a page of what matches, and how many match."""
    source = found.source(indexed=True)
    # The matches as the index gives them; where these are all, the page is cut out of them.
    record = conn.execute(
        sql.SQL(
            "WITH found AS MATERIALIZED (SELECT c.id FROM {} LIMIT %(most)s)"
            " SELECT (SELECT count(*) FROM found), ARRAY(SELECT id FROM found"
            " WHERE id > %(after)s ORDER BY id LIMIT %(limit)s OFFSET %(offset)s)"
        ).format(source),
        {**page, "most": EXACT_TO + 1},
        prepare=False,
        binary=True,
    ).fetchone()
    assert record is not None
    if record[0] <= EXACT_TO:
        return record[1], Count(record[0])
    total = max(record[0], _estimate(conn, found))
    walk = sql.SQL(
        "(SELECT * FROM contacts w WHERE w.account_id = %(account)s AND w.deleted_at IS NULL"
        " AND w.id > %(after)s ORDER BY w.id LIMIT %(walk)s) c WHERE {}"
    ).format(found.where(indexed=False))
    ids = _by_key(conn, walk, {**page, "walk": WALK})
    if len(ids) < page["limit"]:
        ids = _by_key(conn, source, page)
    return ids, Count(total, exact=False)


def _estimate(conn: psycopg.Connection, found: Conditions) -> int:
    """How many match, by the share among the oldest and the newest contacts.

    The planner cannot tell: it keeps no statistics of an expression in a partial index.
    """
    record = conn.execute(
        sql.SQL(
            "WITH live AS (SELECT * FROM contacts w WHERE w.account_id = %(account)s"
            "  AND w.deleted_at IS NULL),"
            " sample AS ((SELECT * FROM live ORDER BY id LIMIT %(sample)s)"
            "  UNION ALL (SELECT * FROM live ORDER BY id DESC LIMIT %(sample)s))"
            " SELECT count(*), count(*) FILTER (WHERE {}) FROM sample c"
        ).format(found.where(indexed=False)),
        {**found.params, "sample": SAMPLE},
        prepare=False,
    ).fetchone()
    if record is None or not record[0]:
        return 0
    live = count_rows(conn, found.params["account"], "contacts").total
    return live * int(record[1]) // int(record[0])


def _by_key(conn: psycopg.Connection, source: sql.Composable, page: dict[str, Any]) -> list[UUID]:
    return [
        record[0]
        for record in conn.execute(
            sql.SQL(
                "SELECT c.id FROM {} AND c.id > %(after)s"
                " ORDER BY c.id LIMIT %(limit)s OFFSET %(offset)s"
            ).format(source),
            page,
            prepare=False,
            binary=True,
        )
    ]


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
