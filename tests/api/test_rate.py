"""How often one client may ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from litestar.testing import TestClient
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.api import rate
from viesti.api.app import create_app
from viesti.api.rate import RateLimiter
from viesti.kit.config import Settings
from viesti.kit.ids import new_id


def test_over_the_rate_is_a_429_for_that_client_alone(
    settings: Settings,
    pool: ConnectionPool[psycopg.Connection],
    new_tenant: Callable[..., Tenant],
) -> None:
    fast, other = new_tenant(), new_tenant()
    limited = replace(settings, rate_limit_per_s=1, rate_limit_burst=5)
    with TestClient(create_app(limited, pool)) as http:
        fast.http = other.http = http
        bulk = [{"mobile": f"+1212200{n:04d}"} for n in range(1000)]
        assert fast.post("/contacts", json=bulk).headers["ratelimit-remaining"] == "4"
        for _ in range(4):
            assert fast.get("/webhooks").status_code == 200
        answer = fast.get("/webhooks")
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "GEN-429"
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["ratelimit-limit"] == "5"
        assert answer.headers["ratelimit-remaining"] == "0"
        assert other.get("/webhooks").status_code == 200


def test_a_bucket_fills_up_again_and_never_beyond_the_burst(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 1000.0
    monkeypatch.setattr(rate, "monotonic_s", lambda: now_s)
    limiter = RateLimiter(Settings(rate_limit_per_s=10, rate_limit_burst=3))
    client = new_id()

    def taken() -> int:
        count = 0
        while (left := limiter.take(client)) is not None and left.retry_after_s == 0:
            count += 1
        return count

    assert taken() == 3
    refused = limiter.take(client)
    assert refused is not None
    assert refused.retry_after_s == pytest.approx(0.1)
    now_s += 0.2
    assert taken() == 2
    now_s += 3600
    assert taken() == 3


def test_many_clients_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(rate, "monotonic_s", lambda: now_s)
    monkeypatch.setattr(rate, "MAX_BUCKETS", 10)
    limiter = RateLimiter(Settings(rate_limit_per_s=10, rate_limit_burst=3))
    for _ in range(1000):
        limiter.take(new_id())
        now_s += 0.1
    assert len(limiter._buckets) <= 11


def test_no_limit_means_none() -> None:
    assert RateLimiter(Settings(rate_limit_per_s=0)).take(new_id()) is None
