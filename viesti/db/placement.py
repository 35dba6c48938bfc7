"""Which accounts' rows live together: claims and outcomes are committed per such group.

Plain PostgreSQL keeps all of them in one place. On a distributed engine this function answers
with one group per shard (docs/decisions), and no statement has to change.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID


def placement(accounts: Iterable[UUID]) -> list[frozenset[UUID]]:
    """``accounts`` in groups that one statement may touch together."""
    group = frozenset(accounts)
    return [group] if group else []
