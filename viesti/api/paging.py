"""Reads ``offset``, ``limit`` and ``after``, and writes the pagination that every list carries.

``after`` is ours: the id of the last row that a client has. A walk by it reads no row twice and
misses none that was there when it began, however long it takes; an offset page is right for
its instant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from litestar.datastructures import MultiDict

from viesti.kit.errors import Invalid
from viesti.kit.ids import find_id

DEFAULT_LIMIT = 25  # product decisions, "paging"
MAX_LIMIT = 100
MAX_OFFSET = 2**63 - 1  # int64 in the contract

_WHOLE = re.compile(r"[0-9]{1,19}", re.ASCII)

Query = MultiDict[str]


@dataclass(frozen=True, slots=True)
class Paging:
    offset: int
    limit: int
    after: UUID | None = None

    def view(self, total_count: int, shown: int) -> dict[str, Any]:
        """All four fields: clients in use read either ``totalCount`` or ``hasNext``."""
        return {
            "offset": self.offset,
            "limit": self.limit,
            "totalCount": total_count,
            "hasNext": self.offset + shown < total_count and shown > 0,
        }


def read_paging(query: Query, *, max_limit: int = MAX_LIMIT) -> Paging:
    """The page that is asked for. Raises Invalid (GEN-400) beyond 0.. and 1..``max_limit``."""
    return Paging(
        _read(query, "offset", 0, 0, MAX_OFFSET),
        _read(query, "limit", DEFAULT_LIMIT, 1, max_limit),
    )


def read_walk(query: Query) -> Paging:
    """As ``read_paging``, with ``after``. Raises Invalid for what is not an id."""
    paging = read_paging(query)
    raw = (query.get("after") or "").strip()
    after = find_id(raw)
    if raw and after is None:
        raise Invalid("after must be the id of the last row of the page before.")
    return replace(paging, after=after)


def read_text(query: Query, name: str) -> str:
    """A text parameter without surrounding white space; empty where it is not given.

    Raises Invalid for a NUL, which the database cannot hold, and for an overlong text.
    """
    value = query.get(name) or ""
    if "\x00" in value or len(value) > 1000:
        raise Invalid(f"The parameter {name} cannot be used as written.")
    # Octets that are no UTF-8 arrive as surrogates, which cannot be stored either.
    if any("\ud800" <= mark <= "\udfff" for mark in value):
        raise Invalid(f"The parameter {name} is not valid UTF-8.")
    return value.strip()


def _read(query: Query, name: str, default: int, low: int, high: int) -> int:
    raw = (query.get(name) or "").strip()
    if not raw:
        return default
    number = int(raw) if _WHOLE.fullmatch(raw) else -1
    if not low <= number <= high:
        raise Invalid(f"{name} must be a whole number from {low} to {high}.")
    return number
