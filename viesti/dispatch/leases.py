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

# Locks of other databases of the same server are not ours; one process may hold its lock twice
# for a moment, when a lost connection lingers at the server.
_LOCKS = (
    "pg_locks k WHERE k.locktype = 'advisory' AND k.classid = %(class)s AND k.granted"
    " AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_ALIVE = "EXISTS (SELECT 1 FROM " + _LOCKS + " AND k.objid = hashtext({owner}::text)::oid)"
_ALIVE_COUNT = "GREATEST(1, (SELECT count(DISTINCT k.objid) FROM " + _LOCKS + "))"
_FREE = (
    "({table}.owner IS NULL OR {table}.lease_until < now() OR NOT "
    + _ALIVE.replace("{owner}", "{table}.owner")
    + ")"
)
# How many of a carrier's slots a dispatcher has a right to.
_BIND_SHARE = "ceil(c.max_binds::numeric / " + _ALIVE_COUNT + ")"
# How many of a carrier's active lanes: shared among those that hold a bind of it.
_LANE_SHARES = (
    "holders AS (SELECT b.carrier_id, count(DISTINCT b.owner) AS n FROM binds b"
    "  WHERE b.lease_until >= now() AND " + _ALIVE.replace("{owner}", "b.owner") + "  GROUP BY 1),"
    " shares AS (SELECT l.carrier_id, count(*) FILTER (WHERE l.owner = %(me)s) AS held,"
    "   ceil(count(*)::numeric / GREATEST(1, max(h.n))) AS share"
    "  FROM lanes l LEFT JOIN holders h USING (carrier_id)"
    "  WHERE l.carrier_id = ANY(%(carriers)s)"
    "  AND (l.active_until > now() OR l.owner = %(me)s OR l.sender_id = ANY(%(hinted)s))"
    "  GROUP BY 1)"
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


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a dispatcher holds, as its leases were prolonged."""

    binds: set[BindLease]
    lanes: dict[UUID, LaneLease]


def announce(conn: psycopg.Connection, me: UUID) -> None:
    """Hold the lock that says that ``me`` lives, for as long as ``conn`` (a direct one) does.

    A shared lock: it does not wait for the server to notice that an earlier connection is gone.
    """
    conn.execute("SELECT pg_advisory_lock_shared(%s, hashtext(%s))", (PRESENCE_CLASS, str(me)))


def take_binds(conn: psycopg.Connection, me: UUID) -> list[BindLease]:
    """Lease every free slot of every enabled carrier that this dispatcher has a right to.

    With several dispatchers alive each takes its even share of a carrier's slots; one that
    starts later finds some free once the others have given back what is above theirs.
    """
    conn.execute(
        "INSERT INTO binds (carrier_id, slot) SELECT c.id, s.slot FROM carriers c"
        " CROSS JOIN LATERAL generate_series(0, c.max_binds - 1) AS s(slot) WHERE c.enabled"
        " ON CONFLICT DO NOTHING"
    )
    rows = conn.execute(
        "WITH free AS (SELECT f.carrier_id, f.slot FROM binds f"
        "   JOIN carriers c ON c.id = f.carrier_id"
        "   WHERE c.enabled AND f.slot < c.max_binds AND "
        + _FREE.replace("{table}", "f")
        + "  ORDER BY f.carrier_id, f.slot FOR UPDATE OF f SKIP LOCKED),"
        " shares AS (SELECT c.id, " + _BIND_SHARE + " - (SELECT count(*) FROM binds o"
        "    WHERE o.carrier_id = c.id AND o.owner = %(me)s) AS open"
        "   FROM carriers c WHERE c.enabled),"
        " mine AS (SELECT n.carrier_id, n.slot FROM (SELECT carrier_id, slot, row_number()"
        "    OVER (PARTITION BY carrier_id ORDER BY slot) AS place FROM free) n"
        "   JOIN shares s ON s.id = n.carrier_id WHERE n.place <= s.open)"
        " UPDATE binds b SET owner = %(me)s, lease_until = now() + %(lease)s * interval '1 s'"
        " FROM mine WHERE b.carrier_id = mine.carrier_id AND b.slot = mine.slot"
        " RETURNING b.carrier_id, b.slot",
        {"me": me, "lease": LEASE_S, "class": PRESENCE_CLASS},
    ).fetchall()
    return [BindLease(*row) for row in rows]


def find_excess_binds(conn: psycopg.Connection, me: UUID) -> list[BindLease]:
    """Slots that ``me`` holds above its share: another dispatcher waits for them."""
    rows = conn.execute(
        "SELECT n.carrier_id, n.slot FROM (SELECT b.carrier_id, b.slot, row_number()"
        "   OVER (PARTITION BY b.carrier_id ORDER BY b.slot) AS place FROM binds b"
        "   WHERE b.owner = %(me)s) n JOIN carriers c ON c.id = n.carrier_id"
        " WHERE n.place > " + _BIND_SHARE,
        {"me": me, "class": PRESENCE_CLASS},
    ).fetchall()
    return [BindLease(*row) for row in rows]


def take_lanes(
    conn: psycopg.Connection,
    me: UUID,
    carriers: Sequence[UUID],
    hinted: Sequence[UUID],
    limit: int,
) -> list[LaneLease]:
    """Lease up to ``limit`` free lanes of ``carriers`` that are active, or hinted to be.

    Of each carrier no more than this dispatcher's share among those that hold a bind of it.
    """
    rows: list[tuple[Any, ...]] = conn.execute(
        "WITH " + _LANE_SHARES + ", free AS ("
        "  SELECT f.sender_id, f.carrier_id FROM lanes f WHERE f.carrier_id = ANY(%(carriers)s)"
        "  AND (f.active_until > now() OR f.sender_id = ANY(%(hinted)s)) AND "
        + _FREE.replace("{table}", "f")
        + "  ORDER BY f.sender_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED),"
        " mine AS (SELECT n.sender_id FROM (SELECT sender_id, carrier_id, row_number()"
        "    OVER (PARTITION BY carrier_id ORDER BY sender_id) AS place FROM free) n"
        "   JOIN shares s USING (carrier_id) WHERE n.place <= s.share - s.held)"
        " UPDATE lanes l SET owner = %(me)s, lease_until = now() + %(lease)s * interval '1 s'"
        " FROM mine, senders s WHERE l.sender_id = mine.sender_id AND s.id = l.sender_id"
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


def find_lane_shares(
    conn: psycopg.Connection, me: UUID, carriers: Sequence[UUID]
) -> dict[UUID, int]:
    """By carrier of which ``me`` holds more than its share of lanes: that share."""
    rows = conn.execute(
        "WITH " + _LANE_SHARES + " SELECT carrier_id, share::int FROM shares WHERE held > share",
        {"me": me, "class": PRESENCE_CLASS, "carriers": list(carriers), "hinted": []},
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def renew(conn: psycopg.Connection, me: UUID, busy_lanes: Sequence[UUID]) -> Renewed:
    """Prolong everything that ``me`` holds, and say what that is.

    Busy lanes stay marked active, so that the mark outlives a long backlog.
    """
    binds = conn.execute(
        "UPDATE binds SET lease_until = now() + %s * interval '1 s' WHERE owner = %s"
        " RETURNING carrier_id, slot",
        (LEASE_S, me),
    ).fetchall()
    # A send that runs long may hold a lane's row: the next renewal is soon enough for that one.
    conn.execute(
        "UPDATE lanes l SET lease_until = now() + %s * interval '1 s',"
        " active_until = CASE WHEN l.sender_id = ANY(%s)"
        "   THEN GREATEST(l.active_until, now() + interval '1 minute') ELSE l.active_until END"
        " WHERE l.sender_id IN ("
        "   SELECT sender_id FROM lanes WHERE owner = %s FOR UPDATE SKIP LOCKED)",
        (LEASE_S, list(busy_lanes), me),
    )
    lanes: list[tuple[Any, ...]] = conn.execute(
        "SELECT l.sender_id, l.account_id, l.carrier_id, s.number, s.rate_per_s"
        " FROM lanes l JOIN senders s ON s.id = l.sender_id WHERE l.owner = %s",
        (me,),
    ).fetchall()
    return Renewed({BindLease(*row) for row in binds}, {row[0]: LaneLease(*row) for row in lanes})


def give_back_lanes(conn: psycopg.Connection, me: UUID, lanes: Sequence[UUID]) -> list[UUID]:
    """Free ``lanes``; returns those whose row somebody holds just now: to be tried again."""
    conn.execute(
        "UPDATE lanes SET owner = NULL, lease_until = NULL WHERE sender_id IN (SELECT sender_id"
        " FROM lanes WHERE owner = %s AND sender_id = ANY(%s) FOR UPDATE SKIP LOCKED)",
        (me, list(lanes)),
    )
    rows = conn.execute(
        "SELECT sender_id FROM lanes WHERE owner = %s AND sender_id = ANY(%s)", (me, list(lanes))
    ).fetchall()
    return [row[0] for row in rows]


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


def give_back_binds(conn: psycopg.Connection, me: UUID, binds: Sequence[BindLease]) -> None:
    conn.execute(
        "UPDATE binds b SET owner = NULL, lease_until = NULL, bound_at = NULL"
        " FROM unnest(%s::uuid[], %s::int[]) AS u(carrier_id, slot)"
        " WHERE b.owner = %s AND b.carrier_id = u.carrier_id AND b.slot = u.slot",
        ([bind.carrier_id for bind in binds], [bind.slot for bind in binds], me),
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
