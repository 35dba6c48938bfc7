"""Token buckets that hold across processes: how often one API client may ask.

A process takes tokens in small lots and gives back what it does not use, so that most requests
cost the database nothing, and no request passes without a token. Called by ``api/rate.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

# By the database's clock: those of the processes may differ.
_LEVEL = (
    "LEAST(%(burst)s, b.tokens + %(per_s)s *"
    " GREATEST(0, extract(epoch FROM clock_timestamp() - b.filled_at)))"
)
_TAKE = f"""
WITH found AS (
    SELECT {_LEVEL}::float8 AS level FROM rate_buckets b WHERE b.key = %(key)s FOR UPDATE
), given AS (
    SELECT level, CASE WHEN level < 1 THEN 0
        ELSE LEAST(%(wanted)s, GREATEST(1, floor(level / 4))) END AS granted
    FROM found
)
UPDATE rate_buckets b SET tokens = given.level - given.granted, filled_at = clock_timestamp()
FROM given WHERE b.key = %(key)s
RETURNING given.granted::integer, b.tokens
"""


@dataclass(frozen=True, slots=True)
class Lot:
    """``granted`` tokens for the caller, and ``left`` (with fractions) for everybody."""

    granted: int
    left: float


def take_tokens(conn: psycopg.Connection, key: str, wanted: int, per_s: float, burst: int) -> Lot:
    """Up to ``wanted`` tokens of the bucket ``key``, at most a quarter of what it holds.

    The bucket holds ``burst`` tokens and fills by ``per_s`` a second.
    """
    params = {"key": key, "wanted": wanted, "per_s": per_s, "burst": burst}
    # Losing the last moments of the counting in a crash costs nothing.
    conn.execute("SET LOCAL synchronous_commit TO off")
    row = conn.execute(_TAKE, params).fetchone()
    if row is None:
        conn.execute(
            "INSERT INTO rate_buckets (key, tokens, filled_at)"
            " VALUES (%s, %s, clock_timestamp()) ON CONFLICT (key) DO NOTHING",
            (key, burst),
        )
        row = conn.execute(_TAKE, params).fetchone()
    return Lot(*row) if row else Lot(0, 0.0)


def return_tokens(
    conn: psycopg.Connection, unused: Mapping[str, int], per_s: float, burst: int
) -> None:
    """Give back what a process took and did not use."""
    conn.execute("SET LOCAL synchronous_commit TO off")
    conn.execute(
        f"UPDATE rate_buckets b SET filled_at = clock_timestamp(),"
        f" tokens = LEAST(%(burst)s, {_LEVEL} + u.unused)"
        " FROM unnest(%(keys)s::text[], %(counts)s::integer[]) AS u(key, unused)"
        " WHERE b.key = u.key AND b.key IN ("
        "  SELECT key FROM rate_buckets WHERE key = ANY(%(keys)s) ORDER BY key FOR UPDATE)",
        {
            "keys": list(unused),
            "counts": list(unused.values()),
            "per_s": per_s,
            "burst": burst,
        },
    )
