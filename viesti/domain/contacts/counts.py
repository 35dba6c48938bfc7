"""How many rows there are, without counting them: the ``totalCount`` of every long list.

An account's contacts, messages and conversations are counted once, up to an id that is surely
past: ids are times, and no transaction lasts over 30 s, so nothing is inserted below it any
more. What came after is few rows, and they are counted when asked. ``CountKeeper`` moves that
id on, from the housekeeping; nothing is written where a row is inserted. A deleted contact
keeps its row, and its deletion is noted beside it. Where nobody has counted yet, the live rows
are counted one by one: slower, and right.

By other conditions a count is exact to a bound, and beyond it the planner's estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, LiteralString, cast
from uuid import UUID

import psycopg
from psycopg import sql

from viesti.db.placement import placement
from viesti.kit.ids import bound_at

Kind = Literal["contacts", "messages", "conversations"]

# By a search (design, section 4), and by a conversation, contact or job.
EXACT_TO = 10_000
EXACT_BY_ID_TO = 50_000

# No transaction lasts over 30 s (design, invariant 11); as much again for clocks that disagree.
SETTLED = timedelta(seconds=60)
# Counted anew once a day, so that an error of whatever cause does not stay.
RECOUNT_AFTER = timedelta(days=1)
# Fewer new rows than this are counted faster than noted down.
WORTH_NOTING = 1000
_ACCOUNTS_AT_ONCE = 100

_SINCE: dict[Kind, LiteralString] = {
    "contacts": "SELECT count(*) FROM contacts WHERE account_id = %s AND id >= %s AND id < %s",
    "messages": "SELECT count(*) FROM messages WHERE account_id = %s AND id >= %s AND id < %s",
    "conversations": "SELECT count(*) FROM conversations"
    " WHERE account_id = %s AND id >= %s AND id < %s",
}
_ALL: dict[Kind, LiteralString] = {
    "contacts": "SELECT count(*) FROM contacts WHERE account_id = %s AND deleted_at IS NULL",
    "messages": "SELECT count(*) FROM messages WHERE account_id = %s",
    "conversations": "SELECT count(*) FROM conversations WHERE account_id = %s",
}
_FIRST = UUID(int=0)
_LAST = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Count:
    """``total`` rows; where it is not ``exact``, there are more than the bound, about so many."""

    total: int
    exact: bool = True


def count_rows(conn: psycopg.Connection, account_id: UUID, kind: Kind) -> Count:
    """How many live rows of ``kind`` the account has; always exact."""
    noted = _noted(conn, account_id, kind)
    if noted is None:
        record = conn.execute(_ALL[kind], (account_id,)).fetchone()
        return Count(int(record[0]) if record else 0)
    until, rows = noted
    return Count(rows + _count_between(conn, account_id, kind, until, _LAST))


def note_removal(conn: psycopg.Connection, account_id: UUID, contact_id: UUID) -> None:
    """Note that a contact was deleted; part of its deletion."""
    conn.execute(
        "INSERT INTO contact_removals (account_id, contact_id) VALUES (%s, %s)"
        " ON CONFLICT DO NOTHING",
        (account_id, contact_id),
    )


def count_matches(
    conn: psycopg.Connection,
    source: sql.Composable,
    params: Mapping[str, Any],
    *,
    bound: int = EXACT_TO,
) -> Count:
    """How many rows ``source`` has, a table and its WHERE: exact to ``bound``, then estimated."""
    record = conn.execute(
        sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT %(bound)s) found").format(source),
        {**params, "bound": bound + 1},
        prepare=False,
    ).fetchone()
    found = int(record[0]) if record else 0
    if found <= bound:
        return Count(found)
    return Count(max(found, estimate_matches(conn, source, params)), exact=False)


def estimate_matches(
    conn: psycopg.Connection, source: sql.Composable, params: Mapping[str, Any]
) -> int:
    """How many rows the planner thinks ``source`` has."""
    record = conn.execute(
        sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {}").format(source), params, prepare=False
    ).fetchone()
    assert record is not None
    plan = cast("list[dict[str, dict[str, Any]]]", record[0])
    return int(plan[0]["Plan"]["Plan Rows"])


class CountKeeper:
    """The job that brings ``row_counts`` up to date, some accounts at a time."""

    def __init__(self) -> None:
        self._after = _FIRST

    def __call__(self, conn: psycopg.Connection, now: datetime) -> bool:
        """Whether more accounts are left in this round."""
        accounts: list[UUID] = [
            record[0]
            for record in conn.execute(
                "SELECT id FROM accounts WHERE id > %s ORDER BY id LIMIT %s",
                (self._after, _ACCOUNTS_AT_ONCE),
            )
        ]
        for group in placement(accounts):
            for account_id in group:
                for kind in _SINCE:
                    keep_count(conn, account_id, kind, now)
        more = len(accounts) == _ACCOUNTS_AT_ONCE
        self._after = accounts[-1] if more else _FIRST
        return more


def keep_count(conn: psycopg.Connection, account_id: UUID, kind: Kind, now: datetime) -> None:
    """Bring the account's count up to what is settled by ``now``."""
    key = (account_id, kind)
    noted = conn.execute(
        "SELECT until, recounted_at FROM row_counts WHERE account_id = %s AND kind = %s FOR UPDATE",
        key,
    ).fetchone()
    until = bound_at(now - SETTLED)
    if noted is not None and noted[1] > now - RECOUNT_AFTER:
        fresh = _count_between(conn, account_id, kind, noted[0], until)
        gone = _count_removals(conn, account_id) if kind == "contacts" else 0
        if until <= noted[0] or max(fresh, gone) < WORTH_NOTING:
            return
        removed = _take_removals(conn, account_id) if kind == "contacts" else 0
        conn.execute(
            "UPDATE row_counts SET until = %s, rows = rows + %s, removed = removed + %s"
            " WHERE account_id = %s AND kind = %s",
            (until, fresh, removed, *key),
        )
        return
    rows = _count_between(conn, account_id, kind, _FIRST, until)
    if noted is None and rows < WORTH_NOTING:
        # Without a count, the live rows are counted, and notes of deletions say nothing.
        if kind == "contacts":
            _take_removals(conn, account_id)
        return
    removed = _recount_removals(conn, account_id) if kind == "contacts" else 0
    conn.execute(
        "INSERT INTO row_counts (account_id, kind, until, rows, removed, recounted_at)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (account_id, kind) DO UPDATE"
        " SET until = excluded.until, rows = excluded.rows, removed = excluded.removed,"
        " recounted_at = excluded.recounted_at",
        (*key, until, rows, removed, now),
    )


