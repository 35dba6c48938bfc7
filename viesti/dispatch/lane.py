"""A leased lane in a dispatcher's memory: its texts, its pace, and how far it was read."""

from __future__ import annotations

from datetime import timedelta

from viesti.dispatch.attempt import Start
from viesti.dispatch.claim import Cursor, Read
from viesti.dispatch.leases import LaneLease
from viesti.dispatch.pace import LanePace
from viesti.dispatch.settings import MOST_KNOWN_TIMES, REREAD_S
from viesti.dispatch.texts import LaneTexts, Text
from viesti.domain.messages.store import PRIORITY_BULK, PRIORITY_REPLY

# A send that took long is committed after its successors were read: replies are looked for
# this far back whenever something new is announced.
_LOOK_BACK = timedelta(seconds=5)
# More segments than any message has (MSG-007 beyond 10).
_ALL = 16


class Lane:
    def __init__(self, lease: LaneLease) -> None:
        self.lease = lease
        self.texts = LaneTexts()
        self.pace = LanePace(lease.rate_per_s)
        self.leaving = False  # given back once nothing of it is under way
        self._cursors = (
            Cursor(lease.account_id, lease.lane_id, PRIORITY_REPLY),
            Cursor(lease.account_id, lease.lane_id, PRIORITY_BULK),
        )
        self._has_more = [True, True]  # by priority
        self._reread_at_s = 0.0

    @property
    def account_id(self) -> object:
        return self.lease.account_id

    def hint(self) -> None:
        """Something new was announced."""
        replies = self._cursors[PRIORITY_REPLY]
        replies.rewind(replies.at[0] - _LOOK_BACK)
        self._has_more = [True, True]

    def rewind(self) -> None:
        for cursor in self._cursors:
            cursor.rewind()
        self.texts.begin_reread()
        self._has_more = [True, True]

    def reads(self, quota: int, now_s: float) -> list[Read]:
        """Reads that bring the lane up to ``quota`` texts of each priority.

        Replies do not wait until bulk has run low. Texts that wait for something else than
        window and pace count too, so that their number stays bounded.
        """
        if self.leaving:
            return []
        if now_s >= self._reread_at_s or self.texts.wants_reread:
            self._reread_at_s = now_s + REREAD_S
            self.rewind()
        reads: list[Read] = []
        for cursor in self._cursors:
            waiting = self.texts.waiting_of(cursor.priority)
            most = quota * (MOST_KNOWN_TIMES + (cursor.priority == PRIORITY_REPLY))
            if self._has_more[cursor.priority] and waiting < quota // 2 and len(self.texts) < most:
                reads.append(Read(cursor, quota - waiting))
        return reads

    def was_read(self, read: Read, texts: int) -> None:
        """``read`` brought that many texts."""
        self._has_more[read.cursor.priority] = texts >= read.quota

    @property
    def may_start(self) -> bool:
        """Whether there is anything that window, pace and time could let out."""
        return not self.leaving and (
            self.texts.waiting > 0 or self.texts.next_retry_s() is not None
        )

    def next_start(self, most: int, now_s: float) -> Start | None:
        """Take up to ``most`` segments of the next text, if pace and order allow any."""
        room = self.pace.room(now_s)
        if room < 1.0 or self.leaving:
            return None
        text = self.texts.peek(now_s)
        if text is None:
            return None
        mask = text.next_mask(int(min(most, room, _ALL)))
        if not mask:
            self.texts.advance(text)
            return None
        self.pace.take(mask.bit_count(), now_s)
        if mask.bit_count() == text.open_segments:
            self.texts.advance(text)
        return Start(text, mask)

    def wake_s(self, now_s: float) -> float | None:
        """When something may start that may not now; None if nothing waits."""
        if not self.may_start:
            return None
        times: list[float] = []
        if self.texts.waiting:
            times.append(now_s + self.pace.wait_s(now_s))
        retry_s = self.texts.next_retry_s()
        if retry_s is not None:
            times.append(max(retry_s, now_s + self.pace.wait_s(now_s)))
        return min(times)

    def put_back(self, text: Text, now_s: float) -> None:
        """A start did not happen: the text is next again."""
        self.texts.retry(text, now_s)
