"""Conversations as clients see them: pure functions from rows to the wire's shape.

Used by the API and by the events that webhooks hear of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from viesti.domain.contacts.views import Identified, identifiers_view, moment_view
from viesti.domain.groups.models import GroupName, SenderGroup
from viesti.domain.messages.views import MessageRow, group_view, message_view
from viesti.kit.clock import iso


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation with what is shown of its contact, sender and last message.

    ``unread``: nobody has read what came in last, at ``last_inbound_at``; ``read_by`` are the
    users who have. What depends on the sender is filled in by ``with_sender``.
    """

    account_id: UUID
    id: UUID
    contact: Identified
    sender_id: UUID
    sender: str
    last_message_id: UUID | None
    last_message: MessageRow | None
    unread: bool
    last_inbound_at: datetime | None
    read_by: Collection[UUID]
    flagged_at: datetime | None
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    sender_country: str = ""
    sender_active: bool = False
    group: GroupName | None = None  # none: the account's default group
    unread_by: Collection[UUID] = ()


def with_sender(row: ConversationRow, sender: SenderGroup | None) -> ConversationRow:
    """``row`` with its sender's country, its group and who of that has not read it."""
    if sender is None:
        return row
    return replace(
        row,
        sender_country=sender.country,
        sender_active=sender.active,
        group=sender.group,
        unread_by=_find_unread_by(row, sender.readers),
    )


def _find_unread_by(row: ConversationRow, readers: Mapping[UUID, datetime]) -> list[UUID]:
    """Those of the group who have not read what came in last.

    Who joined after it came has nothing to catch up on, unless nobody has read it yet.
    """
    came_at = row.last_inbound_at
    if came_at is None:
        return []
    return [
        user_id
        for user_id, joined_at in readers.items()
        if user_id not in row.read_by and (row.unread or joined_at <= came_at)
    ]


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
        "group": group_view(row.account_id, row.group),
        "phoneNumber": phone_number_view(row),
        "type": "sms",
        "unread": [str(user_id) for user_id in row.unread_by],
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
