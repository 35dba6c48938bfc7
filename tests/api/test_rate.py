"""How often one client may ask, over all API processes together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import psycopg
from litestar.testing import TestClient
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.api.app import create_app
from viesti.api.database import Database
from viesti.api.rate import LOT, RateLimiter
from viesti.kit.clock import monotonic_s
from viesti.kit.config import Settings
from viesti.kit.ids import new_id

Pool = ConnectionPool[psycopg.Connection]


async def passed(limiter: RateLimiter, client: UUID, requests: int) -> int:
    answers = [await limiter.take(client) for _ in range(requests)]
    return sum(answer is not None and answer.retry_after_s == 0 for answer in answers)


def test_over_the_rate_is_a_429_for_that_client_alone(
    settings: Settings, pool: Pool, new_tenant: Callable[..., Tenant]
) -> None:
    fast, other = new_tenant(), new_tenant()
    limited = replace(settings, rate_limit_per_s=1, rate_limit_burst=5)
    with TestClient(create_app(limited, pool)) as http:
        fast.http = other.http = http
        bulk = [{"mobile": f"+1212200{n:04d}"} for n in range(1000)]
        assert fast.post("/contacts", json=bulk).headers["ratelimit-remaining"] == "4"
        for _ in range(3):
            assert fast.get("/webhooks").status_code == 200
        # What came back meanwhile at one a second is used up too.
        answer = next(got for _ in range(20) if (got := fast.get("/webhooks")).status_code != 200)
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "GEN-429"
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["ratelimit-limit"] == "5"
        assert answer.headers["ratelimit-remaining"] == "0"
        assert other.get("/webhooks").status_code == 200


async def test_two_processes_together_let_no_more_pass_than_one(pool: Pool) -> None:
    settings = Settings(rate_limit_per_s=1, rate_limit_burst=40)
    ours, theirs = (RateLimiter(settings, Database(pool)) for _ in range(2))
    client, began_s = new_id(), monotonic_s()
    counts = await asyncio.gather(
        *(passed(limiter, client, 15) for limiter in (ours, theirs) for _ in range(3))
    )
    most = 40 + int(monotonic_s() - began_s) + 1
    # All but what the other process holds at the end.
    assert 40 - LOT < sum(counts) <= most


async def test_what_a_process_does_not_use_another_may(pool: Pool) -> None:
    settings = Settings(rate_limit_per_s=1, rate_limit_burst=40)
    ours, theirs = (RateLimiter(settings, Database(pool)) for _ in range(2))
    client = new_id()
    assert await passed(ours, client, 1) == 1
    for limiter in (ours, theirs):
        await limiter.return_idle()
    held = ours._held[client]
    assert held.tokens == LOT - 1
    held.used_at_s -= 10
    await ours.return_idle()
    assert client not in ours._held
    assert await passed(theirs, client, 39) == 39


async def test_a_refusal_says_how_long_to_wait_and_asks_the_database_once(pool: Pool) -> None:
    limiter = RateLimiter(Settings(rate_limit_per_s=1, rate_limit_burst=1), Database(pool))
    client = new_id()
    assert await passed(limiter, client, 1) == 1
    refused = await limiter.take(client)
    assert refused is not None
    assert 0 < refused.retry_after_s <= 1
    limiter._held[client].empty_until_s += 60
    waiting = await limiter.take(client)
    assert waiting is not None
    assert waiting.retry_after_s > 59


async def test_no_limit_means_none(pool: Pool) -> None:
    limiter = RateLimiter(Settings(rate_limit_per_s=0), Database(pool))
    assert await limiter.take(new_id()) is None


def test_the_token_endpoint_has_a_limit_of_its_own(
    settings: Settings, pool: Pool, new_tenant: Callable[..., Tenant]
) -> None:
    tenant, other = new_tenant(), new_tenant()
    limited = replace(settings, rate_limit_per_s=1, rate_limit_burst=3)
    with TestClient(create_app(limited, pool)) as http:

        def ask(asking: Tenant) -> int:
            given = {"client_id": asking.client_id, "client_secret": asking.client_secret}
            wanted = {"grant_type": "client_credentials"} | given
            return http.post("/oauth2/token", json=wanted).status_code

        answers = [ask(tenant) for _ in range(20)]
        assert answers[:3] == [200, 200, 200]
        assert 429 in answers
        assert ask(other) == 200
        tenant.http = http
        assert tenant.get("/webhooks").status_code == 200
