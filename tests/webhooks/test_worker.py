"""The ``work`` role as a process of its own: wakes, stops cleanly, and may be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.webhooks.conftest import Platform, Receiver, until
from viesti.db.pool import notify
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.secrets import load_platform_key


@pytest.fixture
def platform(pool: ConnectionPool[psycopg.Connection], settings: Settings) -> Platform:
    return Platform(pool, load_platform_key(settings))


@contextlib.asynccontextmanager
async def work(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "viesti",
        "work",
        env={**os.environ, **to_environment(settings)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def roles(pool: ConnectionPool[psycopg.Connection]) -> list[str]:
    with pool.connection() as conn:
        return [row[0] for row in conn.execute("SELECT role FROM processes")]


async def test_the_role_delivers_when_woken_and_ends_well_when_told(
    platform: Platform, receiver: Receiver, settings: Settings, account_id: UUID
) -> None:
    platform.subscribe(account_id, receiver.base_url)
    async with work(settings) as child:
        await until(lambda: roles(platform.pool) == ["work"], 20)
        assert platform.record(account_id, 3)
        with platform.pool.connection() as conn:
            notify(conn, WEBHOOKS_CHANNEL)
        await receiver.wait_for(3)
        await platform.settle(account_id)
        # What is on the wire when it is told to stop is finished and written down.
        receiver.delay_s = 1.0
        platform.record(account_id)
        await receiver.wait_for(4)
        child.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(child.wait(), 10) == 0
    assert platform.deliveries(account_id) == []
    assert roles(platform.pool) == []


@pytest.mark.kill
async def test_what_a_killed_worker_had_on_the_wire_is_delivered_by_the_next(
    platform: Platform, receiver: Receiver, settings: Settings, account_id: UUID
) -> None:
    platform.subscribe(account_id, receiver.base_url)
    receiver.delay_s = 10.0
    platform.record(account_id, 3)
    async with work(settings) as child:
        await receiver.wait_for(3, 20)
        child.kill()
        await child.wait()
    assert platform.deliveries(account_id) == [("due", 0)] * 3
    # Instead of waiting for the lease of a minute, let it be over.
    with platform.pool.connection() as conn:
        conn.execute("UPDATE webhook_deliveries SET not_before = %s", (utc_now(),))
    receiver.delay_s = 0.0
    async with work(settings):
        await platform.settle(account_id, timeout_s=20)
    ids = [call.headers["webhook-id"] for call in receiver.calls]
    assert sorted(ids[:3]) == sorted(ids[3:])
