"""Runs transactions for requests in worker threads: one request, one transaction.

The transaction is committed before the answer leaves, done again after a deadlock, and a
database that does not answer gives GEN-503.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import psycopg
import structlog
from anyio import CapacityLimiter, to_thread
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from viesti.db.pool import retry_deadlocks
from viesti.kit.errors import Invalid, Unavailable

log = structlog.get_logger()

R = TypeVar("R")

POOL_WAIT_S = 5.0
# Bulk calls and lists may hold this share of the connections, so that single sends find one free.
_BULK_SHARE = 2
LOOK_WITHIN_S = 5
# Files that are taken at a time; each holds a thread while it arrives, and now and then a
# connection. One account's slow files leave room for the others'.
_UPLOADS = 4
_UPLOADS_OF_ACCOUNT = 2


class Database:
    """The pool of this process, as the routes use it."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection]) -> None:
        self.pool = pool
        size = max(1, pool.max_size)
        self._limiter = CapacityLimiter(size)
        self._bulk_limiter = CapacityLimiter(max(1, size // _BULK_SHARE))
        self._upload_limiter = CapacityLimiter(_UPLOADS)
        # Of the accounts that have files under way: nobody else holds a limiter.
        self._account_limiters: WeakValueDictionary[UUID, CapacityLimiter] = WeakValueDictionary()

    async def run(self, work: Callable[[psycopg.Connection], R], *, bulk: bool = False) -> R:
        """What ``work`` gives, in one committed transaction.

        ``work`` may run several times and must not keep anything from a run that failed.
        """
        limiter = self._bulk_limiter if bulk else self._limiter
        return await to_thread.run_sync(partial(self.run_here, work), limiter=limiter)

    async def look(self, work: Callable[[psycopg.Connection], R]) -> R:
        """What ``work`` reads, in statements of at most ``LOOK_WITHIN_S`` each.

        For lists, whose filters a client makes up: a slow one must not keep what others need.
        Raises Unavailable (GEN-503) if it takes longer.
        """

        def bounded(conn: psycopg.Connection) -> R:
            conn.execute("SELECT set_config('statement_timeout', %s, true)", (f"{LOOK_WITHIN_S}s",))
            try:
                return work(conn)
            except errors.QueryCanceled as error:
                raise Unavailable(
                    "The list takes too long to find: narrow the filters, or walk with after."
                ) from error

        return await to_thread.run_sync(partial(self.run_here, bounded), limiter=self._bulk_limiter)

    async def take_file(self, account_id: UUID, work: Callable[[], R]) -> R:
        """What ``work`` gives, in a thread; it takes a file and runs transactions of its own."""
        limiter = self._account_limiters.get(account_id)
        if limiter is None:
            limiter = CapacityLimiter(_UPLOADS_OF_ACCOUNT)
            self._account_limiters[account_id] = limiter
        async with limiter:
            return await to_thread.run_sync(work, limiter=self._upload_limiter)

    def run_here(self, work: Callable[[psycopg.Connection], R]) -> R:
        """As ``run``, in the calling thread."""
        try:
            return self._transact(work)
        except (PoolTimeout, PoolClosed, psycopg.OperationalError, psycopg.InterfaceError) as error:
            log.warning("database_unavailable", error=type(error).__name__)
            raise Unavailable("The database does not answer now; retry in a moment.") from error
        except errors.DataError as error:
            log.warning("data_refused", error=type(error).__name__)
            raise Invalid("A value in the request cannot be stored.") from error

    @retry_deadlocks
    def _transact(self, work: Callable[[psycopg.Connection], R]) -> R:
        with self.pool.connection(timeout=POOL_WAIT_S) as conn:
            return work(conn)
