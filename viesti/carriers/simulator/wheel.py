"""Many timers for the price of one: due work is kept in slots of 10 ms and run slot by slot.

Used by the simulated network for receipts, late answers and replies.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

_SLOTS_PER_S = 100


class TimerWheel:
    """Runs ``action(argument)`` at or just after its time, then ``after_slot`` once per slot."""

    def __init__(self, after_slot: Callable[[], None]) -> None:
        self._after_slot = after_slot
        self._slots: dict[int, deque[tuple[Callable[[Any], None], Any]]] = {}
        self._order: list[int] = []
        self._handle: asyncio.TimerHandle | None = None
        self._armed_for = 0
        self._loop = asyncio.get_running_loop()

    def add(self, delay_s: float, action: Callable[[Any], None], argument: Any) -> None:
        slot = int((self._loop.time() + delay_s) * _SLOTS_PER_S) + 1
        entries = self._slots.get(slot)
        if entries is None:
            self._slots[slot] = deque([(action, argument)])
            heapq.heappush(self._order, slot)
            if self._handle is None or slot < self._armed_for:
                self._arm()
        else:
            entries.append((action, argument))

    def clear(self) -> None:
        """Forget all that is due."""
        self._slots.clear()
        self._order.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._order:
            self._armed_for = self._order[0]
            self._handle = self._loop.call_at(self._armed_for / _SLOTS_PER_S, self._run)

    def _run(self) -> None:
        self._handle = None
        # A timer may fire a hair early; a slot that it was armed for is due by definition.
        present = max(int(self._loop.time() * _SLOTS_PER_S), self._armed_for)
        try:
            while self._order and self._order[0] <= present:
                entries = self._slots[self._order[0]]
                while entries:
                    # Taken off first: one that fails is not run again, and the rest still is.
                    action, argument = entries.popleft()
                    action(argument)
                del self._slots[heapq.heappop(self._order)]
            self._after_slot()
        finally:
            self._arm()
