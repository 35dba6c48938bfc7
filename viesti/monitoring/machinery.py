"""What runs and what it is connected to, from the local tables; read by ``status``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg

from viesti.db.traffic import read_traffic
from viesti.monitoring.models import Bind, Carrier, Process

# Beats come every two seconds (db/heartbeat.py); a process that missed so many is not well.
SILENT_S = 10.0
# Housekeeping forgets the silent ones after five minutes; a platform has far fewer processes.
MOST_PROCESSES = 500


@dataclass(frozen=True, slots=True)
class LaneRow:
    id: UUID
    account_id: UUID
    carrier_id: UUID
    sender: str
    is_leased: bool


def read_processes(conn: psycopg.Connection, now: datetime) -> list[Process]:
    """Every role process that was heard of lately, alive or not."""
    rows = conn.execute(
        "SELECT role, host, pid, version, started_at, seen_at FROM processes"
        " ORDER BY role, started_at LIMIT %s",
        (MOST_PROCESSES,),
    ).fetchall()
    found: list[Process] = []
    for role, host, pid, version, started_at, seen_at in rows:
        silent_s = max(0.0, (now - seen_at).total_seconds())
        found.append(Process(role, host, pid, version, started_at, silent_s, silent_s < SILENT_S))
    return found


def read_carriers(conn: psycopg.Connection, now: datetime) -> dict[UUID, Carrier]:
    """Every carrier account with its connections and its traffic; its queue is still empty."""
    carriers = {
        row[0]: Carrier(*row)
        for row in conn.execute(
            "SELECT id, name, kind, enabled, rate_per_s, max_binds FROM carriers ORDER BY name"
        )
    }
    # A row whose lease ended says how things were: it counts as not bound.
    rows = conn.execute(
        "SELECT b.carrier_id, b.slot,"
        "  CASE WHEN b.owner IS NOT NULL AND b.lease_until >= now() THEN b.bound_at END,"
        "  b.last_error,"
        "  CASE WHEN b.lease_until >= now() THEN p.role || ' ' || p.host || ':' || p.pid END"
        " FROM binds b JOIN carriers c ON c.id = b.carrier_id"
        " LEFT JOIN processes p ON p.id = b.owner"
        " WHERE b.slot < c.max_binds ORDER BY b.carrier_id, b.slot"
    ).fetchall()
    for carrier_id, slot, bound_at, last_error, process in rows:
        carriers[carrier_id].binds.append(Bind(slot, bound_at, last_error, process))
    for carrier_id, per_s in read_traffic(conn, now).items():
        if carrier_id in carriers:
            carriers[carrier_id].per_s = per_s
    return carriers


def read_lanes(conn: psycopg.Connection) -> dict[UUID, LaneRow]:
    """Every lane: one row per sender, so tens of thousands at most."""
    return {
        row[0]: LaneRow(*row)
        for row in conn.execute(
            "SELECT l.sender_id, l.account_id, l.carrier_id, s.number,"
            "  l.owner IS NOT NULL AND l.lease_until >= now()"
            " FROM lanes l JOIN senders s ON s.id = l.sender_id",
            binary=True,
        )
    }


def read_accounts(conn: psycopg.Connection) -> dict[UUID, str]:
    """Every account with its name."""
    return dict(conn.execute("SELECT id, name FROM accounts").fetchall())


def count_strays(conn: psycopg.Connection, most: int) -> int:
    """Rows in the default partitions, up to ``most`` of each."""
    row = conn.execute(
        "SELECT (SELECT count(*) FROM (SELECT FROM messages_default LIMIT %(most)s) m)"
        " + (SELECT count(*) FROM (SELECT FROM events_default LIMIT %(most)s) e)",
        {"most": most},
    ).fetchone()
    return row[0] if row else 0
