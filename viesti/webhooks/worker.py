"""The ``work`` role: delivers webhooks and keeps house until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from uuid import UUID

import psycopg
import structlog
import uvloop
from psycopg_pool import ConnectionPool

from viesti.db.heartbeat import Heartbeat
from viesti.db.pool import Listener, open_pool
from viesti.db.waker import Waker
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.housekeeping.retention import retention_jobs
from viesti.housekeeping.schedule import Housekeeper, Job
from viesti.housekeeping.turns import Turns, Works
from viesti.kit.config import Settings
from viesti.kit.safe_http import SafeClient
from viesti.kit.secrets import PlatformKey, load_platform_key
from viesti.webhooks.deliver import Engine
from viesti.webhooks.options import Options
from viesti.webhooks.reports import Reporter

log = structlog.get_logger()

# Two for the delivery engine's threads, one for housekeeping, one to spare; and one for each
# kind of large works.
CONNECTIONS = 4
# A lease outlasts the longest call and a wait in the queue before it.
LEASE_TIMEOUTS = 4
LEAST_LEASE_S = 60.0
# Between two turns of a job that has more to do; when idle it is asked as often as it says.
LONG_JOB_TICK_S = 0.1
# After a crash nobody goes on for so long. Shorter than a transaction may be: each piece of such
# a job locks what it works on, so two holders at a time do no harm.
LONG_JOB_LEASE_S = 15.0


def run(
    settings: Settings,
    extra_jobs: Sequence[Job] = (),
    long_jobs: Mapping[str, Job] | None = None,
    works: Sequence[Works] = (),
) -> None:
    """Work until SIGTERM or SIGINT; returns within a few seconds of it.

    ``extra_jobs`` are the periodic jobs of rooms that housekeeping does not know. Each of
    ``long_jobs``, by name, has a thread and a lease of its own, for it may take minutes. So have
    the kinds of ``works``, in which every process takes part.
    """
    key = load_platform_key(settings)
    direct = settings.database_direct_url or settings.database_url
    long_jobs = long_jobs or {}
    size = CONNECTIONS + len(long_jobs) + len(works)
    pool = open_pool(settings.database_url, 2, size, "work")
    waker = Waker(direct, "work")
    turns = [Turns(pool, kind, waker.wake) for kind in works]
    try:
        with Heartbeat(direct, "work") as heartbeat:
            jobs = [*retention_jobs(settings), *extra_jobs]
            housekeepers = [
                Housekeeper(pool, jobs, heartbeat.id),
                *(
                    Housekeeper(
                        pool,
                        [job],
                        heartbeat.id,
                        lease=name,
                        lease_s=LONG_JOB_LEASE_S,
                        tick_s=LONG_JOB_TICK_S,
                    )
                    for name, job in long_jobs.items()
                ),
            ]
            reporter = Reporter(pool, key, settings.private_allowed, settings.webhook_timeout_s)
            threads = [*turns, *housekeepers, reporter]
            for thread in threads:
                thread.start()
            try:
                uvloop.run(_deliver(settings, pool, key, direct, heartbeat.id, turns))
            finally:
                for thread in threads:
                    thread.stop()
    finally:
        waker.close()
        pool.close()


async def _deliver(
    settings: Settings,
    pool: ConnectionPool[psycopg.Connection],
    key: PlatformKey,
    direct: str,
    worker_id: UUID,
    turns: Sequence[Turns],
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

    def wake(channel: str, _payload: str) -> None:
        if channel in ("", WEBHOOKS_CHANNEL):
            loop.call_soon_threadsafe(engine.wake)
        for thread in turns:
            if channel in ("", thread.channel):
                thread.wake()

    channels = [WEBHOOKS_CHANNEL, *(thread.channel for thread in turns)]
    listener = Listener(direct, channels, wake, name="work")
    listener.start()
    log.info("work_started")
    try:
        await engine.run()
    finally:
        await asyncio.to_thread(listener.stop)
        await client.close()
        log.info("work_stopped", delivered=engine.delivered)
