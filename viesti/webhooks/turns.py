"""Whose call begins next: the slots by health, and within them the endpoints in turn.

Pure: used by the delivery engine, which passes the time in and makes the calls.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from viesti.webhooks.claim import Claimed
from viesti.webhooks.endpoints import Endpoint, Health
from viesti.webhooks.options import Options


@dataclass(frozen=True, slots=True)
class Start:
    """A call to begin now; ``is_fast`` says which kind of slot it holds."""

    endpoint: Endpoint
    delivery: Claimed
    is_fast: bool


class Turns:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._waiting: dict[Health, deque[Endpoint]] = {health: deque() for health in Health}
        self._fast = 0
        self._slow = 0

    def add(self, endpoint: Endpoint) -> None:
        """Give ``endpoint`` a turn if it has something to deliver and none yet."""
        if not endpoint.is_listed and endpoint.queue:
            endpoint.is_listed = True
            self._waiting[endpoint.health].append(endpoint)

    def take(self, now_s: float) -> tuple[list[Start], int]:
        """The calls that slots are free for, one of each endpoint in turn; they hold theirs.

        With them how many deliveries were dropped because their lease ran short.
        """
        starts: list[Start] = []
        dropped = 0
        for health, waiting in self._waiting.items():
            moved: list[Endpoint] = []
            while waiting and self._has_slot(health):
                endpoint = waiting.popleft()
                if endpoint.health is not health:
                    endpoint.is_listed = False
                    moved.append(endpoint)
                    continue
                delivery, too_late = endpoint.take(now_s)
                dropped += too_late
                if delivery is None:
                    endpoint.is_listed = False
                    continue
                waiting.append(endpoint)
                starts.append(self._start(endpoint, delivery))
            for endpoint in moved:
                self.add(endpoint)
        return starts, dropped

    def end(self, is_fast: bool) -> None:
        """A call ended: its slot is free."""
        if is_fast:
            self._fast -= 1
        else:
            self._slow -= 1

    def slow_down(self) -> bool:
        """Move a call from its fast slot into a slow one; False if none is free."""
        if self._slow >= self._options.slow_slots:
            return False
        self._fast -= 1
        self._slow += 1
        return True

    def _start(self, endpoint: Endpoint, delivery: Claimed) -> Start:
        is_fast = endpoint.health is not Health.FAILING
        if is_fast:
            self._fast += 1
        else:
            self._slow += 1
        return Start(endpoint, delivery, is_fast)

    def _has_slot(self, health: Health) -> bool:
        options = self._options
        if health is Health.ANSWERING:
            return self._fast < options.fast_slots + options.reserved_slots
        if health is Health.UNKNOWN:
            return self._fast < options.fast_slots
        return self._slow < options.slow_slots
