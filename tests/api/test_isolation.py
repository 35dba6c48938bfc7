"""A token opens its own account and nothing else, and tells nothing about what else exists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from httpx import Response

from tests.api.conftest import Tenant

NUMBER = "+13475550101"
HOOK = "https://hooks.example.com/mine"


@pytest.fixture
def mine(new_tenant: Callable[..., Tenant]) -> Tenant:
    return new_tenant()


@pytest.fixture
def theirs(new_tenant: Callable[..., Tenant]) -> Tenant:
    return new_tenant()


def fill(tenant: Tenant) -> dict[str, str]:
    """One of each resource; their ids."""
    hook = {"url": HOOK, "eventTypes": ["contact-created"]}
    webhook = tenant.post("/webhooks", json=hook).json()["data"]["id"]
    sent = tenant.post("/messages", json={"contacts": [{"mobile": NUMBER}], "template": "Mine"})
    data = sent.json()["data"]
    message = data["messages"][0]
    return {
        "contacts": message["contact"]["id"],
        "messages": message["id"],
        "conversations": message["conversation"]["id"],
        "jobs": data["jobId"],
        "webhooks": webhook,
    }


def same(left: Response, right: Response) -> bool:
    return (left.status_code, left.json()) == (right.status_code, right.json())


CODES = {
    "contacts": "CONT-002",
    "messages": "MSG-002",
    "conversations": "CONV-001",
    "jobs": "JOB-001",
    "webhooks": "WEBH-001",
}
CALLS: list[tuple[str, str, str, Any]] = [
    ("contacts", "GET", "", None),
    ("contacts", "PUT", "", {"firstName": "Mallory"}),
    ("contacts", "DELETE", "", None),
    ("messages", "GET", "", None),
    ("conversations", "GET", "", None),
    ("conversations", "PUT", "/close", None),
    ("jobs", "GET", "", None),
    ("webhooks", "DELETE", "", None),
]


def test_a_foreign_id_is_answered_like_one_that_does_not_exist(
    mine: Tenant, theirs: Tenant
) -> None:
    ids = fill(theirs)
    for resource, method, suffix, body in CALLS:
        foreign = mine.request(method, f"/{resource}/{ids[resource]}{suffix}", json=body)
        unknown = mine.request(method, f"/{resource}/{uuid4()}{suffix}", json=body)
        malformed = mine.request(method, f"/{resource}/nonsense{suffix}", json=body)
        assert foreign.status_code == 404
        assert foreign.json()["error"]["code"] == CODES[resource]
        assert same(foreign, unknown)
        assert same(foreign, malformed)
    contact = theirs.get(f"/contacts/{ids['contacts']}").json()["data"]
    assert "firstName" not in contact
    conversation = theirs.get(f"/conversations/{ids['conversations']}").json()["data"]
    assert "closed" not in conversation
    assert len(theirs.get("/webhooks").json()["data"]) == 1


def test_another_account_is_answered_like_one_that_does_not_exist(
    mine: Tenant, theirs: Tenant
) -> None:
    headers = {"authorization": f"Bearer {mine.token}"}
    for path in ("contacts", "messages", "conversations", "webhooks", "groups"):
        foreign = mine.http.get(f"/v1/accounts/{theirs.account_id}/{path}", headers=headers)
        assert foreign.status_code == 404
        assert foreign.json()["error"]["code"] == "ACCT-008"
        for account in (uuid4(), "nonsense", "65aa00000000000000000001", "%00"):
            other = mine.http.get(f"/v1/accounts/{account}/{path}", headers=headers)
            assert same(foreign, other)


def test_lists_and_filters_show_nothing_of_another_account(mine: Tenant, theirs: Tenant) -> None:
    ids = fill(theirs)
    for path in (
        "/contacts",
        "/contacts?mobile=347",
        "/messages",
        f"/messages?contactId={ids['contacts']}",
        f"/messages?conversationId={ids['conversations']}",
        f"/messages?jobId={ids['jobs']}",
        "/conversations",
        "/webhooks",
    ):
        answer = mine.get(path).json()
        assert answer["data"] == []
        assert answer["pagination"]["totalCount"] == 0


def test_the_same_number_url_and_key_are_separate_in_each_account(
    mine: Tenant, theirs: Tenant
) -> None:
    ids = fill(theirs)
    own = fill(mine)
    assert not set(own.values()) & set(ids.values())
    assert mine.delete(f"/webhooks/{quote(HOOK, safe='')}").status_code == 204
    assert len(theirs.get("/webhooks").json()["data"]) == 1
    assert mine.delete(f"/contacts/{own['contacts']}").status_code == 200
    assert theirs.get(f"/contacts/{ids['contacts']}").status_code == 200


def test_a_send_reaches_no_foreign_contact_or_conversation(mine: Tenant, theirs: Tenant) -> None:
    ids = fill(theirs)
    for body in (
        {"contacts": [{"id": ids["contacts"]}]},
        {"conversations": [ids["conversations"]]},
    ):
        answer = mine.post("/messages", json={"template": "Hi", **body})
        if answer.status_code == 200:
            assert answer.json()["data"]["valid"] == 0
            assert answer.json()["data"]["messages"] == []
            assert NUMBER not in answer.text
    assert theirs.get("/messages").json()["pagination"]["totalCount"] == 1
