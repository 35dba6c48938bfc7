"""What a send asks for and what it answers; decoded straight from the request's body."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from viesti.domain.contacts.filters import AttributeFilter, FilterInput
from viesti.domain.contacts.models import ContactInput

__all__ = [
    "AttributeFilter",
    "FilterInput",
    "GroupRef",
    "MediaInput",
    "PhoneNumberFilter",
    "SendAnswer",
    "SendRequest",
    "WakeHint",
]


class GroupRef(msgspec.Struct, frozen=True):
    id: str | None = None


class PhoneNumberFilter(msgspec.Struct, frozen=True):
    group: GroupRef | None = None


class MediaInput(msgspec.Struct, frozen=True):
    url: str | None = None


class SendRequest(msgspec.Struct, frozen=True, rename="camel"):
    """``SendMessagesRequest`` of the contract; unknown fields are ignored."""

    contacts: list[ContactInput] | None = None
    conversations: list[str] | None = None
    # An empty PHP map arrives as an empty list.
    filters: FilterInput | Annotated[list[Any], msgspec.Meta(max_length=0)] | None = None
    phone_number_filter: PhoneNumberFilter | None = None
    template: str | None = None
    type: str | None = None
    media: list[MediaInput] | None = None
    conversation_strategy: str | None = None
    send_at: str | None = None


@dataclass(frozen=True, slots=True)
class WakeHint:
    """Tells a dispatcher that ``lane_id`` has texts from ``not_before`` on."""

    account_id: UUID
    lane_id: UUID
    priority: int
    not_before: datetime


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """The body's ``data`` and what to wake once the transaction is committed."""

    data: dict[str, Any]
    wake: list[WakeHint] = field(default_factory=list[WakeHint])
    has_events: bool = False
    has_job: bool = False  # for the ``work`` role: more recipients are to be read
