"""Conversations as clients see them: pure functions from rows to the wire's shape.

Used by the API and by the events that webhooks hear of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from viesti.domain.contacts.views import Identified, identifiers_view, moment_view
from viesti.domain.messages.views import MessageRow, group_view, message_view
from viesti.kit.clock import iso


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation with what is shown of its contact, sender and last message."""

    account_id: UUID
    id: UUID
    contact: Identified
    sender_id: UUID
    sender: str
    sender_country: str
    sender_active: bool
    last_message_id: UUID | None
    last_message: MessageRow | None
    unread: bool
    flagged_at: datetime | None
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None


def phone_number_view(row: ConversationRow) -> dict[str, Any]:
    """The sender as an object, as conversations show it; messages show it as a text."""
    view: dict[str, Any] = {
        "id": str(row.sender_id),
        "number": row.sender,
        "active": row.sender_active,
    }
    if row.sender_country:
        view["country"] = row.sender_country
    return view


def conversation_view(row: ConversationRow) -> dict[str, Any]:
    """The schema ``Conversation``; ``closed`` is a time and absent while it is open."""
    view: dict[str, Any] = {
        "id": str(row.id),
        "contact": identifiers_view(row.contact),
        "group": group_view(row.account_id),
        "phoneNumber": phone_number_view(row),
        "type": "sms",
        # Whoever has not read it: people, who come with the hub.
        "unread": [],
        "created": moment_view(row.created_at),
        "updated": moment_view(row.updated_at),
    }
    if row.last_message is not None:
        view["lastMessage"] = message_view(row.last_message)
    if row.closed_at is not None:
        view["closed"] = iso(row.closed_at)
    if row.flagged_at is not None:
        view["flagged"] = iso(row.flagged_at)
    return view
