"""Runs periodic jobs, in one process of the whole platform at a time; part of the ``work`` role.

A job does a bounded piece in the transaction that it is given and says whether more is left.
Jobs are idempotent: after a crash or a change of the holder they simply run again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from viesti.db.pool import retry_deadlocks
from viesti.db.singleton import hold, let_go
from viesti.kit.clock import utc_now
from viesti.kit.errors import ViestiError

log = structlog.get_logger()

LEASE = "housekeeping"
# Above the longest transaction (30 s), so that the lease cannot end within one.
LEASE_S = 60.0
TICK_S = 1.0
# A job that has much to do lets the others have their turn after this.
TURN_S = 10.0

# Gets a connection in a transaction and the present; True: more is left, call again soon.
Piece = Callable[[psycopg.Connection, datetime], bool | None]


@dataclass(slots=True)
class Job:
    """Something to do every ``every_s`` seconds; ``due_s`` is on the monotonic clock."""

    name: str
    every_s: float
    piece: Piece
    due_s: float = field(default=0.0, repr=False)


def periodic(name: str, every_s: float, piece: Piece) -> Job:
    """A job for ``Housekeeper``; its first run is at once."""
    return Job(name, every_s, piece)


class Housekeeper:
    """A thread that runs ``jobs`` while this process holds the lease."""

    def __init__(
        self,
        pool: ConnectionPool[psycopg.Connection],
        jobs: Sequence[Job],
        owner: UUID,
        *,
        tick_s: float = TICK_S,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._pool = pool
        self._jobs = list(jobs)
        self._owner = owner
        self._tick_s = tick_s
        self._now = now
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the piece under way has ended."""
        self._stopping.set()
        self._thread.join(timeout=LEASE_S)

    def run_due(self) -> None:
        """Give each job that is due its turn; nothing while another process holds the lease."""
        for job in self._jobs:
            if self._stopping.is_set():
                return
            if time.monotonic() < job.due_s:
                continue
            if not self._hold():
                return
            self._turn(job)

    def _turn(self, job: Job) -> None:
        started_s = time.monotonic()
        more = True
        try:
            while more and time.monotonic() - started_s < TURN_S and not self._stopping.is_set():
                more = self._piece(job)
        except (psycopg.Error, PoolTimeout, ViestiError) as error:
            # The rest of the house goes on; the job has its next turn in time.
            log.warning("housekeeping_failed", job=job.name, error=type(error).__name__)
            more = False
        job.due_s = time.monotonic() + (0.0 if more else job.every_s)

    def _piece(self, job: Job) -> bool:
        @retry_deadlocks
        def transaction() -> bool:
            with self._pool.connection() as conn:
                return bool(job.piece(conn, self._now()))

        return transaction()

    def _hold(self) -> bool:
        with self._pool.connection() as conn:
            return hold(conn, LEASE, self._owner, LEASE_S)

    def _run(self) -> None:
        while not self._stopping.wait(self._tick_s):
            try:
                self.run_due()
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("housekeeping_paused", error=type(error).__name__)
        try:
            with self._pool.connection() as conn:
                let_go(conn, LEASE, self._owner)
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("housekeeping_lease_kept", error=type(error).__name__)
