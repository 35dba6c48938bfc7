"""Whom the filters of a send match; used by ``recipients`` and ``expansion``.

A filter is kept as the client wrote it (``FilterInput``), for a job may read it much later: a
list or a tag then holds whom it holds then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from viesti.domain.contacts.filters import FilterInput, conditions, contact_ids, read_filter

Filters = FilterInput

_FIRST = UUID(int=0)
LAST = UUID(int=2**128 - 1)

# Contacts that one stretch looks at, whether they match or not: some 20 ms.
STRETCH = 20_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Those who match, by id, among the contacts up to ``reached``; None: there are no more."""

    ids: list[UUID]
    reached: UUID | None


def narrows(filters: Filters) -> bool:
    """Whether ``filters`` say anything: a send to everybody must be meant.

    Raises Invalid (GEN-400) for filters that cannot be understood.
    """
    return bool(read_filter(filters))


def store_filters(filters: Filters) -> dict[str, Any]:
    """``filters`` as the job's row keeps them. Raises as ``narrows`` does."""
    read_filter(filters)
    written: dict[str, Any] = msgspec.to_builtins(filters)
    return {name: value for name, value in written.items() if value is not None}


def load_filters(stored: dict[str, Any]) -> Filters:
    return msgspec.convert(stored, Filters)


def find_matches(
    conn: psycopg.Connection,
    account_id: UUID,
    filters: Filters,
    after: UUID | None,
    limit: int,
) -> list[UUID]:
    """The next ``limit`` contacts that match, by id, beyond ``after``. Raises as ``narrows``."""
    return contact_ids(conn, account_id, read_filter(filters), after, limit)


def next_stretch(
    conn: psycopg.Connection,
    account_id: UUID,
    filters: Filters,
    after: UUID | None,
    bound: UUID,
    limit: int,
) -> Stretch:
    """Up to ``limit`` contacts that match, beyond ``after`` and below ``bound``.

    Walks along the primary key, a bounded number of contacts at a time: what a planner believes
    of a filter cannot make a piece of a walk over all contacts read all of them again.
    """
    found = conditions(conn, account_id, read_filter(filters))
    params = {
        **found.params,
        "account": account_id,
        "after": after or _FIRST,
        "bound": bound,
        "limit": limit,
        "stretch": STRETCH,
    }
    rows = conn.execute(
        sql.SQL(
            "SELECT c.id FROM (SELECT * FROM contacts WHERE account_id = %(account)s"
            " AND id > %(after)s AND id < %(bound)s ORDER BY id LIMIT %(stretch)s) c"
            " WHERE {} ORDER BY c.id LIMIT %(limit)s"
        ).format(found.where(indexed=False)),
        params,
        prepare=False,
        binary=True,
    ).fetchall()
    ids = [row[0] for row in rows]
    if len(ids) == limit:
        return Stretch(ids, ids[-1])
    end = conn.execute(
        "SELECT id FROM contacts WHERE account_id = %(account)s AND id > %(after)s"
        " AND id < %(bound)s ORDER BY id OFFSET %(stretch)s - 1 LIMIT 1",
        params,
    ).fetchone()
    if end is None:
        return Stretch(ids, None)
    # A contact that was stored since the first look has moved this end down, not what was read.
    return Stretch(ids, max([end[0], *ids[-1:]]))
