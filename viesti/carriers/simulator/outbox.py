"""What the simulated SMSC has to deliver to one system_id, until it is acknowledged.

A deliver_sm that was refused, not answered in time, or lost with its connection is sent again:
on any bind of the same system_id that receives, or on the next one that comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol


class Outgoing:
    """One deliver_sm on its way, and what to do when it has arrived. Mutable and small."""

    __slots__ = ("arrived", "attempts", "body")

    def __init__(self, body: bytes, arrived: Callable[[], None] | None) -> None:
        self.body = body
        self.arrived = arrived
        self.attempts = 0


class Receiver(Protocol):
    """A bind that takes deliver_sms."""

    @property
    def delivery_room(self) -> int: ...

    def deliver(self, items: list[Outgoing]) -> None: ...


class Outbox:
    def __init__(self, kept: int) -> None:
        self._waiting: deque[Outgoing] = deque()
        self._kept = kept
        self._receivers: list[Receiver] = []
        self._turn = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def has_receiver(self) -> bool:
        return bool(self._receivers)

    def attach(self, receiver: Receiver) -> None:
        self._receivers.append(receiver)

    def detach(self, receiver: Receiver) -> None:
        if receiver in self._receivers:
            self._receivers.remove(receiver)

    def put(self, item: Outgoing) -> None:
        if len(self._waiting) >= self._kept:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(item)

    def put_back(self, items: list[Outgoing]) -> None:
        """Those that did not arrive, before all others and in their old order."""
        self._waiting.extendleft(reversed(items))

    def clear(self) -> None:
        self._waiting.clear()

    def flush(self) -> None:
        """Hand out as much as the binds' windows take, in turn, one write per bind."""
        for _ in range(len(self._receivers)):
            if not self._waiting:
                return
            self._turn = (self._turn + 1) % len(self._receivers)
            receiver = self._receivers[self._turn]
            room = min(receiver.delivery_room, len(self._waiting))
            if room > 0:
                take = self._waiting.popleft
                receiver.deliver([take() for _ in range(room)])
