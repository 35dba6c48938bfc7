"""The ``dispatch`` role: takes leases, opens a desk per carrier, renews, hears wake-ups.

``bootstrap`` calls ``run`` and passes in what takes inbound PDUs, so that this room and
``inbound`` need not know each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from uuid import UUID

import psycopg
import structlog
import uvloop
from psycopg_pool import ConnectionPool, PoolTimeout

from viesti.db.heartbeat import Heartbeat
from viesti.db.pool import Listener, open_pool
from viesti.db.waker import Waker
from viesti.dispatch import leases
from viesti.dispatch.carriers import CarrierRow, load_carriers
from viesti.dispatch.desk import Desk
from viesti.dispatch.leases import BindLease, LaneLease, Renewed
from viesti.dispatch.receive import TakeArrivals
from viesti.dispatch.report import Reporter
from viesti.dispatch.settings import (
    CONNECTION_S,
    DISPATCH_CHANNEL,
    DRAIN_S,
    FAILED_DRAIN_S,
    LOOK_GAP_S,
    MAX_LANES,
    POLL_S,
    RENEW_S,
)
from viesti.dispatch.tenure import Tenure
from viesti.kit.config import Settings
from viesti.kit.ids import find_id
from viesti.kit.secrets import PlatformKey, load_platform_key

log = structlog.get_logger()


class Dispatcher:
    """One dispatcher process. ``me`` is fresh with each start: a restart is somebody else."""

    def __init__(
        self,
        settings: Settings,
        key: PlatformKey,
        pool: ConnectionPool[psycopg.Connection],
        me: UUID,
        take_arrivals: TakeArrivals,
        mark_acknowledged: Callable[[list[UUID]], None],
    ) -> None:
        self.desks: dict[UUID, Desk] = {}
        self._key = key
        self._pool = pool
        self._take_arrivals = take_arrivals
        self._tenure = Tenure(settings.database_direct_url, me)
        self._reporter = Reporter(self._tenure, mark_acknowledged)
        self._waker = Waker(settings.database_direct_url, "dispatch")
        self._loop = asyncio.get_running_loop()
        self._due = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        # Desks of carriers whose settings changed, while they drain: by carrier.
        self._closing: dict[UUID, asyncio.Task[None]] = {}
        self._hints: set[UUID] = set()
        self._listener = Listener(
            settings.database_direct_url, [DISPATCH_CHANNEL], self._on_wake, name="dispatch"
        )

    def stop(self) -> None:
        self._stopping.set()
        self._due.set()

    def fail(self, error: BaseException) -> None:
        """Something ended that must not: the process ends too, and is started anew."""
        log.error("dispatch_failed", error=type(error).__name__, exc_info=error)
        self._failure = self._failure or error
        self.stop()

    async def run(self) -> None:
        """Serve until ``stop``. Raises RuntimeError if a part of it failed."""
        self._listener.start()
        try:
            while not self._stopping.is_set():
                try:
                    await self._look()
                except (psycopg.Error, PoolTimeout) as error:
                    log.warning("leases_failed", error=type(error).__name__)
                await asyncio.sleep(LOOK_GAP_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S - LOOK_GAP_S):
                        await self._due.wait()
                self._due.clear()
        finally:
            await self._end()
        if self._failure is not None:
            raise RuntimeError("dispatch failed") from self._failure

    async def _end(self) -> None:
        # Its thread may be in the middle of a poll.
        listener = self._loop.run_in_executor(None, self._listener.stop)
        drain_s = DRAIN_S if self._failure is None else FAILED_DRAIN_S
        desks = [self._loop.create_task(desk.close(drain_s)) for desk in self.desks.values()]
        tasks = [*desks, *self._closing.values()]
        # While answers are awaited the leases are kept: nobody is to take over what drains.
        while tasks and (await asyncio.wait(tasks, timeout=RENEW_S))[1]:
            with contextlib.suppress(psycopg.Error):
                await self._tenure.renew([])
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, BaseException):
                log.error("desk_not_closed", error=type(ended).__name__, exc_info=ended)
        await self._reporter.end()
        await self._tenure.end()
        await listener
        await asyncio.to_thread(self._waker.close)

    # Wake-ups, in the listener's thread

    def _on_wake(self, channel: str, payload: str) -> None:
        if channel:
            self._loop.call_soon_threadsafe(self._hint, payload)

    def _hint(self, payload: str) -> None:
        lanes = [lane for lane in map(find_id, payload.split(",")) if lane]
        unknown = set(lanes)
        for desk in self.desks.values():
            mine = [lane for lane in lanes if lane in desk.supply.lanes]
            unknown.difference_update(mine)
            if mine or not lanes:
                desk.hint(mine)
        if unknown or not lanes:
            self._hints |= unknown
            self._due.set()

    # Leases

    async def _look(self) -> None:
        """Follow what operators changed, and take, renew and give back leases."""
        carriers = await self._tenure.do(lambda conn, _me: load_carriers(conn, self._key))
        self._follow(carriers)
        if self._tenure.is_due:
            busy = [lane for desk in self.desks.values() for lane in desk.supply.busy_lanes()]
            self._apply(await self._tenure.renew(busy), carriers)
            await self._share()
        await self._give_back()
        self._add_binds(await self._tenure.do(leases.take_binds), carriers)
        hinted, self._hints = list(self._hints), set()
        served = [carrier_id for carrier_id, desk in self.desks.items() if desk.binds]
        if served:
            self._add_lanes(
                await self._tenure.do(
                    lambda conn, me: leases.take_lanes(conn, me, served, hinted, MAX_LANES)
                )
            )
        await self._reporter.report(list(self.desks.values()))

    def _follow(self, carriers: dict[UUID, CarrierRow]) -> None:
        """A new address or password needs a new bind; anything else does not."""
        for carrier_id, desk in list(self.desks.items()):
            wanted = carriers.get(carrier_id)
            if wanted == desk.carrier:
                continue
            known = desk.carrier
            if wanted and (wanted.smpp, wanted.max_binds) == (known.smpp, known.max_binds):
                desk.configure(wanted)
                continue
            del self.desks[carrier_id]
            self._closing[carrier_id] = self._loop.create_task(self._close(carrier_id, desk))

    async def _close(self, carrier_id: UUID, desk: Desk) -> None:
        """Beside the looks, which renew the leases of all the others."""
        try:
            await desk.close(DRAIN_S)
            lanes = [*desk.supply.lanes, *desk.take_left_lanes()]
            with contextlib.suppress(psycopg.Error):  # then the next look finds them ours still
                await self._tenure.do(lambda conn, me: leases.give_back_lanes(conn, me, lanes))
                await self._tenure.do(
                    lambda conn, me: leases.give_back_binds(conn, me, desk.left_binds)
                )
        except Exception as error:  # noqa: BLE001 (nobody awaits this task)
            self.fail(error)
        finally:
            del self._closing[carrier_id]
            self._due.set()

    def _apply(self, renewed: Renewed, carriers: dict[UUID, CarrierRow]) -> None:
        """Let go of what is lost; serve what is ours and was not served, whatever the cause."""
        for carrier_id, desk in self.desks.items():
            for bind in list(desk.binds.values()):
                if bind.lease not in renewed.binds:
                    log.warning("bind_lease_lost", carrier=desk.carrier.name)
                    desk.drop_bind(bind.lease.slot)
            lost = [lane for lane in desk.supply.lanes if lane not in renewed.lanes]
            if lost:
                desk.leave_lanes(lost)
            for lane_id, lane in desk.supply.lanes.items():
                if lane_id in renewed.lanes:
                    lane.pace.configure(renewed.lanes[lane_id].rate_per_s)
            unserved = [
                lease
                for lease in renewed.lanes.values()
                if lease.carrier_id == carrier_id and not desk.knows_lane(lease.lane_id)
            ]
            if unserved:
                desk.add_lanes(unserved)
        self._add_binds(renewed.binds, carriers)

    async def _share(self) -> None:
        """Leave what is above this dispatcher's share, and lanes that nothing waits in."""
        for lease in await self._tenure.do(leases.find_excess_binds):
            if lease.carrier_id in self.desks:
                self.desks[lease.carrier_id].drop_bind(lease.slot)
        shares = await self._tenure.do(
            lambda conn, me: leases.find_lane_shares(conn, me, list(self.desks))
        )
        for carrier_id, desk in self.desks.items():
            staying = desk.staying_lanes()
            # Without a bind it can serve none of them.
            share = shares.get(carrier_id, len(staying)) if desk.binds else 0
            if len(staying) > share:
                desk.leave_lanes({lane.lease.lane_id for lane in staying[: len(staying) - share]})
        idle = [
            lane.lease.lane_id
            for desk in self.desks.values()
            for lane in desk.staying_lanes()
            if not len(lane.texts)
        ]
        if idle:
            gone = await self._tenure.do(lambda conn, _me: leases.find_idle_lanes(conn, idle))
            for desk in self.desks.values():
                # A text may have come in since.
                mine = {lane for lane in gone if lane in desk.supply.lanes}
                desk.leave_lanes(mine.difference(desk.supply.busy_lanes()))

    async def _give_back(self) -> None:
        for desk in self.desks.values():
            lanes = desk.take_left_lanes()
            binds, desk.left_binds = desk.left_binds, []
            try:
                if lanes:
                    desk.supply.left += await self._tenure.do(
                        lambda conn, me, lanes=lanes: leases.give_back_lanes(conn, me, lanes)
                    )
                if binds:
                    await self._tenure.do(
                        lambda conn, me, binds=binds: leases.give_back_binds(conn, me, binds)
                    )
            except psycopg.Error:
                desk.supply.left += lanes
                desk.left_binds += binds
                raise

    def _add_binds(
        self, found: set[BindLease] | list[BindLease], carriers: dict[UUID, CarrierRow]
    ) -> None:
        for lease in found:
            carrier = carriers.get(lease.carrier_id)
            if carrier is None or lease.carrier_id in self._closing:
                continue
            desk = self.desks.get(carrier.id)
            if desk is None:
                desk = self.desks[carrier.id] = Desk(
                    carrier,
                    self._pool,
                    self._waker,
                    self._take_arrivals,
                    may_write=lambda: self._tenure.holds,
                    on_failure=self.fail,
                )
            if lease not in desk.left_binds:
                desk.add_bind(lease)

    def _add_lanes(self, found: list[LaneLease]) -> None:
        for carrier_id in {lease.carrier_id for lease in found}:
            desk = self.desks.get(carrier_id)
            if desk is not None:
                desk.add_lanes([lease for lease in found if lease.carrier_id == carrier_id])


async def _serve(
    settings: Settings,
    key: PlatformKey,
    pool: ConnectionPool[psycopg.Connection],
    me: UUID,
    take_arrivals: TakeArrivals,
    mark_acknowledged: Callable[[list[UUID]], None],
) -> None:
    dispatcher = Dispatcher(settings, key, pool, me, take_arrivals, mark_acknowledged)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, dispatcher.stop)
    log.info("dispatch_started", dispatcher=str(me))
    await dispatcher.run()
    log.info("dispatch_ended", dispatcher=str(me))


def run(
    settings: Settings,
    take_arrivals: TakeArrivals,
    mark_acknowledged: Callable[[ConnectionPool[psycopg.Connection], list[UUID]], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then drain what is under way and leave nothing held."""
    key = load_platform_key(settings)
    pool = open_pool(settings.database_url, 2, 16, "dispatch")
    pool.timeout = CONNECTION_S
    try:
        with Heartbeat(settings.database_direct_url, "dispatch") as heartbeat:
            uvloop.run(
                _serve(
                    settings,
                    key,
                    pool,
                    heartbeat.id,
                    take_arrivals,
                    lambda ids: mark_acknowledged(pool, ids),
                )
            )
    finally:
        pool.close()
