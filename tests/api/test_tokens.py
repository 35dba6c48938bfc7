"""Signing in, what a token opens, and how long."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from httpx import ASGITransport, AsyncClient, Response
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from litestar import Litestar
from litestar.testing import TestClient
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from tests.contract.schema import check_value
from viesti.api import auth
from viesti.api.app import create_app
from viesti.domain.accounts.failures import MAX_BY_ADDRESS
from viesti.domain.accounts.service import create_credentials, revoke_credentials
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings
from viesti.kit.secrets import PlatformKey

Http = TestClient[Litestar]
Pool = ConnectionPool[psycopg.Connection]


def ask(http: Http, tenant: Tenant, **changes: Any) -> Response:
    body = {
        "grant_type": "client_credentials",
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
    }
    return http.post("/oauth2/token", json={**body, **changes})


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def opens(http: Http, tenant: Tenant, authorization: str) -> int:
    headers: Any = {"authorization": authorization.encode()}
    return http.get(f"/v1/accounts/{tenant.account_id}/contacts", headers=headers).status_code


def forms(tenant: Tenant) -> dict[str, dict[str, Any]]:
    fields = {
        "grant_type": "client_credentials",
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
    }
    form = "application/x-www-form-urlencoded"
    return {
        "json": {"json": fields},
        "form": {"data": fields},
        "form with scope": {"data": {**fields, "scope": "messages:send", "audience": "x"}},
        "basic": {
            "data": {"grant_type": "client_credentials"},
            "headers": basic(tenant.client_id, tenant.client_secret),
        },
        "multipart": {"files": {name: (None, value) for name, value in fields.items()}},
        "json that says it is a form": {
            "content": json.dumps(fields),
            "headers": {"content-type": form},
        },
        "form without content type": {
            "content": "&".join(f"{name}={value}" for name, value in fields.items())
        },
    }


def test_every_form_of_request_that_clients_use_gets_a_token(http: Http, tenant: Tenant) -> None:
    for name, options in forms(tenant).items():
        for path in ("/oauth2/token", "/v1/oauth2/token"):
            answer = http.post(path, **options)
            assert answer.status_code == 200, name
            check_value({"$ref": "#/components/schemas/TokenResponse"}, answer.json())
            assert answer.json()["token_type"] == "Bearer"
            assert answer.json()["expires_in"] == 3600
            assert answer.headers["cache-control"] == "no-store"
            assert opens(http, tenant, f"bearer {answer.json()['access_token']}") == 200


def test_a_token_is_a_jwt_that_the_published_keys_verify(http: Http, tenant: Tenant) -> None:
    keys = KeySet.import_key_set(http.get("/.well-known/jwks.json").json())
    assert all("d" not in key.as_dict() for key in keys.keys)
    read = jwt.decode(tenant.token, keys, algorithms=["RS256"])
    assert read.header["kid"] == keys.keys[0].kid
    assert read.claims["accountId"] == str(tenant.account_id)
    assert read.claims["sub"] == tenant.client_id
    assert isinstance(read.claims["exp"], int)
    assert read.claims["exp"] - read.claims["iat"] == 3600


def test_a_wrong_secret_and_an_unknown_client_look_the_same(http: Http, tenant: Tenant) -> None:
    wrong = ask(http, tenant, client_secret="no")
    unknown = ask(http, tenant, client_id=str(uuid4()))
    malformed = ask(http, tenant, client_id="\x00'; --")
    assert wrong.status_code == unknown.status_code == malformed.status_code == 401
    assert wrong.json() == unknown.json() == malformed.json()
    assert wrong.json()["error"] == "invalid_client"
    assert wrong.json()["success"] is False
    assert wrong.json()["errorObject"]["code"] == "GEN-401"
    with_basic = http.post(
        "/oauth2/token",
        data={"grant_type": "client_credentials"},
        headers=basic(tenant.client_id, "no"),
    )
    assert with_basic.status_code == 401
    assert with_basic.headers["www-authenticate"].startswith("Basic")


UNREADABLE = [
    (b"", "invalid_request"),
    (b"{", "invalid_request"),
    (b"[]", "invalid_request"),
    (b'{"grant_type": 7}', "invalid_request"),
    (b'{"a":' * 5000, "invalid_request"),
    (b'{"grant_type": "\xff"}', "invalid_request"),
    (b"grant_type=%FF%FE", "unsupported_grant_type"),
    (b'{"grant_type": "password"}', "unsupported_grant_type"),
    (b'{"grant_type": "client_credentials"}', "invalid_client"),
]


def test_a_request_that_cannot_be_read_is_answered_in_oauth2_form(http: Http) -> None:
    for body, word in UNREADABLE:
        answer = http.post(
            "/oauth2/token", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == (401 if word == "invalid_client" else 400)
        assert answer.json()["error"] == word
        assert answer.json()["errorObject"]["code"].startswith("GEN-")


def test_guessing_is_stopped_by_client_address(
    http: Http, pool: Pool, key: PlatformKey, new_tenant: Callable[..., Tenant]
) -> None:
    tenant, known = new_tenant(), new_tenant()
    with pool.connection() as conn:
        made = create_credentials(conn, key, known.account_id, now=utc_now())
    for _ in range(MAX_BY_ADDRESS):
        assert ask(http, tenant, client_secret="guess").status_code == 401
    # The right secret, and a client that is new at the address, wait as well.
    fresh = {"client_id": str(made.client_id), "client_secret": made.client_secret}
    for answer in (ask(http, tenant), ask(http, tenant, **fresh)):
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 300
        assert answer.json()["error"] == "slow_down"
        assert answer.json()["errorObject"]["code"] == "GEN-429"
    # A token that was issued before goes on, and so does a client that is known there.
    assert tenant.get("/contacts").status_code == 200
    assert ask(http, known).status_code == 200
    # Nobody guesses at a known client more than once.
    assert ask(http, known, client_secret="guess").status_code == 401
    assert ask(http, known).status_code == 429


async def test_guessing_at_one_client_from_many_addresses_stops_strangers_only(
    settings: Settings,
    pool: Pool,
    new_tenant: Callable[..., Tenant],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("viesti.domain.accounts.failures.MAX_BY_CLIENT", 6)
    tenant = new_tenant()
    trusting = replace(settings, trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),))
    transport = ASGITransport(create_app(trusting, pool), client=("127.0.0.1", 1))
    async with AsyncClient(transport=transport, base_url="http://test") as http:

        async def from_(address: str, secret: str) -> int:
            answer = await http.post(
                "/oauth2/token",
                json={
                    "grant_type": "client_credentials",
                    "client_id": tenant.client_id,
                    "client_secret": secret,
                },
                # What the client itself claims stands in front and is not believed.
                headers={"x-forwarded-for": f"198.51.100.9, {address}"},
            )
            return answer.status_code

        assert await from_("203.0.113.1", tenant.client_secret) == 200
        for number in range(6):
            assert await from_(f"203.0.113.{10 + number}", "guess") == 401
        assert await from_("203.0.113.99", tenant.client_secret) == 429
        assert await from_("203.0.113.1", tenant.client_secret) == 200


def test_a_revoked_client_is_refused_within_seconds(
    http: Http, pool: Pool, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tenant.get("/contacts").status_code == 200
    with pool.connection() as conn:
        revoke_credentials(conn, tenant.account_id, UUID(tenant.client_id), now=utc_now())
    until = time.monotonic() + 30
    while tenant.get("/contacts").status_code != 401:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert ask(http, tenant).status_code == 401


def test_new_credentials_work_at_once(
    http: Http, pool: Pool, tenant: Tenant, key: PlatformKey
) -> None:
    with pool.connection() as conn:
        made = create_credentials(conn, key, tenant.account_id, now=utc_now())
    answer = ask(http, tenant, client_id=str(made.client_id), client_secret=made.client_secret)
    assert answer.status_code == 200


def test_a_token_opens_nothing_once_it_is_expired_or_tampered_with(
    http: Http, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, body, signature = tenant.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    public = http.get("/.well-known/jwks.json").json()["keys"][0]
    mine = RSAKey.generate_key(2048)
    pem = RSAKey.import_key(public).as_pem(private=False)

    def part_of(octets: bytes) -> str:
        return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()

    def part(value: Any) -> str:
        return part_of(json.dumps(value).encode())

    kid = public["kid"]
    symmetric = f"{part({'alg': 'HS256', 'kid': kid})}.{body}"
    forged = [
        f"{part({'alg': 'none', 'kid': kid})}.{body}.",
        f"{head}.{part({**claims, 'accountId': str(uuid4())})}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        jwt.encode({"alg": "RS256", "kid": kid}, claims, mine),
        jwt.encode({"alg": "RS256", "kid": "unknown"}, claims, mine),
        # The public key as the secret of a symmetric signature.
        f"{symmetric}.{part_of(hmac.digest(pem, symmetric.encode(), 'sha256'))}",
        "abc",
        "a.b.c",
        "." * 5000,
        part({"a": 1}) + "." + "x" * 100_000,
        "\u00e9.\u00e9.\u00e9",
    ]
    for token in forged:
        assert opens(http, tenant, f"Bearer {token}") == 401
    for authorization in ("", "Bearer", "Bearer ", f"Basic {tenant.token}", tenant.token):
        assert opens(http, tenant, authorization) == 401
    assert opens(http, tenant, f"BEARER  {tenant.token}") == 200
    later = utc_now().replace(year=utc_now().year + 1)
    monkeypatch.setattr(auth, "utc_now", lambda: later)
    assert opens(http, tenant, f"Bearer {tenant.token}") == 401


def test_a_refusal_says_how_to_sign_in(http: Http, tenant: Tenant) -> None:
    answer = http.get(f"/v1/accounts/{tenant.account_id}/contacts")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"]["code"] == "GEN-401"
