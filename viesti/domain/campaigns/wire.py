"""A campaign as clients write it: every form that is in use; read by the API, settled by ``inputs``.

A field that is absent or null stays as it is; an empty one clears.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from viesti.domain.contacts.filters import FilterInput
from viesti.domain.messages.models import MediaInput, PhoneNumberFilter

T = TypeVar("T")
# An empty PHP map arrives as an empty list.
Empty = Annotated[list[Any], msgspec.Meta(max_length=0)]


class TriggerInput(msgspec.Struct, frozen=True):
    code: str | None = None


class ScheduleInput(msgspec.Struct, frozen=True):
    frequency: str | None = None
    timezone: str | None = None
    cron: str | None = None


class ReportingInput(msgspec.Struct, frozen=True):
    when: str | None = None
    delay: str | int | float | None = None
    unit: str | None = None
    destination: str | None = None


class MappingInput(msgspec.Struct, frozen=True):
    attribute: str | None = None
    column: str | None = None
    mandatory: bool | None = None


class CampaignInput(msgspec.Struct, frozen=True, rename="camel"):
    """``CampaignRequest`` of the contract with the newer fields; unknown fields are ignored."""

    name: str | None = None
    description: str | None = None
    template: str | None = None
    trigger: TriggerInput | str | Empty | None = None
    filters: FilterInput | Empty | None = None
    media: list[MediaInput] | None = None
    phone_number_filter: PhoneNumberFilter | Empty | None = None
    schedule: ScheduleInput | Empty | None = None
    next_execution: str | None = None
    field_mappings: list[MappingInput] | None = None
    reporting: ReportingInput | Empty | None = None


def or_empty(given: T | list[Any], empty: T) -> T:
    return empty if isinstance(given, list) else given


class QuickMessage(msgspec.Struct, frozen=True):
    message: str | None = None
    media: list[MediaInput] | None = None


class QuickInput(msgspec.Struct, frozen=True, rename="camel"):
    """The body of ``quickcampaigns``."""

    name: str | None = None
    group_id: str | int | None = None
    list_id: str | int | None = None
    message: QuickMessage | None = None
    send_at: str | None = None
