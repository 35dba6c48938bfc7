"""A person who works with texts, and as what; no word of how they prove who they are."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


class Role(enum.Enum):
    """What a member may do in an account (product facts, section 1.16)."""

    ADMINISTRATOR = "administrator"
    CAMPAIGN_MANAGER = "campaign_manager"  # all but the account's settings
    SENDER = "sender"  # sends; changes no campaigns or templates
    READ_ONLY = "read_only"

    @property
    def label(self) -> str:
        """As the API shows it: ``Campaign Manager``."""
        return self.value.replace("_", " ").title()


@dataclass(frozen=True, slots=True)
class Member:
    """A user in one account; ``mobile`` is E.164 or empty."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    mobile: str
    mobile_country: str
    role: Role
    terms_accepted_at: datetime | None
    created_at: datetime
