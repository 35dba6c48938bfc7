"""The transactions of a carrier desk, each in the desk's own thread; used by the desk alone.

One thread: a desk's transactions follow each other, which is what keeps its rows' updates in
order. No call to a carrier happens in here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import ConnectionPool

from viesti.carriers.base import SubmitOutcome
from viesti.db.placement import placement
from viesti.db.pool import retry_deadlocks
from viesti.dispatch.attempt import Start, Started, start
from viesti.dispatch.carriers import CarrierRow
from viesti.dispatch.claim import Read, read_due
from viesti.dispatch.leases import LaneLease
from viesti.dispatch.outcome import Attempt, commit_outcomes
from viesti.dispatch.settings import CONNECTION_S
from viesti.dispatch.texts import Text
from viesti.domain.messages.parked import hold_abandoned, release_abandoned
from viesti.domain.messages.progress import advance
from viesti.kit.clock import utc_now

log = structlog.get_logger()
R = TypeVar("R")


@dataclass(slots=True)
class Committed:
    started: Started = field(default_factory=Started)
    has_events: bool = False


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A lane to be looked through for what somebody else left under way.

    ``under_way`` is what this desk itself has in flight there; None: spare all that it started.
    """

    lease: LaneLease
    under_way: Sequence[UUID] | None


class Books:
    def __init__(
        self, carrier: CarrierRow, pool: ConnectionPool[psycopg.Connection], me: UUID
    ) -> None:
        self.carrier = carrier
        self._pool = pool
        self._me = me
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"desk {carrier.name}")

    def close(self) -> None:
        """A transaction that is still under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def read(self, reads: Sequence[Read]) -> list[Text]:
        """The texts of ``reads``, which belong to one group of accounts."""

        def work() -> list[Text]:
            with self._connection() as conn:
                return read_due(conn, reads, utc_now())

        return await self._in_thread(work)

    async def commit(
        self, outcomes: Sequence[tuple[Attempt, SubmitOutcome]], wishes: Sequence[Start]
    ) -> Committed:
        """Outcomes and starts, one transaction per group of accounts."""
        accounts = {attempt.text.account_id for attempt, _ in outcomes}
        accounts |= {wish.text.account_id for wish in wishes}
        total = Committed()
        groups = placement(accounts)
        for group in groups:
            its_outcomes, its_wishes = outcomes, wishes
            if len(groups) > 1:
                its_outcomes = [pair for pair in outcomes if pair[0].text.account_id in group]
                its_wishes = [wish for wish in wishes if wish.text.account_id in group]
            started, has_events = await self._in_thread(
                lambda mine=its_outcomes, new=its_wishes: self._commit(mine, new)
            )
            total.has_events |= has_events
            total.started.granted += started.granted
            total.started.again += started.again
            total.started.gone += started.gone
        return total

    def _commit(
        self, outcomes: Sequence[tuple[Attempt, SubmitOutcome]], wishes: Sequence[Start]
    ) -> tuple[Started, bool]:
        with self._connection() as conn:
            now = utc_now()
            steps = commit_outcomes(
                conn,
                self.carrier.id,
                outcomes,
                resend_unknown=self.carrier.resend_unknown,
                receipts=self.carrier.receipts,
                now=now,
            )
            started = start(conn, wishes, self._me, now)
            advanced = advance(conn, [*steps, *started.steps])
        return started, advanced.has_events

    async def settle_abandoned(self, abandoned: Sequence[Abandoned]) -> bool:
        """Hold what others left under way (or queue it again, if that is the carrier's policy).

        Whether events were recorded.
        """

        def work() -> bool:
            return any(self._settle(lane) for lane in abandoned)

        return await self._in_thread(work)

    def _settle(self, lane: Abandoned) -> bool:
        lease = lane.lease
        where = (lease.account_id, lease.lane_id, self._me, lane.under_way)
        with self._connection() as conn:
            if self.carrier.resend_unknown:
                resent = release_abandoned(conn, *where)
                has_events, held = False, 0
            else:
                steps = hold_abandoned(conn, *where, utc_now())
                has_events, held, resent = advance(conn, steps).has_events, len(steps), 0
        if held or resent:
            log.warning("taken_over", lane_id=str(lease.lane_id), held=held, resent=resent)
        return has_events

    def _connection(self) -> AbstractContextManager[psycopg.Connection]:
        return self._pool.connection(timeout=CONNECTION_S)

    async def _in_thread(self, work: Callable[[], R]) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, retry_deadlocks(work))
