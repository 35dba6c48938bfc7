"""Messages as clients see them: pure functions from rows to the wire's shape.

Used by the API, by the send's answer and by the events that webhooks hear of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from viesti.domain.accounts.models import DEFAULT_GROUP_NAME
from viesti.domain.contacts.views import Identified, error_view, identifiers_view, moment_view
from viesti.domain.groups.models import GroupName
from viesti.domain.groups.views import group_name_view
from viesti.kit.clock import iso

MICROS_PER_DOLLAR = 1_000_000


@dataclass(frozen=True, slots=True)
class ContactIdentity:
    """The contact of a message or conversation, also after it was deleted."""

    id: UUID
    mobile: str
    country: str
    first_name: str | None
    last_name: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message with what is shown of its contact and of its job."""

    account_id: UUID
    id: UUID
    job_id: UUID | None
    contact: Identified
    conversation_id: UUID | None
    sender_id: UUID | None
    sender: str
    outgoing: bool
    type: str
    status: str
    message: str
    template: str | None
    media: list[dict[str, Any]] | None
    segments: int
    price_micros: int
    error_code: str | None
    receipt_missing: bool
    unread: bool
    send_at: datetime | None
    created_at: datetime
    updated_at: datetime
    group: GroupName | None = None  # of its sender; none: the account's default group


def price_view(micros: int) -> float:
    """Money as a number of dollars."""
    return micros / MICROS_PER_DOLLAR


def group_view(account_id: UUID, group: GroupName | None) -> dict[str, str]:
    """The group of a text. One without a sender is in the default group: the account's own id."""
    return group_name_view(group or GroupName(account_id, DEFAULT_GROUP_NAME))


def message_view(row: MessageRow) -> dict[str, Any]:
    """The schema ``Message``; its conversation carries only an id, its sender is a text."""
    view: dict[str, Any] = {
        "id": str(row.id),
        "contact": identifiers_view(row.contact),
        "group": group_view(row.account_id, row.group),
        "type": row.type.lower(),
        "message": row.message,
        "outgoing": row.outgoing,
        "read": row.outgoing or not row.unread,
        "status": row.status,
        "segments": row.segments,
        "price": price_view(row.price_micros),
        "media": row.media or [],
        "created": moment_view(row.created_at),
        "updated": moment_view(row.updated_at),
    }
    # A text that no sender could carry belongs to no conversation.
    if row.conversation_id is not None:
        view["conversation"] = {"id": str(row.conversation_id)}
    if row.sender:
        view["phoneNumber"] = row.sender
    if row.template is not None:
        view["template"] = row.template
    if row.job_id is not None:
        view["job"] = {"id": str(row.job_id)}
    if row.error_code is not None:
        view["error"] = error_view(row.error_code)
    if row.send_at is not None:
        view["sendAt"] = iso(row.send_at)
    if row.receipt_missing:
        view["receiptMissing"] = True
    return view
