"""Leases of binds and lanes: who may write to which carrier; used by the dispatch loop.

Leases live by the database's clock. A dispatcher also holds an advisory lock for as long as its
connection lives: when the process dies, the lock is gone at once and so are its leases, without
waiting for their end. All tables here are local ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from viesti.dispatch.settings import LEASE_S

# Class of the advisory locks that say "this dispatcher lives"; any number that is ours.
PRESENCE_CLASS = 73_310

_ALIVE = (
    "EXISTS (SELECT 1 FROM pg_locks k WHERE k.locktype = 'advisory' AND k.classid = %(class)s"
    " AND k.objid = hashtext({owner}::text)::oid AND k.granted)"
)
_FREE = (
    "({table}.owner IS NULL OR {table}.lease_until < now() OR NOT "
    + _ALIVE.replace("{owner}", "{table}.owner")
    + ")"
)


@dataclass(frozen=True, slots=True)
class BindLease:
    carrier_id: UUID
    slot: int


@dataclass(frozen=True, slots=True)
class LaneLease:
    lane_id: UUID
    account_id: UUID
    carrier_id: UUID
    number: str
    rate_per_s: float


def announce(conn: psycopg.Connection, me: UUID) -> None:
    """Hold the lock that says that ``me`` lives, for as long as ``conn`` (a direct one) does."""
    conn.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (PRESENCE_CLASS, str(me)))


def take_binds(conn: psycopg.Connection, me: UUID) -> list[BindLease]:
    """Lease every free slot of every enabled carrier that this dispatcher has a right to.

    With several dispatchers alive each takes its even share of a carrier's slots, so that one
    that starts later finds some free once the others have given theirs back.
    """
    conn.execute(
        "INSERT INTO binds (carrier_id, slot) SELECT c.id, s.slot FROM carriers c"
        " CROSS JOIN LATERAL generate_series(0, c.max_binds - 1) AS s(slot) WHERE c.enabled"
        " ON CONFLICT DO NOTHING"
    )
    rows = conn.execute(
        "UPDATE binds b SET owner = %(me)s, lease_until = now() + %(lease)s * interval '1 s'"
        " WHERE (b.carrier_id, b.slot) IN ("
        "  SELECT f.carrier_id, f.slot FROM binds f JOIN carriers c ON c.id = f.carrier_id"
        "  WHERE c.enabled AND f.slot < c.max_binds AND "
        + _FREE.replace("{table}", "f")
        + "  AND (SELECT count(*) FROM binds o WHERE o.carrier_id = f.carrier_id"
        "       AND o.owner = %(me)s) < ceil(c.max_binds::numeric / GREATEST(1, (SELECT count(*)"
        "       FROM pg_locks k WHERE k.locktype = 'advisory' AND k.classid = %(class)s"
        "       AND k.granted)))"
        "  FOR UPDATE OF f SKIP LOCKED)"
        " RETURNING b.carrier_id, b.slot",
        {"me": me, "lease": LEASE_S, "class": PRESENCE_CLASS},
    ).fetchall()
    return [BindLease(*row) for row in rows]


def take_lanes(
    conn: psycopg.Connection,
    me: UUID,
    carriers: Sequence[UUID],
    hinted: Sequence[UUID],
    limit: int,
) -> list[LaneLease]:
    """Lease up to ``limit`` free lanes of ``carriers`` that are active, or hinted to be."""
    rows: list[tuple[Any, ...]] = conn.execute(
        "UPDATE lanes l SET owner = %(me)s, lease_until = now() + %(lease)s * interval '1 s'"
        " FROM senders s WHERE s.id = l.sender_id AND l.sender_id IN ("
        "  SELECT f.sender_id FROM lanes f WHERE f.carrier_id = ANY(%(carriers)s)"
        "  AND (f.active_until > now() OR f.sender_id = ANY(%(hinted)s)) AND "
        + _FREE.replace("{table}", "f")
        + "  ORDER BY f.sender_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)"
        " RETURNING l.sender_id, l.account_id, l.carrier_id, s.number, s.rate_per_s",
        {
            "me": me,
            "lease": LEASE_S,
            "class": PRESENCE_CLASS,
            "carriers": list(carriers),
            "hinted": list(hinted),
            "limit": limit,
        },
    ).fetchall()
    return [LaneLease(*row) for row in rows]


def renew(
    conn: psycopg.Connection, me: UUID, busy_lanes: Sequence[UUID]
) -> tuple[set[BindLease], dict[UUID, float]]:
    """Prolong everything that ``me`` holds; returns the binds and the lanes with their rates.

    Busy lanes stay marked active, so that the mark outlives a long backlog.
    """
    binds = conn.execute(
        "UPDATE binds SET lease_until = now() + %s * interval '1 s' WHERE owner = %s"
        " RETURNING carrier_id, slot",
        (LEASE_S, me),
    ).fetchall()
    lanes = conn.execute(
        "UPDATE lanes l SET lease_until = now() + %s * interval '1 s',"
        " active_until = CASE WHEN l.sender_id = ANY(%s)"
        "   THEN GREATEST(l.active_until, now() + interval '1 minute') ELSE l.active_until END"
        " FROM senders s WHERE l.owner = %s AND s.id = l.sender_id"
        " RETURNING l.sender_id, s.rate_per_s",
        (LEASE_S, list(busy_lanes), me),
    ).fetchall()
    return {BindLease(*row) for row in binds}, {row[0]: row[1] for row in lanes}


def give_back_lanes(conn: psycopg.Connection, me: UUID, lanes: Sequence[UUID]) -> None:
    conn.execute(
        "UPDATE lanes SET owner = NULL, lease_until = NULL WHERE owner = %s AND sender_id = ANY(%s)",
        (me, list(lanes)),
    )


def find_idle_lanes(conn: psycopg.Connection, lanes: Sequence[UUID]) -> list[UUID]:
    """Those of ``lanes`` whose mark has run out."""
    rows = conn.execute(
        "SELECT sender_id FROM lanes WHERE sender_id = ANY(%s)"
        " AND (active_until IS NULL OR active_until < now())",
        (list(lanes),),
    ).fetchall()
    return [row[0] for row in rows]


def give_back_all(conn: psycopg.Connection, me: UUID) -> None:
    """A clean end: everything is free at once."""
    conn.execute("UPDATE lanes SET owner = NULL, lease_until = NULL WHERE owner = %s", (me,))
    conn.execute(
        "UPDATE binds SET owner = NULL, lease_until = NULL, bound_at = NULL WHERE owner = %s",
        (me,),
    )


def give_back_binds(conn: psycopg.Connection, me: UUID, carrier_id: UUID) -> None:
    conn.execute(
        "UPDATE binds SET owner = NULL, lease_until = NULL, bound_at = NULL"
        " WHERE owner = %s AND carrier_id = %s",
        (me, carrier_id),
    )


def report_bind(
    conn: psycopg.Connection, me: UUID, lease: BindLease, *, is_bound: bool, error: str
) -> None:
    """Show the state of a bind to people (status, doctor, hub)."""
    conn.execute(
        "UPDATE binds SET bound_at = CASE WHEN %s THEN now() END, last_error = %s"
        " WHERE carrier_id = %s AND slot = %s AND owner = %s",
        (is_bound, error[:500], lease.carrier_id, lease.slot, me),
    )
