"""Writes outcomes down in batches while the engine goes on; part of the delivery engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from viesti.webhooks.outcomes import Outcome, record_outcomes
from viesti.webhooks.threads import DatabaseThreads

log = structlog.get_logger()

COMMIT_AT_ONCE = 1000
# So long it waits for more outcomes to share the commit.
GATHER_S = 0.005
MOST_PAUSE_S = 5.0


class OutcomeWriter:
    """``add`` outcomes; ``on_written`` hears how many were committed.

    Outcomes are kept until the database has them, and count as held, so that claims stop
    while it does not answer.
    """

    def __init__(
        self, threads: DatabaseThreads, worker_id: UUID, on_written: Callable[[int], None]
    ) -> None:
        self._threads = threads
        self._worker_id = worker_id
        self._on_written = on_written
        self._outcomes: list[Outcome] = []
        self._has_outcomes = asyncio.Event()
        self._closing = False

    def add(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._has_outcomes.set()

    def close(self) -> None:
        """Let ``run`` end once everything is written, or the database fails twice in a row."""
        self._closing = True
        self._has_outcomes.set()

    async def run(self) -> None:
        failures = 0
        while True:
            await self._has_outcomes.wait()
            if not self._closing:
                await asyncio.sleep(GATHER_S)
            self._has_outcomes.clear()
            batch = self._outcomes[:COMMIT_AT_ONCE]
            if batch:
                try:
                    await self._threads.run(
                        lambda conn, batch=batch: record_outcomes(conn, self._worker_id, batch)
                    )
                except (psycopg.Error, PoolTimeout) as error:
                    failures += 1
                    log.warning("webhook_outcomes_failed", error=type(error).__name__)
                    if self._closing and failures > 1:
                        return
                    await asyncio.sleep(min(MOST_PAUSE_S, 0.2 * 2**failures))
                    self._has_outcomes.set()
                    continue
                failures = 0
                del self._outcomes[: len(batch)]
                self._on_written(len(batch))
            if self._outcomes:
                self._has_outcomes.set()
            elif self._closing:
                return
