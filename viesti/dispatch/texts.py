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

from viesti.dispatch.settings import MOST_TO_ONE_NUMBER

# A carrier that refuses for a passing reason is asked again, each time later, and in the end
# not any more: about half an hour in all.
RETRY_FIRST_S = 1.0
RETRY_MOST_S = 60.0
MAX_RETRIES = 30
# Throttling slows the lane down, and the segment goes again at once. One that is throttled again
# and again must not keep the lane from the texts behind it.
PATIENT_THROTTLES = 3


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
    throttles: int = 0
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
    def is_in_flight(self) -> bool:
        return bool(self.started & ~self.answered)

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

    def back_off_s(self, *, is_throttled: bool) -> float:
        """Count a refusal for a passing reason; returns how long to wait before the next try."""
        if is_throttled:
            self.throttles += 1
            times = self.throttles - PATIENT_THROTTLES * self.segments
            if times <= 0:
                return 0.0
        else:
            self.retries += 1
            times = self.retries
        return min(RETRY_FIRST_S * 2.0 ** min(times - 1, 10), RETRY_MOST_S)


class LaneTexts:
    """The texts of one lane that this dispatcher read, by where they stand."""

    def __init__(self) -> None:
        # Served in this order: replies that are tried again, replies, bulk again, bulk.
        self._ready: tuple[deque[Text], ...] = (deque(), deque(), deque(), deque())
        self._behind: dict[str, deque[Text]] = {}
        self._busy: dict[str, Text] = {}
        self._known: dict[UUID, Text] = {}
        self._of_number: dict[str, int] = {}
        # Numbers of which texts were turned away, by priority: later ones must wait with them.
        self._skipped: tuple[set[str], set[str]] = (set(), set())
        self._retries: list[tuple[float, int, Text]] = []
        self._tick = count()
        self.wants_reread = False

    def __len__(self) -> int:
        return len(self._known)

    @property
    def waiting(self) -> int:
        """Texts that nothing but window and pace keeps back."""
        return sum(len(ready) for ready in self._ready)

    def waiting_of(self, priority: int) -> int:
        place = 2 if priority else 0
        return len(self._ready[place]) + len(self._ready[place + 1])

    def knows(self, message_id: UUID) -> bool:
        return message_id in self._known

    def in_flight(self) -> list[UUID]:
        """Texts with a segment whose answer is awaited."""
        return [text.message_id for text in self._known.values() if text.is_in_flight]

    def add(self, text: Text) -> bool:
        """Take in a text that was read from the queue; whether it is a new one.

        With too many to its number here already it is turned away, and so is everything after
        it to that number, until the queue is read from its start again.
        """
        if text.message_id in self._known:
            return False
        number = text.mobile
        skipped = self._skipped[1 if text.priority else 0]
        here = self._of_number.get(number, 0)
        if here >= MOST_TO_ONE_NUMBER or number in skipped:
            skipped.add(number)
            return False
        self._known[text.message_id] = text
        self._of_number[number] = here + 1
        self._queue(text, again=False)
        return True

    def begin_reread(self) -> None:
        """The queue will be read from its start, in order: nobody is turned away for others."""
        for skipped in self._skipped:
            skipped.clear()
        self.wants_reread = False

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
        if self._known.pop(text.message_id, None) is None:
            return
        number = text.mobile
        left = self._of_number[number] - 1
        if left:
            self._of_number[number] = left
        else:
            del self._of_number[number]
        if left <= MOST_TO_ONE_NUMBER // 2 and any(number in s for s in self._skipped):
            self.wants_reread = True
        if self._busy.get(number) is text:
            del self._busy[number]
            self._follow(number)

    def _follow(self, number: str) -> None:
        behind = self._behind.get(number)
        while behind:
            follower = behind.popleft()
            if not follower.is_finished:
                follower.is_queued = False
                self._queue(follower, again=True)
                break
        if not behind:
            self._behind.pop(number, None)

    def drop_unstarted(self) -> int:
        """Let go of every text without a segment under way: the lane goes to somebody else.

        Returns how many stay because an answer is still awaited.
        """
        staying = [text for text in self._known.values() if text.is_in_flight]
        for text in self._known.values():
            text.is_queued = False
            text.is_finished = not text.is_in_flight
        LaneTexts.__init__(self)
        for text in staying:
            self._known[text.message_id] = text
            self._of_number[text.mobile] = self._of_number.get(text.mobile, 0) + 1
            self._busy[text.mobile] = text
        return len(staying)

    def next_retry_s(self) -> float | None:
        return self._retries[0][0] if self._retries else None

    def _queue(self, text: Text, *, again: bool) -> None:
        if not text.is_queued and not text.is_finished:
            text.is_queued = True
            self._ready[(2 if text.priority else 0) + (0 if again else 1)].append(text)
