"""What dispatch hands to ``inbound`` and hears back; the two rooms share only this.

A carrier knows nothing of it: these types wrap what it delivered with what dispatch adds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from viesti.carriers.base import Delivery


@dataclass(frozen=True, slots=True)
class Arrival:
    """One inbound PDU. ``id`` is made when it arrives and stays the same on a second try."""

    delivery: Delivery
    id: UUID
    session_id: UUID  # of the bind's present connection


@dataclass(frozen=True, slots=True)
class Source:
    """The carrier that arrivals came from, and its habits."""

    carrier_id: UUID
    id_format: str  # auto, same, hex-dec, dec-hex
    receipts: str  # each, first, last, none
    # Connections that stand: what they acknowledged is not sent again on another.
    live_sessions: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch: all of it is committed."""

    lanes: list[UUID] = field(default_factory=list[UUID])  # to wake: they have texts now
    has_events: bool = False
    unroutable: int = 0
