"""A group: an inbox of an account, with its senders and the users who read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from viesti.domain.users.models import Member

GROUP_NOT_FOUND = "GRP-001"


@dataclass(frozen=True, slots=True)
class GroupName:
    """A group as messages and conversations show it."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class GroupSender:
    """A sender as its group shows it; ``country`` is empty where it has none."""

    id: UUID
    number: str
    country: str
    type: str
    carrier: str


@dataclass(frozen=True, slots=True)
class Group:
    """``is_default``: it holds every sender that was not given to another group."""

    id: UUID
    name: str
    tags: list[str]
    is_default: bool
    use_shared_pool: bool
    created_at: datetime
    updated_at: datetime
    senders: list[GroupSender]
    users: list[Member]

    @property
    def called(self) -> GroupName:
        return GroupName(self.id, self.name)


@dataclass(frozen=True, slots=True)
class SenderGroup:
    """What conversations need to know of their sender: where it stands and who reads it."""

    country: str
    active: bool
    group: GroupName
    # Each user of the group and since when they have been reading it.
    readers: dict[UUID, datetime]
