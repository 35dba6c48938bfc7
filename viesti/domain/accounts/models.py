"""What the accounts service hands out."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

DEFAULT_GROUP_NAME = "Default"


class Profile(enum.Enum):
    """Which of the two readings of the contract a client's answers follow."""

    PUBLISHED = "published"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Account:
    id: UUID
    name: str
    notice: bool
    quiet_hours: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Credential:
    client_id: UUID
    account_id: UUID
    name: str
    profile: Profile
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewCredential:
    """The only moment at which the secret is known."""

    client_id: UUID
    account_id: UUID
    client_secret: str = field(repr=False)
