"""Sixteen clients that send to the same ten thousand contacts at once, each in its own order."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from tests.flows.conftest import Platform, start_platform
from tests.flows.rig import Account
from tests.invariants.books import find_wrongs
from viesti.db.embedded import Layout

CLIENTS = 16
CONTACTS = 10_000
PARTS = 2  # calls of each client, so that halves of different clients meet
SEED = 4


@pytest.fixture
def platform() -> Generator[Platform]:
    """Two processes accept; the carrier is away, so that texts wait where they were put."""
    yield from start_platform(rate_limit_per_s=0, api_workers=2)


@pytest.mark.slow
def test_no_deadlock_reaches_a_client_and_no_contact_doubles(platform: Platform) -> None:
    account = platform.account("--balance", "1000000")
    handsets = platform.handsets
    assert handsets.http.post(f"{handsets.base}/outage", json={"kind": "refuse"}).is_success
    # The first call makes half of them, so that known and new ones mix.
    numbers = [f"+1212{5_000_000 + n}" for n in range(CONTACTS)]
    assert _send(account, account.http, numbers[: CONTACTS // 2], "first")["valid"] == CONTACTS / 2
    barrier = threading.Barrier(CLIENTS)

    def client(number: int) -> list[dict[str, Any]]:
        order = random.Random(SEED + number).sample(numbers, CONTACTS)
        size = CONTACTS // PARTS
        with httpx.Client(timeout=120, headers=account.http.headers) as http:
            barrier.wait()
            return [
                _send(account, http, order[part * size :][:size], f"client {number}")
                for part in range(PARTS)
            ]

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as threads:
        answers = [answer for its in threads.map(client, range(CLIENTS)) for answer in its]
    took_s = time.monotonic() - began
    print(f"\n{CLIENTS * CONTACTS:,} recipients in {took_s:.1f} s")

    assert Counter(answer["valid"] for answer in answers) == {CONTACTS // PARTS: CLIENTS * PARTS}
    total = CLIENTS * CONTACTS + CONTACTS // 2
    with psycopg.connect(
        Layout(platform.settings.data_dir.absolute()).dsn(), autocommit=True
    ) as conn:

        def one(query: str) -> tuple[Any, ...] | None:
            return conn.execute(query.encode(), (account.account_id,)).fetchone()

        assert one(
            "SELECT count(*), count(DISTINCT mobile) FROM contacts WHERE account_id = %s"
        ) == (CONTACTS, CONTACTS)
        assert one(
            "SELECT count(*), count(DISTINCT contact_id) FROM conversations"
            " WHERE account_id = %s AND closed_at IS NULL"
        ) == (CONTACTS, CONTACTS)
        assert one(
            "SELECT count(*), count(DISTINCT conversation_id) FROM messages WHERE account_id = %s"
        ) == (total, CONTACTS)
        # Each text of each client to each contact once.
        assert one(
            "SELECT max(n) FROM (SELECT count(*) AS n FROM messages WHERE account_id = %s"
            " GROUP BY mobile, message) t"
        ) == (1,)
        assert one("SELECT reserved_micros FROM balances WHERE account_id = %s") == (
            total * 32_000,
        )
        assert find_wrongs(conn) == []


def _send(account: Account, http: httpx.Client, numbers: list[str], text: str) -> dict[str, Any]:
    """One call, tried once: whatever goes wrong inside is not the client's business."""
    answer = http.post(
        f"{account.base}/v1/accounts/{account.account_id}/messages",
        json={"contacts": [{"mobile": number} for number in numbers], "template": text},
    )
    assert answer.status_code == 200, answer.text[:500]
    return answer.json()["data"]
