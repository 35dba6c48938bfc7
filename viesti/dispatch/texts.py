"""Texts in a dispatcher's hands, from the claim to the last segment's answer.

Pure bookkeeping for one lane: order within a conversation, replies before bulk, what waits for
a retry. A lane belongs to one dispatcher at a time, so that order can be kept in memory.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from uuid import UUID

# A carrier that refuses for a passing reason is asked again, each time later, and in the end
# not any more: about half an hour in all.
RETRY_FIRST_S = 1.0
RETRY_MOST_S = 60.0
MAX_RETRIES = 30


@dataclass(slots=True, eq=False)
class Text:
    """One message on its way: which of its segments started, and which are answered.

    Bit n of ``started`` and ``answered`` stands for segment n + 1, as in ``dispatch_queue``.
    """

    account_id: UUID
    lane_id: UUID
    message_id: UUID
    mobile: str
    priority: int
    not_before: datetime
    segments: int
    answered: int
    consent_reply: bool
    started: int = 0
    retries: int = 0
    sender: str = ""
    parts: tuple[bytes, ...] = ()
    data_coding: int = 0
    is_queued: bool = False  # in LaneTexts: waits to be peeked
    is_finished: bool = False

    @property
    def all_bits(self) -> int:
        return (1 << self.segments) - 1

    @property
    def is_done(self) -> bool:
        return self.answered == self.all_bits

    @property
    def open_segments(self) -> int:
        """How many segments are still to be started."""
        return self.segments - self.started.bit_count()

    def next_mask(self, limit: int) -> int:
        """The bits of the next segments to start, ``limit`` of them at most."""
        mask = 0
        for bit in range(self.segments):
            if limit and not self.started >> bit & 1:
                mask |= 1 << bit
                limit -= 1
        return mask

    def reference(self, segment: int) -> int:
        """user_message_reference (SMPP 3.4 section 5.3.2.17): tells a held segment again."""
        return (int.from_bytes(self.message_id.bytes[-2:]) ^ segment) & 0xFFFF


class LaneTexts:
    """The texts of one lane that this dispatcher read, by where they stand."""

    def __init__(self) -> None:
        # Served in this order: replies that are tried again, replies, bulk again, bulk.
        self._ready: tuple[deque[Text], ...] = (deque(), deque(), deque(), deque())
        self._behind: dict[str, deque[Text]] = {}
        self._busy: dict[str, Text] = {}
        self._known: set[UUID] = set()
        self._retries: list[tuple[float, int, Text]] = []
        self._tick = count()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def waiting(self) -> int:
        """Texts that nothing but window and pace keeps back."""
        return sum(len(ready) for ready in self._ready)

    def knows(self, message_id: UUID) -> bool:
        return message_id in self._known

    def add(self, text: Text) -> None:
        """Take in a text that was read from the queue; one that is known is left as it is."""
        if text.message_id not in self._known:
            self._known.add(text.message_id)
            self._queue(text, again=False)

    def peek(self, now_s: float) -> Text | None:
        """The next text with a segment to start, replies first; it stays until ``advance``."""
        while self._retries and self._retries[0][0] <= now_s:
            text = heapq.heappop(self._retries)[2]
            text.is_queued = False
            self._queue(text, again=True)
        for ready in self._ready:
            while ready:
                text = ready[0]
                if text.is_finished:
                    ready.popleft()
                    continue
                holder = self._busy.setdefault(text.mobile, text)
                if holder is text:
                    return text
                ready.popleft()
                self._behind.setdefault(text.mobile, deque()).append(text)
        return None

    def advance(self, text: Text) -> None:
        """The text just peeked has no further segment to start: the next one comes up."""
        for ready in self._ready:
            if ready and ready[0] is text:
                ready.popleft()
                text.is_queued = False
                return

    def retry(self, text: Text, at_s: float) -> None:
        """Some of its segments are to be started again at ``at_s``; its followers wait."""
        if not text.is_queued and not text.is_finished:
            text.is_queued = True
            heapq.heappush(self._retries, (at_s, next(self._tick), text))

    def finish(self, text: Text) -> None:
        """Nothing of it will be submitted any more: the next text to that number comes up."""
        if text.is_finished:
            return
        text.is_finished = True
        self._known.discard(text.message_id)
        if self._busy.get(text.mobile) is text:
            del self._busy[text.mobile]
            behind = self._behind.get(text.mobile)
            if behind:
                follower = behind.popleft()
                follower.is_queued = False
                self._queue(follower, again=True)
                if not behind:
                    del self._behind[text.mobile]

    def drop_unstarted(self) -> list[Text]:
        """Let go of every text without a segment under way: the lane goes to somebody else.

        Returns those that stay because an answer is still awaited.
        """
        staying = [text for text in self._busy.values() if text.started & ~text.answered]
        self.__init__()
        for text in staying:
            self._known.add(text.message_id)
            self._busy[text.mobile] = text
        return staying

    def next_retry_s(self) -> float | None:
        return self._retries[0][0] if self._retries else None

    def _queue(self, text: Text, *, again: bool) -> None:
        if not text.is_queued and not text.is_finished:
            text.is_queued = True
            self._ready[(2 if text.priority else 0) + (0 if again else 1)].append(text)
