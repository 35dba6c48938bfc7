"""What the delivery engine knows of one endpoint: its queue, its health, its share.

Pure: the engine passes the time in. An endpoint that answers earns more calls at once; one that
fails or hangs is held to a small share, so that it costs the others nothing.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from viesti.webhooks.claim import Claimed
from viesti.webhooks.sign import Signer

FIRST_LIMIT = 4  # calls at once to an endpoint that was never heard of
MOST_LIMIT = 64
FAILING_LIMIT = 2
# Claimed ahead per allowed call of an endpoint that answers, so that it need not wait for the
# next claim; of the others nothing is claimed that cannot go out at once.
AHEAD = 8
# Consecutive failures from which an endpoint that used to answer counts as failing.
FAILURES_TO_FAILING = 3
# Consecutive failures, and the least pause between two calls from there on.
PAUSES_S = ((100, 1.0), (20, 0.5), (5, 0.1))


class Health(enum.Enum):
    ANSWERING = "answering"
    UNKNOWN = "unknown"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Queued:
    """A claimed delivery; ``start_by_s`` is the monotonic time after which its lease is short."""

    delivery: Claimed
    start_by_s: float


@dataclass(slots=True, eq=False)
class Endpoint:
    """One webhook with what this process holds for it."""

    account_id: UUID
    webhook_id: UUID
    url: str = ""
    signer: Signer | None = None
    health: Health = Health.UNKNOWN
    limit: int = FIRST_LIMIT
    failures: int = 0
    in_flight: int = 0
    has_more: bool = False
    is_listed: bool = False
    not_before_s: float = 0.0
    used_s: float = 0.0
    queue: deque[Queued] = field(default_factory=deque[Queued])
    # Best effort for order: of one conversation only one event is on the wire at a time.
    _active: set[UUID] = field(default_factory=set[UUID])
    _chains: dict[UUID, deque[Queued]] = field(default_factory=dict[UUID, deque[Queued]])

    @property
    def held(self) -> int:
        """Deliveries that are claimed and not begun."""
        return len(self.queue) + sum(len(chain) for chain in self._chains.values())

    def quota(self) -> int:
        """How many more deliveries to claim."""
        return max(0, self._most() - self.held - self.in_flight)

    def wants_more(self) -> bool:
        """Whether it is worth a claim: more is due, and half of what may be held is used up."""
        return self.has_more and self.quota() * 2 >= self._most()

    def add(self, queued: Queued) -> None:
        if self.health is Health.UNKNOWN and queued.delivery.attempts:
            # It failed before this process knew of it.
            self._set_failing()
        self.queue.append(queued)

    def take(self, now_s: float) -> tuple[Claimed | None, int]:
        """The next delivery to begin, and how many were dropped because their lease ran short.

        None if the limit, the pause after failures, or the order within conversations forbids
        one now.
        """
        dropped = 0
        if self.in_flight >= self.limit or now_s < self.not_before_s:
            return None, dropped
        while self.queue:
            queued = self.queue.popleft()
            if queued.start_by_s < now_s:
                dropped += 1
                self.has_more = True
                continue
            thread = queued.delivery.conversation_id
            if thread is not None:
                if thread in self._active:
                    self._chains.setdefault(thread, deque()).append(queued)
                    continue
                self._active.add(thread)
            self.in_flight += 1
            self.used_s = now_s
            self.not_before_s = now_s + self._pause_s()
            return queued.delivery, dropped
        return None, dropped

    def finish(self, delivery: Claimed, accepted: bool) -> None:
        """Note how a call ended, and let the next event of its conversation go."""
        self.in_flight -= 1
        thread = delivery.conversation_id
        if thread is not None:
            self._active.discard(thread)
            chain = self._chains.get(thread)
            if chain:
                self.queue.appendleft(chain.popleft())
                if not chain:
                    del self._chains[thread]
        if accepted:
            self.failures = 0
            self.not_before_s = 0.0
            self.health = Health.ANSWERING
            self.limit = min(MOST_LIMIT, self.limit + 1)
            return
        self.failures += 1
        self.limit = max(FAILING_LIMIT, self.limit // 2)
        if self.health is not Health.ANSWERING or self.failures >= FAILURES_TO_FAILING:
            self._set_failing()

    def note_slow(self) -> None:
        """A call takes long: an endpoint that never answered counts as failing meanwhile."""
        if self.health is Health.UNKNOWN:
            self._set_failing()

    def clear(self) -> list[Claimed]:
        """Empty the queue; returns what was in it."""
        rest = [queued.delivery for queued in self.queue]
        for chain in self._chains.values():
            rest += [queued.delivery for queued in chain]
        self.queue.clear()
        self._chains.clear()
        self.has_more = False
        return rest

    def _most(self) -> int:
        return self.limit * AHEAD if self.health is Health.ANSWERING else self.limit

    def _set_failing(self) -> None:
        self.health = Health.FAILING
        self.limit = FAILING_LIMIT

    def _pause_s(self) -> float:
        return next((pause for failures, pause in PAUSES_S if self.failures >= failures), 0.0)
