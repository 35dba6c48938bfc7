"""Transactions in worker threads, so that the event loop never waits for the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
from psycopg_pool import ConnectionPool

from viesti.db.pool import retry_deadlocks

T = TypeVar("T")


class DatabaseThreads:
    """``count`` threads that each run one transaction at a time on the pool."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection], count: int, name: str) -> None:
        self._pool = pool
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[[psycopg.Connection], T]) -> T:
        """The result of ``work``, committed; a deadlock's victim is done again."""

        @retry_deadlocks
        def transaction() -> T:
            with self._pool.connection() as conn:
                return work(conn)

        return await asyncio.get_running_loop().run_in_executor(self._threads, transaction)

    def close(self) -> None:
        """Let what runs end; nothing new begins."""
        self._threads.shutdown(wait=False)
