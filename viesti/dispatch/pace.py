"""How fast segments may leave: token buckets, and a lane's manners towards throttling.

Pure: time comes in as seconds of one monotonic clock. Pace counts segments, as carriers do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

# What may leave at once after a pause. Carriers count by the second, so a small burst keeps
# every window of a second at the rate.
BURST_S = 0.05
UNLIMITED = 0.0


@dataclass(slots=True)
class Bucket:
    """A token bucket of ``rate_per_s`` segments; 0 is unlimited."""

    rate_per_s: float
    _tokens: float = 1.0
    _at_s: float | None = None

    def room(self, now_s: float) -> float:
        """Segments that may leave now."""
        if self.rate_per_s <= UNLIMITED:
            return float("inf")
        if self._at_s is not None:
            gained = max(0.0, now_s - self._at_s) * self.rate_per_s
            self._tokens = min(self._tokens + gained, self._capacity)
        self._at_s = now_s
        return self._tokens

    def take(self, segments: int, now_s: float) -> None:
        if self.rate_per_s > UNLIMITED:
            self.room(now_s)
            self._tokens -= segments

    def wait_s(self, now_s: float) -> float:
        """Seconds until a whole segment may leave."""
        missing = 1.0 - self.room(now_s)
        return max(0.0, missing / self.rate_per_s) if self.rate_per_s > UNLIMITED else 0.0

    @property
    def _capacity(self) -> float:
        return max(1.0, self.rate_per_s * BURST_S)


# A lane that is throttled falls to what was just accepted. It climbs fast to where it was last
# throttled, feels its way on from there, and is free once the carrier has taken everything for a
# while.
_LOOK_BACK_S = 1.0
_SLOW_DOWN = 0.9
_CLIMB = 1.5
_NEAR_CEILING = 0.95
# What it adds there doubles with each second that the carrier takes everything: others that share
# a bind may have caused the throttling, and be gone.
_SPEED_UP = 0.02
_QUIET_S = 2.0
_FREE_AFTER_S = 60.0
_SLOWEST_PER_S = 1.0
# Fewer accepted in the last second than these say little about what the carrier takes.
_TELLING = 5
# Answers to what was in flight when the rate fell say nothing about the new rate.
_SETTLE_S = 1.0


@dataclass(slots=True)
class LanePace:
    """A lane's configured rate, and below it the rate that its carrier turned out to take."""

    rate_per_s: float
    _configured: Bucket = field(init=False)
    _learned: Bucket | None = None
    _ceiling_per_s: float = float("inf")  # where it was last throttled
    _speed_up: float = _SPEED_UP
    _accepted: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    _throttled_at_s: float = float("-inf")
    _changed_at_s: float = float("-inf")

    def __post_init__(self) -> None:
        self._configured = Bucket(self.rate_per_s)

    @property
    def is_throttled(self) -> bool:
        return self._learned is not None

    def configure(self, rate_per_s: float) -> None:
        if rate_per_s != self.rate_per_s:
            self.rate_per_s = rate_per_s
            self._configured = Bucket(rate_per_s)

    def room(self, now_s: float) -> float:
        room = self._configured.room(now_s)
        return min(room, self._learned.room(now_s)) if self._learned else room

    def take(self, segments: int, now_s: float) -> None:
        self._configured.take(segments, now_s)
        if self._learned:
            self._learned.take(segments, now_s)

    def wait_s(self, now_s: float) -> float:
        wait = self._configured.wait_s(now_s)
        return max(wait, self._learned.wait_s(now_s)) if self._learned else wait

    def accepted(self, segments: int, now_s: float) -> None:
        """The carrier took ``segments``."""
        self._accepted.append((now_s, segments))
        self._forget(now_s)
        learned = self._learned
        if learned is None:
            return
        if now_s - self._throttled_at_s > _FREE_AFTER_S:
            self._learned = None
        elif now_s - self._throttled_at_s > _QUIET_S and now_s - self._changed_at_s > _SETTLE_S:
            near = _NEAR_CEILING * self._ceiling_per_s
            if learned.rate_per_s < near:
                learned.rate_per_s = min(learned.rate_per_s * _CLIMB, near)
            else:
                learned.rate_per_s *= 1 + self._speed_up
                self._speed_up = min(self._speed_up * 2, _CLIMB - 1)
            self._changed_at_s = now_s

    def throttled(self, now_s: float) -> None:
        """The carrier said that it is too fast (SMPP 0x58 or 0x14)."""
        self._throttled_at_s = now_s
        self._speed_up = _SPEED_UP
        if self._learned is None:
            self._forget(now_s)
            taken = sum(count for _, count in self._accepted) / _LOOK_BACK_S
            self._learned = Bucket(max(taken, _SLOWEST_PER_S), _tokens=0.0, _at_s=now_s)
            self._ceiling_per_s = taken if taken >= _TELLING else float("inf")
            self._changed_at_s = now_s
        elif now_s - self._changed_at_s > _SETTLE_S:
            self._ceiling_per_s = self._learned.rate_per_s
            self._learned.rate_per_s = max(self._learned.rate_per_s * _SLOW_DOWN, _SLOWEST_PER_S)
            self._changed_at_s = now_s

    def _forget(self, now_s: float) -> None:
        while self._accepted and self._accepted[0][0] < now_s - _LOOK_BACK_S:
            self._accepted.popleft()
