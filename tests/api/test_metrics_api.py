"""``/metrics``: the platform's state beside the counters of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from litestar import Litestar
from litestar.testing import TestClient
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.api.database import Database
from viesti.api.platform_metrics import PlatformMetrics


def test_metrics_show_the_queue_without_naming_anybody(
    http: TestClient[Litestar], new_tenant: Callable[..., Tenant]
) -> None:
    tenant = new_tenant()
    body = {"contacts": [{"mobile": {"number": "+13475550199"}}], "template": "Hello"}
    assert tenant.post("/messages", json=body).status_code == 200
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'viesti_queue_waiting{carrier="simulator"} 1.0' in answer.text
    assert "viesti_status_ok 1.0" in answer.text
    assert "viesti_api_requests_total{" in answer.text
    assert str(tenant.account_id) not in answer.text
    assert "3475550199" not in answer.text
    assert tenant.sender not in answer.text


async def test_many_scrapes_at_once_ask_the_database_once(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    metrics = PlatformMetrics(Database(pool))
    first, second = await asyncio.gather(metrics.text(), metrics.text())
    assert first == second  # with the time that reading took
    impatient = PlatformMetrics(Database(pool), kept_s=0.0)
    assert await impatient.text() != await impatient.text()


async def test_without_a_database_the_metrics_say_so(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    pool.close()
    assert b"viesti_status_ok 0.0" in await PlatformMetrics(Database(pool)).text()
