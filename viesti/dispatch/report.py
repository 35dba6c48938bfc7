"""Shows what a dispatcher does: the state of its binds, its rates, its counts; used by the loop.

Nothing is decided by what is written here, except that arrivals are marked as acknowledged once
the carrier must have read that they are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import asdict
from uuid import UUID

import psycopg
import structlog

from viesti.db.traffic import forget_traffic, report_traffic
from viesti.dispatch import leases
from viesti.dispatch.desk import Desk
from viesti.dispatch.settings import COUNTS_S, TRAFFIC_S
from viesti.dispatch.tenure import Tenure
from viesti.dispatch.traffic import Meter
from viesti.kit.clock import utc_now

log = structlog.get_logger()


class Reporter:
    def __init__(self, tenure: Tenure, mark_acknowledged: Callable[[list[UUID]], None]) -> None:
        self._tenure = tenure
        self._mark_acknowledged = mark_acknowledged
        self._loop = asyncio.get_running_loop()
        self._counts_at_s = self._loop.time() + COUNTS_S
        self._traffic_at_s = 0.0
        self._meters: dict[UUID, Meter] = {}

    async def report(self, desks: Collection[Desk]) -> None:
        """Raises psycopg.Error; what was not said then is said the next time."""
        for desk in desks:
            await self._report_binds(desk)
        now_s = self._loop.time()
        if now_s >= self._traffic_at_s:
            self._traffic_at_s = now_s + TRAFFIC_S
            await self._report_traffic(desks, now_s)
        if now_s >= self._counts_at_s:
            self._counts_at_s = now_s + COUNTS_S
            for desk in desks:
                log.info(
                    "dispatch_counts",
                    carrier=desk.carrier.name,
                    lanes=len(desk.supply.lanes),
                    unanswered=desk.unanswered,
                    **asdict(desk.counters),
                )

    async def end(self) -> None:
        with contextlib.suppress(psycopg.Error):
            await self._tenure.do(forget_traffic)

    async def _report_binds(self, desk: Desk) -> None:
        for bind in list(desk.binds.values()):
            if bind.state_changed:
                bind.state_changed = False
                await self._tenure.do(
                    lambda conn, me, bind=bind: leases.report_bind(
                        conn, me, bind.lease, is_bound=bind.client.is_bound, error=bind.error
                    ),
                )
            proven = bind.take_proven()
            if proven:
                await asyncio.to_thread(self._mark_acknowledged, proven)

    async def _report_traffic(self, desks: Collection[Desk], now_s: float) -> None:
        served = {desk.carrier.id: desk for desk in desks}
        self._meters = {carrier: self._meters.get(carrier, Meter()) for carrier in served}
        per_s = {
            carrier: self._meters[carrier].note(now_s, _counts(desk))
            for carrier, desk in served.items()
        }
        await self._tenure.do(lambda conn, me: report_traffic(conn, me, per_s, utc_now()))


def _counts(desk: Desk) -> dict[str, int]:
    """The desk's counters by the names of ``viesti.db.traffic``."""
    counters = desk.counters
    receipts, texts = desk.arrived
    return {
        "submitted": counters.submitted,
        "accepted": counters.accepted,
        "refused": counters.refused,
        "throttled": counters.throttled,
        "retried": counters.retried,
        "unanswered": counters.held,
        "receipts": receipts,
        "inbound": texts,
    }
