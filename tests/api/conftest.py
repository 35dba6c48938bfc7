"""The API in this process on a fresh database, and clients that check each answer."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from httpx import Response
from litestar import Litestar
from litestar.testing import TestClient
from psycopg_pool import ConnectionPool

from tests.contract.schema import check_answer
from viesti.api.app import create_app
from viesti.domain.accounts.models import Profile
from viesti.domain.accounts.service import create_account, create_credentials
from viesti.domain.senders.models import SmppAccount
from viesti.domain.senders.service import add_sender, ensure_carrier
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings
from viesti.kit.secrets import PlatformKey, load_platform_key


@dataclass(slots=True)
class Tenant:
    """An account with one sender, and a client of it that sends its token by itself."""

    account_id: UUID
    client_id: str
    client_secret: str
    sender: str
    http: TestClient[Litestar]
    token: str = ""

    def request(self, method: str, path: str, **options: Any) -> Response:
        """``path`` is below the account; the answer is checked against the contract."""
        headers = {"authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        answer = self.http.request(
            method, f"/v1/accounts/{self.account_id}{path}", headers=headers, **options
        )
        check_answer(method, path, answer)
        return answer

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Response:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> Response:
        return self.request("DELETE", path, **options)


@pytest.fixture
def key(settings: Settings) -> PlatformKey:
    return load_platform_key(settings)


@pytest.fixture
def http(
    settings: Settings, pool: ConnectionPool[psycopg.Connection]
) -> Generator[TestClient[Litestar]]:
    # Tests ask faster than clients may; tests/api/test_rate.py sets a limit.
    unlimited = replace(settings, rate_limit_per_s=0)
    with TestClient(create_app(unlimited, pool), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def new_tenant(
    http: TestClient[Litestar], pool: ConnectionPool[psycopg.Connection], key: PlatformKey
) -> Callable[..., Tenant]:
    made = 0

    def make(profile: Profile = Profile.PUBLISHED, balance_micros: int = 100_000_000) -> Tenant:
        nonlocal made
        made += 1
        now = utc_now()
        number = f"+1212555010{made}"
        with pool.connection() as conn:
            ensure_carrier(
                conn,
                key,
                name="simulator",
                smpp=SmppAccount(host="127.0.0.1", port=2775, system_id="viesti", password="x"),
                now=now,
            )
            account = create_account(
                conn, name=f"Tenant {made}", balance_micros=balance_micros, now=now
            )
            add_sender(
                conn,
                account_id=account.id,
                number=number,
                carrier_name="simulator",
                now=now,
            )
            made_credentials = create_credentials(conn, key, account.id, now=now, profile=profile)
        tenant = Tenant(
            account.id,
            str(made_credentials.client_id),
            made_credentials.client_secret,
            number,
            http,
        )
        answer = http.post(
            "/oauth2/token",
            json={
                "grant_type": "client_credentials",
                "client_id": tenant.client_id,
                "client_secret": tenant.client_secret,
            },
        )
        tenant.token = answer.json()["access_token"]
        return tenant

    return make


@pytest.fixture
def tenant(new_tenant: Callable[..., Tenant]) -> Tenant:
    return new_tenant()
