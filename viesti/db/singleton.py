"""One holder at a time for a name, over all processes: a lease row on the database's clock.

Used by housekeeping. A row rather than an advisory lock, since it also works through a pooler
and does not depend on the node that a session enters by (docs/ARCHITECTURE.md).
"""

from __future__ import annotations

from uuid import UUID

import psycopg

_HOLD = """
INSERT INTO platform (key, value) VALUES (%(key)s, jsonb_build_object(
  'owner', %(owner)s::text, 'until', extract(epoch FROM clock_timestamp()) + %(ttl)s::float8))
ON CONFLICT (key) DO UPDATE SET value = excluded.value
WHERE platform.value ->> 'owner' = %(owner)s::text
  OR (platform.value ->> 'until')::float8 < extract(epoch FROM clock_timestamp())
"""


def hold(conn: psycopg.Connection, name: str, owner: UUID, ttl_s: float) -> bool:
    """Take or renew the lease on ``name`` for ``ttl_s`` seconds; False while another has it."""
    done = conn.execute(_HOLD, {"key": f"lease.{name}", "owner": str(owner), "ttl": ttl_s})
    return done.rowcount == 1


def let_go(conn: psycopg.Connection, name: str, owner: UUID) -> None:
    """Give the lease up, if it is ours, so that another need not wait for its end."""
    conn.execute(
        "DELETE FROM platform WHERE key = %s AND value ->> 'owner' = %s",
        (f"lease.{name}", str(owner)),
    )
