"""Ids: UUIDv7 (RFC 9562 section 5.7), so that keys sort by the time they were made."""

from __future__ import annotations

import os
from array import array
from datetime import UTC, datetime
from itertools import accumulate, islice
from typing import Any, Final
from uuid import UUID, SafeUUID

from uuid_utils.compat import uuid7

__all__ = ["UUID", "bound_at", "find_id", "new_id", "new_ids"]

# Ids of a row of ``new_ids`` lie 2**16 apart at most, so that this many fit into the 32 bits
# below the counter of uuid7.
_MOST_OF_A_ROW: Final = 1 << 15

_blank: Final[Any] = object.__new__
_set_int: Final[Any] = UUID.__dict__["int"].__set__
_set_is_safe: Final[Any] = UUID.__dict__["is_safe"].__set__


def new_id() -> UUID:
    """A fresh id; ids made by one process ascend strictly in the order of the calls."""
    return uuid7()


def new_ids(count: int) -> list[UUID]:
    """``count`` fresh ids, ascending, and with those of ``new_id`` in the order of the calls.

    Many times as fast as one by one: they share the time and the counter of one id and differ in
    its lowest 32 bits (RFC 9562 section 6.2, method 2). Their last 16 bits are as random as those
    of ``new_id``, for the references of texts are made of them.
    """
    made: list[UUID] = []
    while len(made) < count:
        row = min(count - len(made), _MOST_OF_A_ROW)
        gaps = array("H", os.urandom(2 * row))
        start = uuid7().int >> 32 << 32
        values = accumulate(gaps, lambda before, gap: before + gap + 1, initial=start)
        for value in islice(values, 1, None):
            found = _blank(UUID)
            _set_int(found, value)
            _set_is_safe(found, SafeUUID.unknown)
            made.append(found)
    return made


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
