"""Webhooks over the API: subscribe, list, unsubscribe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from litestar.testing import TestClient
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant
from viesti.api.app import create_app
from viesti.events.catalogue import EventType
from viesti.kit.config import Settings

Pool = ConnectionPool[psycopg.Connection]

URL = "https://hooks.example.com/a/b?key=s%2Fx&n=1"


def subscribe(tenant: Tenant, **body: Any) -> dict[str, Any]:
    answer = tenant.post("/webhooks", json={"eventTypes": ["message-received"], **body})
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def test_subscribing_shows_the_secret_once_and_both_names_of_the_url(tenant: Tenant) -> None:
    made = subscribe(tenant, url=URL)
    assert made["url"] == made["destination"] == URL
    assert made["eventTypes"] == ["message-received"]
    assert made["secret"].startswith("whsec_")
    (listed,) = tenant.get("/webhooks").json()["data"]
    assert "secret" not in listed
    assert listed["id"] == made["id"]


@pytest.mark.parametrize("name", ["url", "callbackUrl", "destination"])
def test_the_url_is_taken_under_each_of_its_names(tenant: Tenant, name: str) -> None:
    assert subscribe(tenant, **{name: URL})["url"] == URL


def test_who_names_no_event_types_hears_all(tenant: Tenant) -> None:
    # The published contract requires nothing but the URL.
    answer = tenant.post("/webhooks", json={"callbackUrl": URL})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["eventTypes"] == [kind.value for kind in EventType]


@pytest.mark.parametrize("by", ["encoded url", "id"])
def test_unsubscribing_is_silent_and_final(tenant: Tenant, by: str) -> None:
    made = subscribe(tenant, url=URL)
    other = subscribe(tenant, url="https://hooks.example.com/other")
    path = quote(URL, safe="") if by == "encoded url" else made["id"]
    answer = tenant.delete(f"/webhooks/{path}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert [hook["id"] for hook in tenant.get("/webhooks").json()["data"]] == [other["id"]]
    again = tenant.delete(f"/webhooks/{path}")
    assert again.status_code == 404
    assert again.json()["error"]["code"] == "WEBH-001"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "WEBH-002"),
        ({"url": "nonsense"}, "WEBH-002"),
        ({"url": "ftp://example.com/x"}, "WEBH-002"),
        ({"url": URL, "eventTypes": ["nonsense"]}, "WEBH-003"),
        ({"url": URL, "eventTypes": []}, "WEBH-003"),
        ({"url": URL, "eventTypes": 3}, "GEN-400"),
    ],
)
def test_a_subscription_that_cannot_work_is_refused(
    tenant: Tenant, body: dict[str, Any], code: str
) -> None:
    answer = tenant.post("/webhooks", json={"eventTypes": ["message-sent"], **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
    assert tenant.get("/webhooks").json()["data"] == []


@pytest.mark.parametrize(
    ("host", "allowed"), [("127.0.0.1", True), ("0.0.0.0", False), ("203.0.113.7", False)]
)
def test_private_addresses_are_taken_only_while_the_api_is_bound_to_loopback(
    settings: Settings, pool: Pool, tenant: Tenant, host: str, allowed: bool
) -> None:
    with TestClient(create_app(replace(settings, host=host), pool)) as http:
        answer = http.post(
            f"/v1/accounts/{tenant.account_id}/webhooks",
            json={"url": "http://127.0.0.1:9/hook", "eventTypes": ["message-sent"]},
            headers={"authorization": f"Bearer {tenant.token}"},
        )
    assert answer.status_code == (200 if allowed else 400)
    assert allowed or answer.json()["error"]["code"] == "WEBH-002"


def test_a_webhook_url_that_cannot_be_read_names_nothing(tenant: Tenant) -> None:
    for path in ("%00", "%FF", "x%2F..%2F", "%20"):
        assert tenant.delete(f"/webhooks/{path}").status_code == 404
