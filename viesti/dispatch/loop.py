"""The ``dispatch`` role: takes leases, opens a desk per carrier, renews, hears wake-ups.

``bootstrap`` calls ``run`` and passes in what takes inbound PDUs, so that this room and
``inbound`` need not know each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import psycopg
import structlog
import uvloop
from psycopg_pool import ConnectionPool, PoolTimeout

from viesti.db.connections import connect
from viesti.db.heartbeat import Heartbeat
from viesti.db.pool import Listener, open_pool
from viesti.db.waker import Waker
from viesti.dispatch import leases
from viesti.dispatch.carriers import CarrierRow, load_carriers
from viesti.dispatch.desk import Desk
from viesti.dispatch.receive import TakeArrivals
from viesti.dispatch.settings import (
    DISPATCH_CHANNEL,
    DRAIN_S,
    LEASE_MARGIN_S,
    LEASE_S,
    MAX_LANES,
    POLL_S,
    RENEW_S,
)
from viesti.kit.clock import monotonic_s
from viesti.kit.config import Settings
from viesti.kit.ids import find_id
from viesti.kit.secrets import PlatformKey, load_platform_key

log = structlog.get_logger()
R = TypeVar("R")


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
        self._settings = settings
        self._key = key
        self._pool = pool
        self._me = me
        self._take_arrivals = take_arrivals
        self._mark_acknowledged = mark_acknowledged
        self._waker = Waker(settings.database_direct_url, "dispatch")
        self._loop = asyncio.get_running_loop()
        self._due = asyncio.Event()
        self._stopping = asyncio.Event()
        self._hints: set[UUID] = set()
        self._presence: psycopg.Connection | None = None
        self._leases_end_s = 0.0
        self._renew_at_s = 0.0
        self._listener = Listener(
            settings.database_direct_url, [DISPATCH_CHANNEL], self._on_wake, name="dispatch"
        )

    def stop(self) -> None:
        self._stopping.set()
        self._due.set()

    async def run(self) -> None:
        self._listener.start()
        try:
            while not self._stopping.is_set():
                try:
                    await self._tick()
                except (psycopg.Error, PoolTimeout) as error:
                    log.warning("leases_failed", error=type(error).__name__)
                    self._lose_presence()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._due.wait()
                self._due.clear()
        finally:
            await self._end()

    async def _end(self) -> None:
        self._listener.stop()
        await asyncio.gather(*(desk.close(DRAIN_S) for desk in self.desks.values()))
        with contextlib.suppress(psycopg.Error, PoolTimeout):
            await asyncio.to_thread(self._control, leases.give_back_all)
        self._lose_presence()
        await asyncio.to_thread(self._waker.close)

    # Wake-ups, in the listener's thread

    def _on_wake(self, channel: str, payload: str) -> None:
        if channel:
            self._loop.call_soon_threadsafe(self._hint, payload)

    def _hint(self, payload: str) -> None:
        lanes = [lane for lane in map(find_id, payload.split(",")) if lane]
        unknown = set(lanes)
        for desk in self.desks.values():
            mine = [lane for lane in lanes if lane in desk.lanes]
            unknown.difference_update(mine)
            if mine or not lanes:
                desk.hint(mine)
        if unknown or not lanes:
            self._hints |= unknown
            self._due.set()

    # Leases

    def may_write(self) -> bool:
        """Whether the leases surely hold, on a clock that goes on while the machine sleeps."""
        return monotonic_s() < self._leases_end_s

    def _lose_presence(self) -> None:
        self._leases_end_s = 0.0
        self._renew_at_s = 0.0
        if self._presence is not None:
            with contextlib.suppress(psycopg.Error):
                self._presence.close()
            self._presence = None

    def _control(self, work: Callable[[psycopg.Connection, UUID], R]) -> R:
        """``work`` as one transaction on the connection that also proves that we live."""
        if self._presence is None:
            conn = connect(self._settings.database_direct_url, "dispatch leases")
            leases.announce(conn, self._me)
            conn.commit()
            self._presence = conn
        with self._presence.transaction():
            return work(self._presence, self._me)

    async def _tick(self) -> None:
        carriers = await asyncio.to_thread(
            self._control, lambda conn, _me: load_carriers(conn, self._key)
        )
        await self._close_changed(carriers)
        if monotonic_s() >= self._renew_at_s:
            await self._renew()
        for lease in await asyncio.to_thread(self._control, leases.take_binds):
            carrier = carriers.get(lease.carrier_id)
            if carrier is not None:
                desk = self.desks.get(carrier.id) or self._open_desk(carrier)
                desk.add_bind(lease)
        hinted, self._hints = list(self._hints), set()
        served = list(self.desks)
        if served:
            found = await asyncio.to_thread(
                self._control,
                lambda conn, me: leases.take_lanes(conn, me, served, hinted, MAX_LANES),
            )
            for carrier_id in {lease.carrier_id for lease in found}:
                await self.desks[carrier_id].take_over(
                    [lease for lease in found if lease.carrier_id == carrier_id]
                )
        await self._report()

    def _open_desk(self, carrier: CarrierRow) -> Desk:
        desk = Desk(carrier, self._pool, self._me, self._waker, self._take_arrivals, self.may_write)
        self.desks[carrier.id] = desk
        return desk

    async def _close_changed(self, carriers: dict[UUID, CarrierRow]) -> None:
        """Follow what an operator changed: a new address or password needs a new bind."""
        for carrier_id, desk in list(self.desks.items()):
            wanted = carriers.get(carrier_id)
            if wanted == desk.carrier:
                continue
            if wanted is not None and (wanted.smpp, wanted.max_binds) == (
                desk.carrier.smpp,
                desk.carrier.max_binds,
            ):
                desk.configure(wanted)
                continue
            del self.desks[carrier_id]
            await desk.close(DRAIN_S)
            await asyncio.to_thread(
                self._control,
                lambda conn, me, desk=desk: leases.give_back_lanes(conn, me, list(desk.lanes)),
            )
            await asyncio.to_thread(
                self._control,
                lambda conn, me, gone=carrier_id: leases.give_back_binds(conn, me, gone),
            )

    async def _renew(self) -> None:
        started_s = monotonic_s()
        busy = [lane for desk in self.desks.values() for lane in desk.busy_lanes()]
        binds, lanes = await asyncio.to_thread(
            self._control, lambda conn, me: leases.renew(conn, me, busy)
        )
        self._leases_end_s = started_s + LEASE_S - LEASE_MARGIN_S
        self._renew_at_s = started_s + RENEW_S
        idle: list[UUID] = []
        for desk in self.desks.values():
            for bind in list(desk.binds.values()):
                if bind.lease not in binds:
                    log.warning("bind_lease_lost", carrier=desk.carrier.name)
                    desk.drop_bind(bind.lease.slot)
            desk.drop_lanes([lane for lane in desk.lanes if lane not in lanes])
            for lane_id, lane in desk.lanes.items():
                lane.pace.configure(lanes[lane_id])
                if not len(lane.texts):
                    idle.append(lane_id)
        if idle:
            await self._give_back_idle(idle)

    async def _give_back_idle(self, idle: list[UUID]) -> None:
        gone = await asyncio.to_thread(
            self._control, lambda conn, _me: leases.find_idle_lanes(conn, idle)
        )
        if gone:
            for desk in self.desks.values():
                desk.drop_lanes([lane for lane in gone if lane in desk.lanes])
            await asyncio.to_thread(
                self._control, lambda conn, me: leases.give_back_lanes(conn, me, gone)
            )

    async def _report(self) -> None:
        """Show the binds' states, and note what the carriers must have read."""
        for desk in self.desks.values():
            for bind in desk.binds.values():
                if bind.state_changed:
                    bind.state_changed = False
                    await asyncio.to_thread(
                        self._control,
                        lambda conn, me, bind=bind: leases.report_bind(
                            conn, me, bind.lease, is_bound=bind.client.is_bound, error=bind.error
                        ),
                    )
                proven = bind.take_proven()
                if proven:
                    await asyncio.to_thread(self._mark_acknowledged, proven)


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
