"""Conversations over the API: list, fetch, close."""

from __future__ import annotations

from datetime import datetime

import psycopg
from psycopg_pool import ConnectionPool

from tests.api.conftest import Tenant

NUMBER = "+13475550101"


def start(tenant: Tenant, template: str = "Hello", mobile: str = NUMBER) -> str:
    answer = tenant.post("/messages", json={"contacts": [{"mobile": mobile}], "template": template})
    conversation: str = answer.json()["data"]["messages"][0]["conversation"]["id"]
    return conversation


def test_a_conversation_shows_its_contact_sender_and_last_message(tenant: Tenant) -> None:
    made = start(tenant)
    data = tenant.get(f"/conversations/{made}").json()["data"]
    assert data["contact"]["mobile"]["number"] == NUMBER
    assert data["phoneNumber"]["number"] == tenant.sender
    assert data["phoneNumber"]["country"] == "US"
    assert data["lastMessage"]["message"] == "Hello"
    assert data["unread"] == []
    assert "closed" not in data
    assert tenant.get("/conversations").json()["data"] == [data]


def test_conversations_are_listed_newest_first(tenant: Tenant) -> None:
    first, second = start(tenant), start(tenant, mobile="+447400123456")
    listed = tenant.get("/conversations").json()["data"]
    assert [row["id"] for row in listed] == [second, first]
    page = tenant.get("/conversations?limit=1&offset=1").json()
    assert [row["id"] for row in page["data"]] == [first]
    assert page["pagination"]["hasNext"] is False


def test_closing_ends_it_once_and_the_next_text_starts_another(
    tenant: Tenant, pool: ConnectionPool[psycopg.Connection]
) -> None:
    hook = {"url": "https://example.com/h", "eventTypes": ["conversation-closed"]}
    tenant.post("/webhooks", json=hook)
    made = start(tenant)
    # Samples in circulation send the body of another resource.
    closed = tenant.put(f"/conversations/{made}/close", json={"name": "x", "template": "y"})
    assert closed.status_code == 200
    at = closed.json()["data"]["closed"]
    assert datetime.fromisoformat(at).tzinfo is not None
    again = tenant.put(f"/conversations/{made}/close")
    assert again.json() == closed.json()
    with pool.connection() as conn:
        recorded = conn.execute("SELECT type, conversation_id::text, facts FROM events").fetchall()
    assert recorded == [("conversation-closed", made, {"closed_at": at})]
    assert start(tenant, "Another") != made


def test_unread_names_people_and_there_are_none_yet(tenant: Tenant) -> None:
    made = start(tenant)
    assert tenant.get(f"/conversations/{made}").json()["data"]["unread"] == []
