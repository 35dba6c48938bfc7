"""How often one API client may ask: a token bucket per credential, shared by all processes.

A bulk call counts once: whoever has many recipients is meant to name them in one call. Each
process holds a few tokens of each client that is asking (``domain/accounts/buckets.py``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from viesti.api.database import Database
from viesti.domain.accounts.buckets import return_tokens, take_tokens
from viesti.kit.clock import monotonic_s
from viesti.kit.config import Settings
from viesti.kit.errors import ViestiError

log = structlog.get_logger()

# Tokens taken at a time: a client at full speed costs a statement each so many requests.
LOT = 10
# What was not used for this long goes back, for another process to use.
IDLE_S = 0.5


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


@dataclass(slots=True)
class _Held:
    """What this process holds for one client; ``left`` is what the shared bucket still had."""

    tokens: int = 0
    left: float = 0.0
    used_at_s: float = 0.0
    empty_until_s: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RateLimiter:
    """``rate_limit_per_s`` requests a second, ``rate_limit_burst`` at once; 0: no limit.

    ``purpose`` names what is counted: the API and the token endpoint have buckets of their own.
    """

    def __init__(self, settings: Settings, database: Database, purpose: str = "api") -> None:
        self._per_s = settings.rate_limit_per_s
        self._burst = max(1, settings.rate_limit_burst)
        self._database = database
        self._purpose = purpose
        self._held: dict[UUID, _Held] = {}

    async def take(self, credential_id: UUID) -> Allowance | None:
        """Count one request of the client; None where there is no limit.

        Raises Unavailable if a lot is needed and the database does not answer.
        """
        if self._per_s == 0:
            return None
        held = self._held.setdefault(credential_id, _Held())
        held.used_at_s = monotonic_s()
        if held.tokens == 0 and held.empty_until_s <= held.used_at_s:
            async with held.lock:
                if held.tokens == 0 and held.empty_until_s <= monotonic_s():
                    await self._fetch(credential_id, held)
        if held.tokens == 0:
            return self._allowance(held, max(0.001, held.empty_until_s - monotonic_s()))
        held.tokens -= 1
        return self._allowance(held, 0.0)

    async def give_back(self) -> None:
        """Return what was not used lately; runs until it is cancelled."""
        while True:
            await asyncio.sleep(IDLE_S)
            try:
                await self.return_idle()
            except ViestiError as error:
                log.warning("rate_tokens_kept", error=type(error).__name__)

    async def return_idle(self) -> None:
        """One round of ``give_back``."""
        before_s = monotonic_s() - IDLE_S
        idle = {
            client: held
            for client, held in self._held.items()
            if held.used_at_s < before_s and not held.lock.locked()
        }
        unused = {self._key(client): held.tokens for client, held in idle.items() if held.tokens}
        for client in idle:
            del self._held[client]
        if unused:
            await self._database.run(
                lambda conn: return_tokens(conn, unused, self._per_s, self._burst)
            )

    async def _fetch(self, client: UUID, held: _Held) -> None:
        lot = await self._database.run(
            lambda conn: take_tokens(conn, self._key(client), LOT, self._per_s, self._burst)
        )
        held.tokens, held.left = lot.granted, lot.left
        # Those who waited for a slow database find these before ``return_idle`` does.
        held.used_at_s = monotonic_s()
        if not lot.granted:
            held.empty_until_s = monotonic_s() + max(0.0, 1 - lot.left) / self._per_s

    def _key(self, client: UUID) -> str:
        return f"{self._purpose}:{client}"

    def _allowance(self, held: _Held, retry_after_s: float) -> Allowance:
        remaining = held.tokens + int(held.left)
        return Allowance(
            self._burst, remaining, (self._burst - remaining) / self._per_s, retry_after_s
        )
