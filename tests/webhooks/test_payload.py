"""The body of each kind of event, built from stored rows and the facts of its moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from viesti.events.catalogue import EventType
from viesti.kit.ids import new_id
from viesti.webhooks.payload import build_bodies, sequence_of
from viesti.webhooks.things import EventRow

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Stored:
    account_id: UUID
    contact_id: UUID
    conversation_id: UUID
    message_id: UUID
    sender_id: UUID
    job_id: UUID


@pytest.fixture
def stored(conn: psycopg.Connection) -> Stored:
    s = Stored(*(new_id() for _ in range(6)))
    conn.execute(
        "INSERT INTO contacts (account_id, id, mobile, country, first_name, last_name, email,"
        " attributes, tags, created_at, updated_at) VALUES"
        " (%s, %s, '+15550100002', 'US', 'Ada', 'Quill', 'ada@example.test', %s, '{vip}', %s, %s)",
        (s.account_id, s.contact_id, Jsonb({"plan": "gold"}), AT, AT),
    )
    conn.execute(
        "INSERT INTO senders (id, account_id, carrier_id, number, country, created_at)"
        " VALUES (%s, %s, %s, '+15550100001', 'US', %s)",
        (s.sender_id, s.account_id, new_id(), AT),
    )
    conn.execute(
        "INSERT INTO conversations (account_id, id, contact_id, sender_id, mobile, sender,"
        " created_at, updated_at) VALUES (%s, %s, %s, %s, '+15550100002', '+15550100001', %s, %s)",
        (s.account_id, s.conversation_id, s.contact_id, s.sender_id, AT, AT),
    )
    conn.execute(
        "INSERT INTO messages (account_id, id, job_id, contact_id, conversation_id, sender_id,"
        " sender, mobile, outgoing, status, message, encoding, segments, price_micros, error_code,"
        " created_at, updated_at) VALUES (%s, %s, %s, %s, %s, %s, '+15550100001', '+15550100002',"
        " true, 'error', 'See you at 3', 'gsm7', 1, 32000, 'MSG-019', %s, %s)",
        (
            s.account_id,
            s.message_id,
            s.job_id,
            s.contact_id,
            s.conversation_id,
            s.sender_id,
            AT,
            LATER,
        ),
    )
    return s


def body_of(
    conn: psycopg.Connection, s: Stored, kind: EventType, facts: dict[str, Any], **ids: UUID
) -> dict[str, Any]:
    event = EventRow(
        s.account_id,
        new_id(),
        kind.value,
        ids.get("contact_id"),
        ids.get("conversation_id"),
        ids.get("message_id"),
        facts,
        LATER,
    )
    body: dict[str, Any] = json.loads(build_bodies(conn, [s.account_id], [event])[event.id])
    assert body["accountId"] == body["payload"]["accountId"] == str(s.account_id)
    assert body["eventId"] == str(event.id)
    assert body["eventType"] == kind.value
    assert body["sequence"] == sequence_of(LATER)
    return body["payload"]


def test_a_message_event_has_the_observed_shape(conn: psycopg.Connection, stored: Stored) -> None:
    payload = body_of(
        conn,
        stored,
        EventType.MESSAGE_SENT,
        {"status": "sent"},
        message_id=stored.message_id,
        contact_id=stored.contact_id,
        conversation_id=stored.conversation_id,
    )
    assert payload["id"] == str(stored.message_id)
    assert payload["message"] == "See you at 3"
    assert payload["type"] == "sms"
    assert payload["outgoing"] is True
    assert payload["media"] == []
    assert payload["job"] == {"id": str(stored.job_id)}
    assert payload["created"] == {"at": "2026-03-01T10:00:00.000Z"}
    assert payload["group"]["id"]
    assert payload["group"]["name"]
    conversation = payload["conversation"]
    assert conversation["id"] == str(stored.conversation_id)
    assert conversation["closed"] is None
    assert conversation["group"]["id"] == payload["group"]["id"]
    assert conversation["phoneNumber"] == {
        "id": str(stored.sender_id),
        "number": "+15550100001",
        "country": "US",
    }
    contact = payload["contact"]
    assert contact["id"] == str(stored.contact_id)
    assert contact["firstName"] == "Ada"
    assert contact["mobile"] == {"number": "+15550100002", "country": "US"}
    assert contact["created"] == {"at": "2026-03-01T10:00:00.000Z"}


def test_the_status_is_that_of_the_event_and_not_of_now(
    conn: psycopg.Connection, stored: Stored
) -> None:
    sent = body_of(
        conn, stored, EventType.MESSAGE_SENT, {"status": "sent"}, message_id=stored.message_id
    )
    assert sent["status"] == "sent"
    assert "error" not in sent
    failed = body_of(
        conn,
        stored,
        EventType.MESSAGE_STATUS,
        {"status": "error", "error_code": "MSG-026"},
        message_id=stored.message_id,
    )
    assert failed["status"] == "error"
    assert failed["error"]["code"] == "MSG-026"
    assert failed["error"]["description"]


def test_an_opt_out_carries_the_contact_with_its_block(
    conn: psycopg.Connection, stored: Stored
) -> None:
    facts = {"blocked_at": "2026-03-01T10:05:00.000Z"}
    payload = body_of(conn, stored, EventType.CONTACT_OPT_OUT, facts, contact_id=stored.contact_id)
    assert payload["id"] == str(stored.contact_id)
    assert payload["blocked"] == "2026-03-01T10:05:00.000Z"
    assert payload["error"]["code"] == "CONT-010"
    assert payload["valid"] is True
    assert payload["contact"]["id"] == str(stored.contact_id)
    # The block is of then: a later opt-in does not reach back, nor a later opt-out.
    conn.execute(
        "INSERT INTO opt_outs (account_id, mobile, at, source)"
        " VALUES (%s, '+15550100002', %s, 'keyword')",
        (stored.account_id, LATER),
    )
    free = body_of(
        conn, stored, EventType.CONTACT_OPT_IN, {"blocked_at": None}, contact_id=stored.contact_id
    )
    assert "blocked" not in free
    assert "error" not in free


def test_a_contact_event_carries_the_whole_contact(
    conn: psycopg.Connection, stored: Stored
) -> None:
    payload = body_of(conn, stored, EventType.CONTACT_CREATED, {}, contact_id=stored.contact_id)
    assert payload["attributes"] == {"plan": "gold"}
    assert payload["tags"][0]["tag"] == "vip"


def test_contact_events_carry_the_lists_and_a_lists_events_the_one_they_tell_of(
    conn: psycopg.Connection, stored: Stored
) -> None:
    bare = body_of(conn, stored, EventType.CONTACT_UPDATED, {}, contact_id=stored.contact_id)
    assert "lists" not in bare
    for name in ("News", "Club"):
        list_id = new_id()
        conn.execute(
            "INSERT INTO lists (account_id, id, name, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, %s)",
            (stored.account_id, list_id, name, AT, AT),
        )
        conn.execute(
            "INSERT INTO list_members (account_id, list_id, contact_id, opt_in_at, opt_out_at,"
            " created_at) VALUES (%s, %s, %s, %s, %s, %s)",
            (stored.account_id, list_id, stored.contact_id, AT, LATER, AT),
        )
    told = {"id": str(list_id), "name": "Club", "optIn": "2026-03-01T10:00:00.000Z"}
    payload = body_of(
        conn, stored, EventType.LIST_OPT_IN, {"list": told}, contact_id=stored.contact_id
    )
    # The list as it was then, the lists as they are now.
    assert payload["list"] == told
    assert [one["name"] for one in payload["lists"]] == ["Club", "News"]
    assert payload["lists"][0] == {**told, "optOut": "2026-03-01T10:05:00.000Z"}


def test_conversation_events_carry_the_conversation_as_it_was(
    conn: psycopg.Connection, stored: Stored
) -> None:
    conn.execute("UPDATE conversations SET closed_at = %s", (LATER,))
    started = body_of(
        conn, stored, EventType.CONVERSATION_STARTED, {}, conversation_id=stored.conversation_id
    )
    assert started["id"] == str(stored.conversation_id)
    assert started["phoneNumber"]["number"] == "+15550100001"
    assert started["phoneNumber"]["country"] == "US"
    assert started["contact"]["id"] == str(stored.contact_id)
    assert "closed" not in started
    closed = body_of(
        conn,
        stored,
        EventType.CONVERSATION_CLOSED,
        {"closed_at": "2026-03-01T10:05:00.000Z"},
        conversation_id=stored.conversation_id,
    )
    assert closed["closed"] == "2026-03-01T10:05:00.000Z"


def test_what_is_gone_leaves_its_id(conn: psycopg.Connection, stored: Stored) -> None:
    gone = new_id()
    message = body_of(conn, stored, EventType.MESSAGE_SENT, {"status": "sent"}, message_id=gone)
    assert message["id"] == str(gone)
    assert message["status"] == "sent"
    contact = body_of(conn, stored, EventType.CONTACT_REMOVED, {}, contact_id=gone)
    assert contact["id"] == str(gone)


def test_an_event_never_reads_another_accounts_rows(
    conn: psycopg.Connection, stored: Stored
) -> None:
    other = new_id()
    strange = Stored(
        other,
        stored.contact_id,
        stored.conversation_id,
        stored.message_id,
        stored.sender_id,
        stored.job_id,
    )
    for kind, ids in (
        (EventType.MESSAGE_SENT, {"message_id": stored.message_id}),
        (EventType.CONTACT_UPDATED, {"contact_id": stored.contact_id}),
        (EventType.LIST_OPT_OUT, {"contact_id": stored.contact_id}),
        (EventType.CONVERSATION_CLOSED, {"conversation_id": stored.conversation_id}),
    ):
        payload = body_of(conn, strange, kind, {}, **ids)
        assert set(payload) == {"accountId", "id"}
