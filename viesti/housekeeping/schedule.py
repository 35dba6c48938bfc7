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
# So soon another process takes over from one that was killed. The lease is renewed before each
# piece; a piece that takes longer may meet another holder's, which harms nothing: pieces lock
# what they change and are idempotent.
LEASE_S = 15.0
# No transaction lasts longer than 30 s (design, invariant 11).
STOP_WITHIN_S = 60.0
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
    """A thread that runs ``jobs`` while this process holds ``lease``, one for each such set."""

    def __init__(
        self,
        pool: ConnectionPool[psycopg.Connection],
        jobs: Sequence[Job],
        owner: UUID,
        *,
        lease: str = LEASE,
        lease_s: float = LEASE_S,
        tick_s: float = TICK_S,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._pool = pool
        self._jobs = list(jobs)
        self._owner = owner
        self._lease, self._lease_s = lease, lease_s
        self._tick_s = tick_s
        self._now = now
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=lease, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the piece under way has ended."""
        self._stopping.set()
        self._thread.join(timeout=STOP_WITHIN_S)

    def run_due(self) -> None:
        """Give each job that is due its turn; nothing while another process holds the lease."""
        for job in self._jobs:
            if self._stopping.is_set():
                return
            if time.monotonic() < job.due_s:
                continue
            if not self._turn(job):
                return

    def _turn(self, job: Job) -> bool:
        """False if another process keeps house."""
        started_s = time.monotonic()
        more = True
        try:
            while more and time.monotonic() - started_s < TURN_S and not self._stopping.is_set():
                if not self._hold():
                    return False
                more = self._piece(job)
        except (psycopg.Error, PoolTimeout, ViestiError) as error:
            # The rest of the house goes on; the job has its next turn in time.
            log.warning("housekeeping_failed", job=job.name, error=type(error).__name__)
            more = False
        except Exception:
            # A fault of ours: left to end the thread, it would end all the house's jobs for good.
            log.exception("housekeeping_failed", job=job.name)
            more = False
        job.due_s = time.monotonic() + (0.0 if more else job.every_s)
        return True

    def _piece(self, job: Job) -> bool:
        @retry_deadlocks
        def transaction() -> bool:
            with self._pool.connection() as conn:
                return bool(job.piece(conn, self._now()))

        return transaction()

    def _hold(self) -> bool:
        with self._pool.connection() as conn:
            return hold(conn, self._lease, self._owner, self._lease_s)

    def _run(self) -> None:
        while not self._stopping.wait(self._tick_s):
            try:
                self.run_due()
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("housekeeping_paused", error=type(error).__name__)
        try:
            with self._pool.connection() as conn:
                let_go(conn, self._lease, self._owner)
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("housekeeping_lease_kept", error=type(error).__name__)
