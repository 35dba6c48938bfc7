"""Connections to the database: the pool of a process, and what to do about a deadlock.

Every role opens one pool at its start. Services take a connection and never commit: the edge
does, with ``with pool.connection() as conn``, which commits when the block ends well.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool

from viesti.db.connections import connect, limit_transactions
from viesti.db.signals import Listener, notify

__all__ = ["Listener", "connect", "notify", "open_pool", "retry_deadlocks"]

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 5


def open_pool(
    dsn: str, min_size: int, max_size: int, name: str
) -> ConnectionPool[psycopg.Connection]:
    """An open pool of ``min_size`` to ``max_size`` connections; ``name`` is the role's.

    Raises psycopg_pool.PoolTimeout if the database does not answer within 30 seconds.
    Connections that died with a restarted server are replaced when next taken.
    """
    pool: ConnectionPool[psycopg.Connection] = ConnectionPool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        name=name,
        open=False,
        timeout=30.0,
        kwargs={"application_name": f"viesti {name}"},
        configure=limit_transactions,
        check=ConnectionPool.check_connection,
    )
    pool.open(wait=True, timeout=30.0)
    return pool


def retry_deadlocks(work: Callable[P, R]) -> Callable[P, R]:
    """``work``, done again when it fell victim to a deadlock or a serialisation failure.

    ``work`` must be a whole transaction, since the failed one rolled back. After the fifth
    failure the error goes up.
    """

    @functools.wraps(work)
    def attempt(*args: P.args, **kwargs: P.kwargs) -> R:
        for failures in range(1, ATTEMPTS):
            try:
                return work(*args, **kwargs)
            except (errors.DeadlockDetected, errors.SerializationFailure):
                # Jitter, or the same two meet again.
                time.sleep(random.uniform(0.005, 0.02) * 2**failures)  # noqa: S311
        return work(*args, **kwargs)

    return attempt
