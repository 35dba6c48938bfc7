"""The delivery engine: keeps due events on the wire without letting one endpoint starve another.

Run by the ``work`` role in its event loop; the database is used from worker threads. Every
queue in it is bounded: what is claimed, and not yet written down as done, is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from viesti.domain.webhook_endpoints.models import SECRET_PURPOSE
from viesti.kit.clock import utc_now
from viesti.kit.errors import Unavailable
from viesti.kit.safe_http import Answer, CallFailed, SafeClient
from viesti.kit.secrets import PlatformKey
from viesti.webhooks.attempt import judge
from viesti.webhooks.claim import Claim, Claimed, Quota, Target, claim, find_due, find_live
from viesti.webhooks.endpoints import Endpoint, Health, Queued
from viesti.webhooks.options import Options
from viesti.webhooks.outcomes import release
from viesti.webhooks.sign import Signer
from viesti.webhooks.threads import DatabaseThreads
from viesti.webhooks.turns import Start, Turns
from viesti.webhooks.writer import OutcomeWriter

log = structlog.get_logger()

# A call that takes longer leaves the fast slots to others.
FAST_S = 1.0
TICK_S = 0.25
CLAIM_AT_ONCE = 500
# A look at all webhooks may take at most this share of the time.
SWEEP_SHARE = 0.2
LEAST_SWEEP_INTERVAL_S = 0.02
FORGET_AFTER_S = 3600.0


@dataclass(slots=True, eq=False)
class _Call:
    endpoint: Endpoint
    started_s: float
    is_fast: bool


class Engine:
    """Delivers until ``stop``; ``wake`` makes it look for work at once."""

    def __init__(
        self,
        pool: ConnectionPool[psycopg.Connection],
        client: SafeClient,
        key: PlatformKey,
        worker_id: UUID,
        options: Options | None = None,
    ) -> None:
        self._client = client
        self._key = key
        self._worker_id = worker_id
        self._options = options or Options()
        self._threads = DatabaseThreads(pool, 2, "webhooks")
        self._writer = OutcomeWriter(self._threads, worker_id, self._written)
        self._endpoints: dict[UUID, Endpoint] = {}
        self._turns = Turns(self._options)
        self._calls: dict[asyncio.Task[None], _Call] = {}
        self._held = 0  # claimed and not yet written down
        self._has_work = asyncio.Event()
        self._must_sweep = True
        self._stopping = False
        self._delivered = 0

    @property
    def delivered(self) -> int:
        """Deliveries that were accepted since the start."""
        return self._delivered

    def wake(self) -> None:
        """Look for due deliveries now; call it in the loop's thread."""
        self._must_sweep = True
        self._has_work.set()

    async def run(self) -> None:
        """Deliver until ``stop`` was called and what was on the wire has ended."""
        ticks = asyncio.create_task(self._tick_loop(), name="webhook ticks")
        writes = asyncio.create_task(self._writer.run(), name="webhook outcomes")
        try:
            await self._claim_loop()
            await self._give_back()
            if self._calls:
                await asyncio.wait(list(self._calls), timeout=self._options.stop_s)
            if self._calls:
                # What still hangs is due again when its lease ends.
                for task in list(self._calls):
                    task.cancel()
                await asyncio.wait(list(self._calls))
            self._writer.close()
            await writes
        finally:
            ticks.cancel()
            writes.cancel()
            self._threads.close()

    def stop(self) -> None:
        """Claim nothing more; ``run`` returns within ``stop_s``."""
        self._stopping = True
        self._has_work.set()

    # --- claiming -------------------------------------------------------------------------

    async def _claim_loop(self) -> None:
        swept_s = 0.0
        interval_s = LEAST_SWEEP_INTERVAL_S
        while not self._stopping:
            wait_s = self._options.poll_s
            if self._must_sweep:
                wait_s = min(wait_s, max(0.0, swept_s + interval_s - time.monotonic()))
            try:
                async with asyncio.timeout(wait_s):
                    await self._has_work.wait()
            except TimeoutError:
                self._must_sweep = True
            self._has_work.clear()
            if self._stopping:
                return
            try:
                if self._must_sweep and time.monotonic() >= swept_s + interval_s:
                    self._must_sweep = False
                    swept_s = time.monotonic()
                    await self._sweep()
                    took_s = time.monotonic() - swept_s
                    interval_s = max(LEAST_SWEEP_INTERVAL_S, took_s / SWEEP_SHARE)
                await self._claim_wanted()
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("webhook_claims_failed", error=type(error).__name__)
                self._must_sweep = True
                await asyncio.sleep(self._options.poll_s)

    async def _sweep(self) -> None:
        """Note who has due deliveries, and fall silent to who wants to hear no more."""
        queued = [
            (endpoint.account_id, endpoint.webhook_id)
            for endpoint in self._endpoints.values()
            if endpoint.held
        ]
        due, live = await self._threads.run(
            lambda conn: (
                find_due(conn, utc_now()),
                find_live(conn, queued) if queued else set[UUID](),
            )
        )
        for _, webhook_id in queued:
            if webhook_id not in live:
                self._forget(webhook_id)
        for account_id, webhook_id in due:
            endpoint = self._endpoints.get(webhook_id)
            if endpoint is None:
                endpoint = self._endpoints[webhook_id] = Endpoint(account_id, webhook_id)
            endpoint.has_more = True

    async def _claim_wanted(self) -> None:
        """Claim for whoever has more due, healthy ones first, the longest unserved first."""
        wanting: dict[Health, list[Endpoint]] = {health: [] for health in Health}
        rooms = {
            Health.ANSWERING: self._options.max_held,
            Health.UNKNOWN: self._options.max_held // 2,
            Health.FAILING: self._options.slow_slots,
        }
        for endpoint in self._endpoints.values():
            if endpoint.wants_more():
                wanting[endpoint.health].append(endpoint)
            if endpoint.health is not Health.ANSWERING:
                rooms[endpoint.health] -= endpoint.held + endpoint.in_flight
        for health, endpoints in wanting.items():
            endpoints.sort(key=lambda endpoint: endpoint.used_s)
            await self._claim_for(endpoints, rooms[health])

    async def _claim_for(self, endpoints: list[Endpoint], room: int) -> None:
        at = 0
        while at < len(endpoints) and not self._stopping:
            budget = min(room, self._options.max_held - self._held, CLAIM_AT_ONCE)
            quotas: list[Quota] = []
            while at < len(endpoints) and budget > 0:
                endpoint = endpoints[at]
                limit = min(endpoint.quota(), budget)
                quotas.append(Quota(endpoint.account_id, endpoint.webhook_id, limit))
                budget -= limit
                at += 1
            if not quotas:
                return
            claimed_s = time.monotonic()
            found = await self._threads.run(
                lambda conn, quotas=quotas: claim(
                    conn, self._worker_id, quotas, utc_now(), self._options.lease_s
                )
            )
            room -= len(found.deliveries)
            self._accept(found, quotas, claimed_s)

    def _accept(self, found: Claim, quotas: Sequence[Quota], claimed_s: float) -> None:
        start_by_s = claimed_s + self._options.lease_s - self._options.timeout_s - 5.0
        start_by_s = max(start_by_s, claimed_s + self._options.lease_s / 4)
        counts: dict[UUID, int] = {}
        for delivery in found.deliveries:
            counts[delivery.webhook_id] = counts.get(delivery.webhook_id, 0) + 1
        ready: dict[UUID, Endpoint] = {}
        for quota in quotas:
            # An endpoint may have gone while the claim was under way.
            endpoint = self._endpoints.get(quota.webhook_id)
            if endpoint is None:
                continue
            endpoint.used_s = claimed_s
            endpoint.has_more = counts.get(quota.webhook_id, 0) >= quota.limit
            target = found.targets.get(quota.webhook_id)
            if target is not None and self._aim(endpoint, target):
                ready[quota.webhook_id] = endpoint
        for delivery in found.deliveries:
            endpoint = ready.get(delivery.webhook_id)
            if endpoint is not None:
                endpoint.add(Queued(delivery, start_by_s))
                self._held += 1
        for endpoint in ready.values():
            self._turns.add(endpoint)
        self._pump()

    def _aim(self, endpoint: Endpoint, target: Target) -> bool:
        """Take over the URL and secret; False if the secret cannot be read."""
        if endpoint.signer is None or endpoint.url != target.url:
            try:
                secret = self._key.decrypt(SECRET_PURPOSE, target.secret_encrypted)
            except Unavailable:
                log.error("webhook_secret_unreadable", webhook_id=str(endpoint.webhook_id))
                return False
            endpoint.url, endpoint.signer = target.url, Signer(secret)
        return True

    def _forget(self, webhook_id: UUID) -> None:
        endpoint = self._endpoints.pop(webhook_id, None)
        if endpoint is not None:
            self._held -= len(endpoint.clear())

    async def _give_back(self) -> None:
        rest: list[Claimed] = []
        for endpoint in self._endpoints.values():
            rest += endpoint.clear()
        if rest:
            self._held -= len(rest)
            try:
                await self._threads.run(
                    lambda conn: release(conn, self._worker_id, rest, utc_now())
                )
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("webhook_release_failed", error=type(error).__name__)

    # --- calling --------------------------------------------------------------------------

    def _pump(self) -> None:
        """Begin calls while there are slots."""
        if self._stopping:
            return
        now_s = time.monotonic()
        starts, dropped = self._turns.take(now_s)
        self._held -= dropped
        for start in starts:
            self._begin(start, now_s)

    def _begin(self, start: Start, now_s: float) -> None:
        task = asyncio.create_task(self._deliver(start.endpoint, start.delivery))
        self._calls[task] = _Call(start.endpoint, now_s, start.is_fast)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        call = self._calls.pop(task)
        self._turns.end(call.is_fast)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Not an answer of the endpoint's: the delivery comes back when its lease ends.
            self._held -= 1
            log.error("webhook_call_failed", error=type(error).__name__)
        endpoint = call.endpoint
        self._turns.add(endpoint)
        self._pump()
        if endpoint.wants_more() and self._held < self._options.max_held:
            self._has_work.set()

    async def _deliver(self, endpoint: Endpoint, delivery: Claimed) -> None:
        at = utc_now()
        started_s = time.monotonic()
        answer: Answer | None = None
        error = ""
        accepted = False
        try:
            assert endpoint.signer is not None
            headers = endpoint.signer.headers(delivery.event_id, at, delivery.body)
            answer = await self._client.post(endpoint.url, delivery.body.encode(), headers)
            accepted = 200 <= answer.status < 300
        except CallFailed as failed:
            error = failed.reason.value
        finally:
            endpoint.finish(delivery, accepted)
        duration_ms = int((time.monotonic() - started_s) * 1000)
        outcome = judge(delivery, answer, error, at, duration_ms, self._options.retry_scale)
        if outcome.accepted:
            self._delivered += 1
        elif outcome.gone:
            log.info("webhook_disabled", webhook_id=str(delivery.webhook_id))
            self._forget(delivery.webhook_id)
        elif outcome.retry_at is None:
            log.warning(
                "webhook_delivery_dead",
                webhook_id=str(delivery.webhook_id),
                event_id=str(delivery.event_id),
            )
        self._writer.add(outcome)

    def _written(self, count: int) -> None:
        was_full = self._held >= self._options.max_held
        self._held -= count
        if was_full:
            self._has_work.set()

    # --- keeping time ---------------------------------------------------------------------

    async def _tick_loop(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            for call in self._calls.values():
                is_slow = call.is_fast and now_s - call.started_s > FAST_S
                if is_slow:
                    call.endpoint.note_slow()
                if is_slow and self._turns.slow_down():
                    call.is_fast = False
            for endpoint in list(self._endpoints.values()):
                if endpoint.queue:
                    self._turns.add(endpoint)
                elif not endpoint.in_flight and now_s - endpoint.used_s > FORGET_AFTER_S:
                    self._forget(endpoint.webhook_id)
            self._pump()
