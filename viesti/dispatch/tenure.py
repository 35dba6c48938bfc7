"""A dispatcher's hold on its leases: the one connection they are kept through, and until when.

The connection also holds the lock that says that the dispatcher lives. Used by the loop; all
transactions on it follow each other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import psycopg

from viesti.db.connections import connect
from viesti.dispatch import leases
from viesti.dispatch.leases import Renewed
from viesti.dispatch.settings import LEASE_MARGIN_S, LEASE_S, RENEW_S
from viesti.kit.clock import monotonic_s

R = TypeVar("R")


class Tenure:
    def __init__(self, dsn: str, me: UUID) -> None:
        self.me = me
        self._dsn = dsn
        self._conn: psycopg.Connection | None = None
        self._lock = asyncio.Lock()
        self._ends_s = 0.0
        self._renew_at_s = 0.0

    @property
    def holds(self) -> bool:
        """Whether the leases surely hold, on a clock that goes on while the machine sleeps."""
        return monotonic_s() < self._ends_s

    @property
    def is_due(self) -> bool:
        return monotonic_s() >= self._renew_at_s

    async def do(self, work: Callable[[psycopg.Connection, UUID], R]) -> R:
        """``work`` as one transaction. Raises psycopg.Error.

        The hold is lost for now if that was the connection's end; a lock that was not to be had
        in time ends nothing.
        """
        async with self._lock:
            try:
                return await asyncio.to_thread(self._do, work)
            except psycopg.Error:
                if self._conn is None or self._conn.closed:
                    self._lose()
                raise

    def _do(self, work: Callable[[psycopg.Connection, UUID], R]) -> R:
        if self._conn is None:
            conn = connect(self._dsn, "dispatch leases")
            try:
                leases.announce(conn, self.me)
                conn.commit()
            except psycopg.Error:
                conn.close()
                raise
            self._conn = conn
        with self._conn.transaction():
            return work(self._conn, self.me)

    async def renew(self, busy_lanes: list[UUID]) -> Renewed:
        """Prolong all leases; what they are."""
        started_s = monotonic_s()
        renewed = await self.do(lambda conn, me: leases.renew(conn, me, busy_lanes))
        self._ends_s = started_s + LEASE_S - LEASE_MARGIN_S
        self._renew_at_s = started_s + RENEW_S
        return renewed

    def _lose(self) -> None:
        """Without the lock others may take the leases at once."""
        self._ends_s = 0.0
        self._renew_at_s = 0.0
        conn, self._conn = self._conn, None
        if conn is not None:
            with contextlib.suppress(psycopg.Error):
                conn.close()

    async def end(self) -> None:
        """A clean end: every lease is free at once."""
        with contextlib.suppress(psycopg.Error):
            await self.do(leases.give_back_all)
        self._lose()
