"""A leased lane in a dispatcher's memory: its texts, its pace, and how far it was read."""

from __future__ import annotations

from datetime import datetime, timedelta

from viesti.dispatch.attempt import Start
from viesti.dispatch.claim import Cursor, Read
from viesti.dispatch.leases import LaneLease
from viesti.dispatch.pace import LanePace
from viesti.dispatch.settings import REREAD_S
from viesti.dispatch.texts import LaneTexts, Text
from viesti.domain.messages.store import PRIORITY_BULK, PRIORITY_REPLY

# A send that took long is committed after its successors were read: replies are looked for
# this far back whenever something new is announced.
_LOOK_BACK = timedelta(seconds=5)


class Lane:
    def __init__(self, lease: LaneLease) -> None:
        self.lease = lease
        self.texts = LaneTexts()
        self.pace = LanePace(lease.rate_per_s)
        self.has_more = True
        self.leaving = False  # given back once nothing of it is under way
        self._cursors = (
            Cursor(lease.account_id, lease.lane_id, PRIORITY_REPLY),
            Cursor(lease.account_id, lease.lane_id, PRIORITY_BULK),
        )
        self._reread_at_s = 0.0

    def hint(self) -> None:
        """Something new was announced."""
        self.has_more = True
        replies = self._cursors[0]
        replies.rewind(replies.at[0] - _LOOK_BACK)

    def wants_reading(self, now_s: float) -> bool:
        if now_s >= self._reread_at_s:
            self._reread_at_s = now_s + REREAD_S
            for cursor in self._cursors:
                cursor.rewind()
            self.has_more = True
        return self.has_more and not self.leaving

    def reads(self, quota: int) -> list[Read]:
        """Reads that bring the lane up to ``quota`` texts; replies may always come in."""
        bulk = quota - self.texts.waiting
        reads = [Read(self._cursors[0], quota)]
        if bulk > quota // 2:
            reads.append(Read(self._cursors[1], bulk))
        return reads

    def rewind(self, moment: datetime | None = None) -> None:
        for cursor in self._cursors:
            cursor.rewind(moment)
        self.has_more = True

    def next_start(self, most: int, now_s: float) -> Start | None:
        """Take up to ``most`` segments of the next text, if pace and order allow any."""
        room = self.pace.room(now_s)
        if room < 1.0 or self.leaving:
            return None
        text = self.texts.peek(now_s)
        if text is None:
            return None
        mask = text.next_mask(int(min(most, room, 16)))
        if not mask:
            self.texts.advance(text)
            return None
        self.pace.take(mask.bit_count(), now_s)
        if mask.bit_count() == text.open_segments:
            self.texts.advance(text)
        return Start(text, mask)

    def wake_s(self, now_s: float) -> float | None:
        """When something may start that may not now; None if nothing waits."""
        times: list[float] = []
        if self.texts.waiting:
            times.append(now_s + self.pace.wait_s(now_s))
        retry_s = self.texts.next_retry_s()
        if retry_s is not None:
            times.append(max(retry_s, now_s))
        return min(times, default=None)

    def put_back(self, text: Text, now_s: float) -> None:
        """A start did not happen: the text is next again."""
        self.texts.retry(text, now_s)
