"""How often one API client may ask: a token bucket per credential, in each API process.

A bulk call counts once: whoever has many recipients is meant to name them in one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from viesti.kit.clock import monotonic_s
from viesti.kit.config import Settings

MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a client; ``retry_after_s`` above zero: this request is refused."""

    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The RateLimit fields of draft-ietf-httpapi-ratelimit-headers-03."""
        return [
            (b"ratelimit-limit", str(self.limit).encode()),
            (b"ratelimit-remaining", str(self.remaining).encode()),
            (b"ratelimit-reset", str(int(self.reset_s + 0.999)).encode()),
        ]


class RateLimiter:
    """``rate_limit_per_s`` requests a second, ``rate_limit_burst`` at once; 0: no limit."""

    def __init__(self, settings: Settings) -> None:
        self._per_s = settings.rate_limit_per_s
        self._burst = max(1, settings.rate_limit_burst)
        self._buckets: dict[UUID, tuple[float, float]] = {}

    def take(self, credential_id: UUID) -> Allowance | None:
        """Count one request of the client; None where there is no limit."""
        if self._per_s == 0:
            return None
        now_s = monotonic_s()
        held, at_s = self._buckets.get(credential_id, (float(self._burst), now_s))
        held = min(float(self._burst), held + (now_s - at_s) * self._per_s)
        retry_after_s = 0.0 if held >= 1 else (1 - held) / self._per_s
        held -= 0 if retry_after_s else 1
        if len(self._buckets) >= MAX_BUCKETS and credential_id not in self._buckets:
            self._forget_full(now_s)
        self._buckets[credential_id] = (held, now_s)
        return Allowance(self._burst, int(held), (self._burst - held) / self._per_s, retry_after_s)

    def _forget_full(self, now_s: float) -> None:
        """A bucket that has filled up again is the same as none."""
        self._buckets = {
            client: (held, at_s)
            for client, (held, at_s) in self._buckets.items()
            if held + (now_s - at_s) * self._per_s < self._burst
        }
