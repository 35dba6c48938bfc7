"""Monthly partitions of the tables that are ranged by UUIDv7; made ahead of time.

Called after each migration and daily by the ``work`` role. A row outside every month lands in
the default partition, which ``doctor`` and the metrics report.
"""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
from psycopg import sql

from viesti.kit.ids import bound_at

PARTITIONED = ("messages", "events")
MONTHS_AHEAD = 3
# A batch changes all rows of a page in one transaction: each new version must fit beside the row
# that it replaces (heap-only update), which takes more than half of the page. Events change little.
FILLFACTORS = {"messages": 45, "events": 70}


def ensure_partitions(conn: psycopg.Connection, now: datetime) -> list[str]:
    """Make the partitions of this month and the next ``MONTHS_AHEAD``; returns the new names."""
    made: list[str] = []
    for parent in PARTITIONED:
        for ahead in range(MONTHS_AHEAD + 1):
            start, end = _month(now, ahead), _month(now, ahead + 1)
            name = f"{parent}_{start:%Y_%m}"
            exists = conn.execute("SELECT to_regclass(%s)", (name,)).fetchone()
            if exists and exists[0]:
                continue
            conn.execute(
                sql.SQL(
                    "CREATE TABLE {name} PARTITION OF {parent}"
                    " FOR VALUES FROM ({start}) TO ({end}) WITH (fillfactor = {fill})"
                ).format(
                    name=sql.Identifier(name),
                    parent=sql.Identifier(parent),
                    start=sql.Literal(str(bound_at(start))),
                    end=sql.Literal(str(bound_at(end))),
                    fill=sql.Literal(FILLFACTORS[parent]),
                )
            )
            made.append(name)
    return made


def count_strays(conn: psycopg.Connection) -> int:
    """Rows in the default partitions: above zero, the months were not made in time."""
    total = 0
    for parent in PARTITIONED:
        row = conn.execute(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(f"{parent}_default"))
        ).fetchone()
        total += row[0] if row else 0
    return total


def _month(now: datetime, ahead: int) -> datetime:
    months = now.year * 12 + now.month - 1 + ahead
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
