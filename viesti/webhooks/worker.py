"""The ``work`` role: delivers webhooks and keeps house until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from uuid import UUID

import psycopg
import structlog
import uvloop
from psycopg_pool import ConnectionPool

from viesti.db.heartbeat import Heartbeat
from viesti.db.pool import Listener, open_pool
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.housekeeping.retention import retention_jobs
from viesti.housekeeping.schedule import Housekeeper, Job
from viesti.kit.config import Settings
from viesti.kit.safe_http import SafeClient
from viesti.kit.secrets import PlatformKey, load_platform_key
from viesti.webhooks.deliver import Engine
from viesti.webhooks.options import Options

log = structlog.get_logger()

# Two for the delivery engine's threads, one for housekeeping, one to spare.
CONNECTIONS = 4
# A lease outlasts the longest call and a wait in the queue before it.
LEASE_TIMEOUTS = 4
LEAST_LEASE_S = 60.0


def run(settings: Settings, extra_jobs: Sequence[Job] = ()) -> None:
    """Work until SIGTERM or SIGINT; returns within a few seconds of it.

    ``extra_jobs`` are the periodic jobs of rooms that housekeeping does not know.
    """
    key = load_platform_key(settings)
    direct = settings.database_direct_url or settings.database_url
    pool = open_pool(settings.database_url, 2, CONNECTIONS, "work")
    try:
        with Heartbeat(direct, "work") as heartbeat:
            jobs = [*retention_jobs(settings), *extra_jobs]
            housekeeper = Housekeeper(pool, jobs, heartbeat.id)
            housekeeper.start()
            try:
                uvloop.run(_deliver(settings, pool, key, direct, heartbeat.id))
            finally:
                housekeeper.stop()
    finally:
        pool.close()


async def _deliver(
    settings: Settings,
    pool: ConnectionPool[psycopg.Connection],
    key: PlatformKey,
    direct: str,
    worker_id: UUID,
) -> None:
    loop = asyncio.get_running_loop()
    client = SafeClient(
        allow_private=settings.private_allowed, timeout_s=settings.webhook_timeout_s
    )
    options = Options(
        timeout_s=settings.webhook_timeout_s,
        retry_scale=settings.webhook_retry_scale,
        lease_s=max(LEAST_LEASE_S, LEASE_TIMEOUTS * settings.webhook_timeout_s),
    )
    engine = Engine(pool, client, key, worker_id, options)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, engine.stop)

    def wake(_channel: str, _payload: str) -> None:
        loop.call_soon_threadsafe(engine.wake)

    listener = Listener(direct, [WEBHOOKS_CHANNEL], wake, name="work")
    listener.start()
    log.info("work_started")
    try:
        await engine.run()
    finally:
        await asyncio.to_thread(listener.stop)
        await client.close()
        log.info("work_stopped", delivered=engine.delivered)
