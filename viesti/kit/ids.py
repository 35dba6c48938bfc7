"""Ids: UUIDv7 (RFC 9562 section 5.7), so that keys sort by the time they were made."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

__all__ = ["UUID", "bound_at", "find_id", "new_id"]


def new_id() -> UUID:
    """A fresh id; ids made by one process ascend strictly in the order of the calls."""
    return uuid7()


def find_id(text: object) -> UUID | None:
    """The id that ``text`` spells in its canonical form, or None if it spells none.

    Only the canonical 36-character form is taken, so that one resource has one address.
    """
    if not isinstance(text, str) or len(text) != 36:
        return None
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None


def bound_at(moment: datetime) -> UUID:
    """The lowest UUIDv7 that can be made at ``moment``: a partition bound or a range start."""
    ms = int(moment.astimezone(UTC).timestamp() * 1000)
    return UUID(int=(ms << 80) | (0x7 << 76) | (0b10 << 62))