def _noted(conn: psycopg.Connection, account_id: UUID, kind: Kind) -> tuple[UUID, int] | None:
    """Up to which id has been counted, and how many live rows; all deleted ones are taken off."""
    record = conn.execute(
        "SELECT until, rows - removed - (SELECT count(*) FROM contact_removals"
        " WHERE account_id = %(account)s AND %(kind)s = 'contacts')"
        " FROM row_counts WHERE account_id = %(account)s AND kind = %(kind)s",
        {"account": account_id, "kind": kind},
    ).fetchone()
    return (record[0], int(record[1])) if record else None


def _count_between(
    conn: psycopg.Connection, account_id: UUID, kind: Kind, first: UUID, before: UUID
) -> int:
    # Planned for these very bounds: with others in mind the planner would read the table.
    record = conn.execute(_SINCE[kind], (account_id, first, before), prepare=False).fetchone()
    return int(record[0]) if record else 0


def _count_removals(conn: psycopg.Connection, account_id: UUID) -> int:
    record = conn.execute(
        "SELECT count(*) FROM contact_removals WHERE account_id = %s", (account_id,)
    ).fetchone()
    return int(record[0]) if record else 0


def _take_removals(conn: psycopg.Connection, account_id: UUID) -> int:
    return conn.execute(
        "DELETE FROM contact_removals WHERE account_id = %s", (account_id,)
    ).rowcount


def _recount_removals(conn: psycopg.Connection, account_id: UUID) -> int:
    """All deleted contacts; in one statement with taking their notes, so none counts twice."""
    record = conn.execute(
        "WITH taken AS (DELETE FROM contact_removals WHERE account_id = %(account)s)"
        " SELECT count(*) FROM contacts"
        " WHERE account_id = %(account)s AND deleted_at IS NOT NULL",
        {"account": account_id},
    ).fetchone()
    return int(record[0]) if record else 0
