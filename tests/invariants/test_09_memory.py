"""Invariant 9: what is asked of a process, or waits for it, does not decide how much it holds."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace

import httpx
import psutil
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.dispatch.bed import Bed, handset
from tests.invariants.backlog import fill_queue
from tests.webhooks.conftest import Platform as Hooks
from viesti.db.pool import notify
from viesti.domain.accounts.service import create_account, create_credentials
from viesti.domain.senders.models import SmppAccount
from viesti.domain.senders.service import add_carrier, add_sender
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.secrets import load_platform_key

MIB = 2**20
RECIPIENTS = 10_000
BACKLOG = 150_000
EVENTS = 60_000
API = "from viesti.api.app import run; from viesti.kit.config import load_settings; run(load_settings())"


def resident(pid: int) -> int:
    """What a process and its children hold, in octets."""
    root = psutil.Process(pid)
    return sum(one.memory_info().rss for one in [root, *root.children(recursive=True)])


@pytest.fixture
def send(settings: Settings, conn: psycopg.Connection) -> Generator[Callable[[int], int]]:
    """An API of its own: sends one call of so many recipients, and says what it then holds."""
    settings = replace(settings, rate_limit_per_s=0)
    now = utc_now()
    key = load_platform_key(settings)
    account = create_account(conn, name="Acme", balance_micros=10**12, now=now)
    made = create_credentials(conn, key, account.id, now=now)
    add_carrier(conn, key, name="main", smpp=SmppAccount("127.0.0.1", 9, "viesti", "none"), now=now)
    add_sender(conn, account_id=account.id, number="+12025550100", carrier_name="main", now=now)
    conn.commit()
    process = subprocess.Popen(
        [sys.executable, "-c", API], env={**os.environ, **to_environment(settings)}
    )
    base = f"http://127.0.0.1:{settings.port}"
    http = httpx.Client(timeout=60, transport=httpx.HTTPTransport(retries=2))
    try:
        _wait_until_ready(http, base, process)
        grant = {
            "grant_type": "client_credentials",
            "client_id": str(made.client_id),
            "client_secret": made.client_secret,
        }
        token = http.post(f"{base}/oauth2/token", json=grant).json()["access_token"]
        calls = 0

        def once(recipients: int) -> int:
            nonlocal calls
            calls += 1
            contacts = [
                {
                    "mobile": f"+1212{2_000_000 + calls * RECIPIENTS // 2 + n}",
                    "firstName": f"Ada {n}",
                    "attributes": {"plan": "gold", "note": "x" * 100},
                }
                for n in range(recipients)
            ]
            body = {"contacts": contacts, "template": f"Hi {{{{firstName}}}}, call {calls}"}
            answer = http.post(
                f"{base}/v1/accounts/{account.id}/messages",
                content=json.dumps(body),
                headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            )
            assert answer.status_code == 200, answer.text[:500]
            assert answer.json()["data"]["valid"] == recipients
            return resident(process.pid)

        yield once
    finally:
        http.close()
        process.terminate()
        process.wait(20)


def _wait_until_ready(http: httpx.Client, base: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if http.get(f"{base}/ready").is_success:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, "the API ended while starting"
        assert time.monotonic() < deadline, "the API did not get ready"
        time.sleep(0.05)


@pytest.mark.slow
def test_the_api_holds_no_more_after_many_large_calls_than_after_a_few(
    send: Callable[[int], int],
) -> None:
    at_first = send(1)
    # What the interpreter keeps for reuse settles within a few calls.
    warm = max(send(RECIPIENTS) for _ in range(4))
    held = [send(RECIPIENTS) for _ in range(8)]
    print(f"\nAPI: {at_first / MIB:.0f}, {warm / MIB:.0f}, {[round(h / MIB) for h in held]} MiB")
    assert max(held) < warm + 40 * MIB
    # One call of 10,000 recipients is about 2 MiB of JSON.
    assert max(held) < at_first + 250 * MIB


@pytest.mark.slow
async def test_a_dispatcher_holds_no_more_with_a_long_backlog_than_with_none(bed: Bed) -> None:
    bed.run("UPDATE senders SET rate_per_s = 200")
    process = bed.spawn()
    await bed.bound()
    await bed.send([handset(n) for n in range(200)])
    await bed.settled(delivered=200)
    idle = resident(process.pid)
    await asyncio.to_thread(fill_queue, bed, BACKLOG)
    await bed.until(lambda: bed.statuses().get("delivered", 0) > 1_500, "the backlog moves", 30)
    held = resident(process.pid)
    print(f"\ndispatcher: {idle / MIB:.0f} MiB, {held / MIB:.0f} MiB beside {BACKLOG:,} texts")
    assert bed.statuses()["queued"] > BACKLOG * 0.9
    # A hundred thousand texts, read into objects, would be some 80 MiB.
    assert held < idle + 30 * MIB


@pytest.mark.slow
async def test_a_worker_holds_no_more_with_many_undeliverable_events_than_with_none(
    settings: Settings, pool: ConnectionPool[psycopg.Connection]
) -> None:
    hooks = Hooks(pool, load_platform_key(settings))
    with pool.connection() as conn:
        account = create_account(conn, name="Acme", balance_micros=0, now=utc_now())
    hooks.subscribe(account.id, "http://127.0.0.1:9/nobody")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "viesti",
        "work",
        env={**os.environ, **to_environment(settings)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:

        def count(query: str) -> int:
            with pool.connection() as conn:
                row = conn.execute(query.encode()).fetchone()
            return row[0] if row else 0

        async def until_more_than(least: int, query: str) -> None:
            deadline = time.monotonic() + 30
            while await asyncio.to_thread(count, query) <= least:
                assert time.monotonic() < deadline, query
                await asyncio.sleep(0.1)

        await until_more_than(0, "SELECT count(*) FROM processes")
        hooks.record(account.id, 10)
        await until_more_than(0, "SELECT count(*) FROM webhook_attempts")
        idle = resident(process.pid)
        assert await asyncio.to_thread(hooks.record, account.id, EVENTS)
        with pool.connection() as conn:
            notify(conn, WEBHOOKS_CHANNEL)
        await until_more_than(40, "SELECT count(*) FROM webhook_attempts")
        await asyncio.sleep(2)
        held = resident(process.pid)
    finally:
        process.kill()
        await process.wait()
    print(f"\nworker: {idle / MIB:.0f} MiB, {held / MIB:.0f} MiB beside {EVENTS:,} events")
    assert held < idle + 30 * MIB
