"""What ``viesti status`` and the metrics say of a platform; made by ``status.read_status``.

Counts are bounded: where ``is_exact`` is false the number is the least that there is (of a
queue: an estimate).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Process:
    """A role process by its heartbeat; ``silent_s`` is the time since the last beat."""

    role: str
    host: str
    pid: int
    version: str
    started_at: datetime
    silent_s: float
    is_alive: bool


@dataclass(slots=True)
class Queue:
    """Texts on their way to the wire.

    ``waiting`` may go now, ``later`` waits for its time (quiet hours), ``in_flight`` has a
    segment at the carrier that is not answered. ``oldest_s``: how long the oldest of those that
    wait could have gone already. Where ``is_exact`` is false, ``waiting`` and ``later`` are
    estimates.
    """

    waiting: int = 0
    later: int = 0
    in_flight: int = 0
    oldest_s: float | None = None
    is_exact: bool = True

    @property
    def total(self) -> int:
        return self.waiting + self.later + self.in_flight

    def add(self, other: Queue) -> None:
        self.waiting += other.waiting
        self.later += other.later
        self.in_flight += other.in_flight
        self.oldest_s = oldest(self.oldest_s, other.oldest_s)
        self.is_exact &= other.is_exact


@dataclass(slots=True)
class Parked:
    """Texts outside the queue: ``held`` have an unknown outcome, ``no_credit`` wait for money."""

    held: int = 0
    no_credit: int = 0
    oldest_held_s: float | None = None
    is_exact: bool = True

    def add(self, other: Parked) -> None:
        self.held += other.held
        self.no_credit += other.no_credit
        self.oldest_held_s = oldest(self.oldest_held_s, other.oldest_held_s)
        self.is_exact &= other.is_exact


@dataclass(frozen=True, slots=True)
class Accepted:
    """Texts that came in, from people who send (``outgoing``) and from handsets."""

    outgoing_per_s: float = 0.0
    incoming_per_s: float = 0.0
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Errors:
    """Of the ``texts`` accepted in the last ``window_s`` seconds, those that ended in an error."""

    window_s: float
    texts: int = 0
    by_code: Mapping[str, int] = field(default_factory=dict[str, int])
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Bind:
    """A connection slot of a carrier. ``process`` is who holds its lease: role, host and pid."""

    slot: int
    bound_since: datetime | None
    last_error: str
    process: str | None


@dataclass(slots=True)
class Carrier:
    """A carrier account with all that its lanes have to do.

    ``per_s`` are segments (and receipts, and inbound texts) a second over the last 15 seconds,
    as the dispatchers report them: see ``viesti.db.traffic``.
    """

    id: UUID
    name: str
    kind: str
    enabled: bool
    rate_limit_per_s: float
    max_binds: int
    binds: list[Bind] = field(default_factory=list[Bind])
    lanes: int = 0
    lanes_leased: int = 0
    queue: Queue = field(default_factory=Queue)
    parked: Parked = field(default_factory=Parked)
    per_s: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def bound(self) -> int:
        return sum(bind.bound_since is not None for bind in self.binds)

    @property
    def last_error(self) -> str:
        return next((bind.last_error for bind in self.binds if bind.last_error), "")


@dataclass(slots=True)
class Lane:
    """One sender on one carrier; ``accepted_per_s`` is what came in for it."""

    id: UUID
    account_id: UUID
    account_name: str
    carrier: str
    sender: str
    is_leased: bool
    queue: Queue = field(default_factory=Queue)
    parked: Parked = field(default_factory=Parked)
    accepted_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FailingWebhook:
    """An endpoint whose oldest delivery was tried ``attempts`` times without being taken."""

    id: UUID
    account_id: UUID
    due: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Deliveries on their way. ``retrying`` are those of ``due`` that failed at least once."""

    endpoints: int = 0
    disabled: int = 0
    failing: Sequence[FailingWebhook] = ()  # the ten with the most that is due
    failing_count: int = 0
    due: int = 0
    retrying: int = 0
    dead: int = 0
    oldest_s: float | None = None
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Status:
    """Everything, as it was at ``at``; ``took_s`` is what reading it cost."""

    at: datetime
    took_s: float
    processes: Sequence[Process]
    queue: Queue
    parked: Parked
    accepted: Accepted
    errors: Errors
    carriers: Sequence[Carrier]
    lanes: Sequence[Lane]  # the busiest
    lanes_busy: int  # all that have something to do
    webhooks: Webhooks
    strays: int  # rows outside every month's partition


def oldest(one: float | None, other: float | None) -> float | None:
    """The longer of two times, either of which may be missing."""
    if one is None or other is None:
        return one if other is None else other
    return max(one, other)
