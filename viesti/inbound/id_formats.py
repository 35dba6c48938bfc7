"""Learns how a carrier's receipts spell the ids of its answers; used by ``receipts``.

What is learned only saves the look for other spellings, and lets a receipt that overtakes its
answer meet it under the right id. Each process gathers its own evidence, and what it learns
is stored for all.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import psycopg
import structlog

from viesti.sms.dlr import id_candidates

log = structlog.get_logger()

# So many receipts must have matched under one format, and none under another since.
ENOUGH = 5


class Candidates(Protocol):
    """What a receipt's id may stand for, as ``id_candidates`` gives it for ``auto``."""

    @property
    def candidates(self) -> tuple[str, ...]: ...


def format_of(candidates: tuple[str, ...], chosen: str) -> str | None:
    """The one format under which the id ``candidates[0]`` stands for ``chosen``; None if several.

    An id that reads the same under two formats tells nothing about which is in use.
    """
    written = candidates[0]
    fitting = [
        name for name in ("same", "hex-dec", "dec-hex") if id_candidates(written, name) == (chosen,)
    ]
    return fitting[0] if len(fitting) == 1 else None


class Learner:
    """Counts unambiguous matches by carrier."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: defaultdict[UUID, Counter[str]] = defaultdict(Counter[str])

    def note(
        self,
        conn: psycopg.Connection,
        carrier_id: UUID,
        matches: Sequence[tuple[Candidates, str]],
        now: datetime,
    ) -> None:
        """Take in ``matches`` (a receipt's id, the known id); store a format when it is certain."""
        formats = [format_of(one.candidates, chosen) for one, chosen in matches]
        with self._lock:
            seen = self._seen[carrier_id]
            for name in formats:
                if name is None:
                    continue
                if any(other != name for other in seen):
                    seen.clear()
                seen[name] += 1
            certain = next((name for name, count in seen.items() if count >= ENOUGH), None)
            if certain is None:
                return
            seen.clear()
        store_format(conn, carrier_id, certain, now)
        log.info("id_format_learned", carrier_id=str(carrier_id), id_format=certain)


def store_format(
    conn: psycopg.Connection, carrier_id: UUID, id_format: str | None, now: datetime
) -> None:
    """Note what was learned; None: it turned out wrong, and is to be learned again."""
    conn.execute(
        "INSERT INTO carrier_state (carrier_id, learned_id_format, updated_at) VALUES (%s, %s, %s)"
        " ON CONFLICT (carrier_id) DO UPDATE SET"
        " learned_id_format = excluded.learned_id_format, updated_at = excluded.updated_at",
        (carrier_id, id_format, now),
    )
