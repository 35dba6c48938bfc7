"""What dispatchers did on their carriers during the last 15 seconds, for people to see.

Each dispatcher keeps one row, which ``viesti.monitoring`` reads; nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from viesti.kit.clock import iso

# What is counted, a second: segments written, taken, refused for good, put off by the carrier
# (throttled), put off by an error that may pass, without an answer; receipts; inbound texts.
FIELDS = (
    "submitted",
    "accepted",
    "refused",
    "throttled",
    "retried",
    "unanswered",
    "receipts",
    "inbound",
)
# Reports come every two seconds; an older one is of a process that is gone or hangs.
FRESH = timedelta(seconds=15)

_KEY = "traffic."


def report_traffic(
    conn: psycopg.Connection,
    process: UUID,
    per_s: Mapping[UUID, Mapping[str, float]],
    now: datetime,
) -> None:
    """Replace what ``process`` said before: by carrier, those of ``FIELDS`` that it knows."""
    value = {
        "at": iso(now),
        "carriers": {
            str(carrier): {name: round(rate, 3) for name, rate in rates.items()}
            for carrier, rates in per_s.items()
        },
    }
    conn.execute(
        "INSERT INTO platform (key, value) VALUES (%s, %s)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (f"{_KEY}{process}", Jsonb(value)),
    )


def forget_traffic(conn: psycopg.Connection, process: UUID) -> None:
    """The process ends: it does nothing any more."""
    conn.execute("DELETE FROM platform WHERE key = %s", (f"{_KEY}{process}",))


def forget_stale_traffic(conn: psycopg.Connection, before: datetime) -> None:
    """Delete the rows of processes that said nothing since ``before``."""
    conn.execute(
        "DELETE FROM platform WHERE starts_with(key, %s) AND value ->> 'at' < %s",
        (_KEY, iso(before)),
    )


def read_traffic(conn: psycopg.Connection, now: datetime) -> dict[UUID, dict[str, float]]:
    """By carrier, the sum of what its dispatchers do a second: each of ``FIELDS``."""
    rows = conn.execute(
        "SELECT value FROM platform WHERE starts_with(key, %s) AND value ->> 'at' > %s",
        (_KEY, iso(now - FRESH)),
    ).fetchall()
    total: dict[UUID, dict[str, float]] = {}
    for (value,) in rows:
        for carrier, rates in value["carriers"].items():
            known = total.setdefault(UUID(carrier), dict.fromkeys(FIELDS, 0.0))
            for name in FIELDS:
                known[name] += float(rates.get(name, 0.0))
    return total
