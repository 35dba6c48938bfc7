"""The body that webhooks receive: an event's narrow facts joined with what they are about.

Called by the claim, once per event: the text is stored, so that a retry, another webhook and a
replay say the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from viesti.domain.contacts.views import (
    OPTED_OUT,
    contact_view,
    error_view,
    identifiers_view,
    moment_view,
)
from viesti.domain.conversations.views import conversation_view
from viesti.domain.lists.models import membership_view
from viesti.domain.messages.views import group_view, message_view
from viesti.events.catalogue import EventType
from viesti.kit.clock import iso
from viesti.webhooks.things import CONVERSATION_EVENTS, EventRow, Things, load_things

_encode = msgspec.json.Encoder().encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def build_bodies(
    conn: psycopg.Connection, accounts: Sequence[UUID], events: Sequence[EventRow]
) -> dict[UUID, str]:
    """The JSON text of each event, by event id."""
    things = load_things(conn, list(accounts), events)
    return {event.id: _body(event, things) for event in events}


def sequence_of(created_at: datetime) -> int:
    """Microseconds since 1970: ascends within a conversation, exact in a JSON number."""
    return (created_at - _EPOCH) // _MICROSECOND


def _body(event: EventRow, things: Things) -> str:
    body = {
        "accountId": str(event.account_id),
        "eventType": event.type,
        "payload": _payload(event, things),
        "eventId": str(event.id),
        "sequence": sequence_of(event.created_at),
    }
    return _encode(body).decode()


def _payload(event: EventRow, things: Things) -> dict[str, Any]:
    if event.message_id is not None:
        return _message_payload(event, event.message_id, things)
    if event.type in CONVERSATION_EVENTS:
        return _conversation_payload(event, things)
    return _contact_payload(event, things)


def _message_payload(event: EventRow, message_id: UUID, things: Things) -> dict[str, Any]:
    found = things.messages.get((event.account_id, message_id))
    if found is None:
        return {"accountId": str(event.account_id), "id": str(message_id), **_told(event)}
    row = found.row
    payload: dict[str, Any] = {"accountId": str(event.account_id), **message_view(row)}
    if found.contact_created_at is not None:
        payload["contact"]["created"] = moment_view(found.contact_created_at)
    phone_number: dict[str, Any] = {"number": row.sender}
    if row.sender_id is not None:
        phone_number["id"] = str(row.sender_id)
        sender = things.senders.get(row.sender_id)
        if sender is not None and sender.country:
            phone_number["country"] = sender.country
    closed_at = found.conversation_closed_at
    payload["conversation"] = {
        **payload.get("conversation", {}),
        "closed": iso(closed_at) if closed_at else None,
        "group": group_view(event.account_id, row.group),
        "phoneNumber": phone_number,
    }
    told = _told(event)
    if "status" in told and "error" not in told:
        payload.pop("error", None)
    payload.update(told)
    payload["updated"] = moment_view(event.created_at)
    return payload


def _told(event: EventRow) -> dict[str, Any]:
    """What the facts say of a message: as it was then, not as it is now."""
    told: dict[str, Any] = {}
    if "status" in event.facts:
        told["status"] = event.facts["status"]
    if event.facts.get("error_code"):
        told["error"] = error_view(event.facts["error_code"])
    return told


def _contact_payload(event: EventRow, things: Things) -> dict[str, Any]:
    account = str(event.account_id)
    if event.contact_id is None:
        return {"accountId": account, **event.facts}
    contact = things.contacts.get((event.account_id, event.contact_id))
    if contact is None:
        return {"accountId": account, "id": str(event.contact_id)}
    lists = things.lists.get((event.account_id, event.contact_id), ())
    shown = contact_view(contact, lists=[membership_view(member) for member in lists])
    payload = {"accountId": account, **shown}
    if "list" in event.facts:
        payload["list"] = event.facts["list"]
    # Some consumers look for the contact under its own name.
    payload["contact"] = identifiers_view(contact)
    blocked: str | None = payload.get("blocked")
    if "blocked_at" in event.facts:
        blocked = event.facts["blocked_at"]
    elif event.type == EventType.CONTACT_OPT_OUT:
        blocked = blocked or iso(event.created_at)
    elif event.type == EventType.CONTACT_OPT_IN:
        blocked = None
    if blocked is None:
        payload.pop("blocked", None)
        payload.pop("error", None)
    else:
        payload["blocked"] = blocked
        payload["error"] = error_view(OPTED_OUT)
    return payload


def _conversation_payload(event: EventRow, things: Things) -> dict[str, Any]:
    account = str(event.account_id)
    if event.conversation_id is None:
        return {"accountId": account, **event.facts}
    row = things.conversations.get((event.account_id, event.conversation_id))
    if row is None:
        return {"accountId": account, "id": str(event.conversation_id)}
    payload = {"accountId": account, **conversation_view(row)}
    closed: str | None = event.facts.get("closed_at")
    if event.type == EventType.CONVERSATION_CLOSED:
        payload["closed"] = closed or payload.get("closed") or iso(event.created_at)
    else:
        payload.pop("closed", None)
    return payload
