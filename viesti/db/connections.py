"""One connection and the limits that every session of the platform is under."""

from __future__ import annotations

import msgspec
import psycopg
from psycopg.types.json import set_json_dumps, set_json_loads

from viesti.db.binary import register_arrays

# Several times the speed of the standard library's, on every row with attributes.
set_json_dumps(msgspec.json.encode)
set_json_loads(msgspec.json.decode)
# Here, before any connection is opened: a pool may be there before the rooms that use them.
register_arrays()

TRANSACTION_LIMIT_S = 30  # no transaction lasts longer (design, invariant 11)
LOCK_LIMIT_S = 10
# The number from which the server knows transaction_timeout.
POSTGRESQL_17 = 170000


def connect(dsn: str, name: str, *, autocommit: bool = False) -> psycopg.Connection:
    """One connection of its own, under the limits of the pool's. Caller closes it."""
    conn = psycopg.connect(dsn, autocommit=autocommit, application_name=f"viesti {name}")
    limit_transactions(conn)
    return conn


def limit_transactions(conn: psycopg.Connection) -> None:
    """Make the server end statements, waits and transactions that last too long.

    Set per session rather than as a startup option, which poolers such as PgBouncer refuse.
    """
    limits = {
        "statement_timeout": TRANSACTION_LIMIT_S,
        "idle_in_transaction_session_timeout": TRANSACTION_LIMIT_S,
        "lock_timeout": LOCK_LIMIT_S,
    }
    if conn.info.server_version >= POSTGRESQL_17:
        limits["transaction_timeout"] = TRANSACTION_LIMIT_S
    calls = ", ".join(f"set_config('{name}', '{limit}s', false)" for name, limit in limits.items())
    # Statements over arrays of hundreds of ids: a plan made without knowing how many joins them
    # row by row, at ten times the cost of planning anew.
    calls += ", set_config('plan_cache_mode', 'force_custom_plan', false)"
    # Compiling a batch's plan costs more (10 ms) than the batch does.
    calls += ", set_config('jit', 'off', false)"
    conn.execute(f"SELECT {calls}".encode())
    if not conn.autocommit:
        conn.commit()
