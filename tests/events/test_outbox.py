"""Which events are written, for whom, and what it costs when nobody listens."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from viesti.events.catalogue import EventType
from viesti.events.outbox import NewEvent, record_events
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id


def subscribe(conn: psycopg.Connection, account_id: UUID, *kinds: EventType) -> UUID:
    webhook_id = new_id()
    now = utc_now()
    conn.execute(
        "INSERT INTO webhooks (account_id, id, url, event_types, secret_encrypted, created_at,"
        " updated_at) VALUES (%s, %s, %s, %s, '', %s, %s)",
        (account_id, webhook_id, f"https://example.org/{webhook_id}", list(kinds), now, now),
    )
    return webhook_id


def rows(conn: psycopg.Connection, statement: str) -> list[Any]:
    return conn.execute(statement.encode()).fetchall()


def test_the_twelve_event_types_of_the_contract() -> None:
    assert sorted(kind.value for kind in EventType) == [
        "contact-created",
        "contact-opt-in",
        "contact-opt-out",
        "contact-removed",
        "contact-updated",
        "conversation-closed",
        "conversation-started",
        "list-opt-in",
        "list-opt-out",
        "message-received",
        "message-sent",
        "message-status",
    ]


def test_nothing_is_written_when_nobody_listens(conn: psycopg.Connection) -> None:
    account = new_id()
    subscribe(conn, new_id(), EventType.MESSAGE_SENT)
    subscribe(conn, account, EventType.MESSAGE_RECEIVED)
    assert not record_events(conn, [NewEvent(account, EventType.MESSAGE_SENT)], utc_now())
    assert not record_events(conn, [], utc_now())
    assert rows(conn, "SELECT 1 FROM events") == []
    assert rows(conn, "SELECT 1 FROM webhook_deliveries") == []


@pytest.mark.parametrize("count", [1, 20, 500])
def test_each_listener_gets_each_event_once(conn: psycopg.Connection, count: int) -> None:
    account, other = new_id(), new_id()
    hooks = {
        subscribe(conn, account, EventType.MESSAGE_SENT),
        subscribe(conn, account, EventType.MESSAGE_SENT, EventType.MESSAGE_STATUS),
    }
    subscribe(conn, other, EventType.MESSAGE_STATUS)
    messages = [new_id() for _ in range(count)]
    events = [
        NewEvent(account, EventType.MESSAGE_SENT, message_id=message, facts={"status": "sent"})
        for message in messages
    ]
    assert record_events(conn, events, utc_now())
    found = rows(conn, "SELECT account_id, type, message_id, facts, payload FROM events")
    assert sorted(row[2] for row in found) == sorted(messages)
    assert {(row[0], row[1], row[3]["status"], row[4]) for row in found} == {
        (account, "message-sent", "sent", None)
    }
    told = rows(conn, "SELECT webhook_id, event_id FROM webhook_deliveries")
    assert len(told) == len(set(told)) == 2 * count
    assert {row[0] for row in told} == hooks


def test_a_subscription_made_a_moment_ago_hears_the_next_event(conn: psycopg.Connection) -> None:
    account = new_id()
    event = NewEvent(account, EventType.CONTACT_OPT_OUT)
    assert not record_events(conn, [event], utc_now())
    subscribe(conn, account, EventType.CONTACT_OPT_OUT)
    assert record_events(conn, [event], utc_now())
    conn.execute("UPDATE webhooks SET disabled_at = %s", (utc_now(),))
    assert not record_events(conn, [event], utc_now())


def test_events_of_one_conversation_have_moments_that_ascend(conn: psycopg.Connection) -> None:
    account, conversation = new_id(), new_id()
    subscribe(conn, account, EventType.MESSAGE_SENT)
    event = NewEvent(account, EventType.MESSAGE_SENT, conversation_id=conversation)
    record_events(conn, [event] * 100, utc_now())
    moments = [row[0] for row in rows(conn, "SELECT created_at FROM events ORDER BY id")]
    assert moments == sorted(set(moments))


def test_events_share_the_callers_transaction(conn: psycopg.Connection) -> None:
    account = new_id()
    subscribe(conn, account, EventType.MESSAGE_SENT)
    conn.commit()
    record_events(conn, [NewEvent(account, EventType.MESSAGE_SENT)], utc_now())
    conn.rollback()
    assert rows(conn, "SELECT 1 FROM events") == []
