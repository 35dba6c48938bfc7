"""What a desk has to send and may send now: its lanes, shared out fairly, and their memory.

Pure: no database, no sockets. The desk fills it with what it reads, asks it for starts, and
tells it what became of them once that is committed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from viesti.carriers.base import Submit, SubmitOutcome, Verdict
from viesti.dispatch.attempt import Start, Started
from viesti.dispatch.claim import Read
from viesti.dispatch.fair import FairTurns
from viesti.dispatch.lane import Lane
from viesti.dispatch.leases import LaneLease
from viesti.dispatch.outcome import Attempt
from viesti.dispatch.pace import Bucket
from viesti.dispatch.settings import MAX_STARTS, MIN_READ_AHEAD, READ_AHEAD, READ_AHEAD_ALL
from viesti.dispatch.texts import Text


@dataclass(slots=True)
class Counters:
    """What a desk did since it opened; for the logs and the metrics."""

    submitted: int = 0
    accepted: int = 0
    refused: int = 0
    throttled: int = 0
    retried: int = 0
    held: int = 0
    turns: int = 0


class Supply:
    def __init__(self, rate_per_s: float, *, resends_unknown: bool) -> None:
        self.lanes: dict[UUID, Lane] = {}
        self.counters = Counters()
        self.pace = Bucket(rate_per_s)  # of the carrier account: this dispatcher's share
        self.resends_unknown = resends_unknown
        self.left: list[UUID] = []  # lanes that are to be given back: nothing is under way
        self._turns = FairTurns[Lane](lambda lane: lane.lease.account_id)

    # Lanes

    def add_lane(self, lease: LaneLease) -> None:
        lane = self.lanes.get(lease.lane_id)
        if lane is None:
            self.lanes[lease.lane_id] = Lane(lease)
        else:
            lane.leaving = False
            lane.rewind()
        self.stay(lease.lane_id)

    def stay(self, lane_id: UUID) -> None:
        """The lane is leased again before it was given back."""
        if lane_id in self.left:
            self.left.remove(lane_id)

    def knows(self, lane_id: UUID) -> bool:
        return lane_id in self.lanes or lane_id in self.left

    def in_flight(self, lane_id: UUID) -> list[UUID]:
        lane = self.lanes.get(lane_id)
        return lane.texts.in_flight() if lane else []

    def hint(self, lanes: Sequence[UUID]) -> None:
        """These lanes (all, if none is named) may have new texts."""
        for lane_id in lanes or list(self.lanes):
            lane = self.lanes.get(lane_id)
            if lane is not None:
                lane.hint()

    def busy_lanes(self) -> list[UUID]:
        return [lane_id for lane_id, lane in self.lanes.items() if len(lane.texts)]

    def leave(self, lanes: Iterable[UUID]) -> None:
        """Start nothing more of these lanes; they are ``left`` once all their answers are in."""
        for lane_id in lanes:
            lane = self.lanes.get(lane_id)
            if lane is not None and not lane.leaving:
                lane.leaving = True
                if not lane.texts.drop_unstarted():
                    self._leave(lane_id)

    def _leave(self, lane_id: UUID) -> None:
        del self.lanes[lane_id]
        self.left.append(lane_id)

    # Reading

    def reads(self, now_s: float) -> list[Read]:
        """What is to be read so that enough texts are at hand."""
        quota = max(MIN_READ_AHEAD, min(READ_AHEAD, READ_AHEAD_ALL // max(1, len(self.lanes))))
        return [read for lane in self.lanes.values() for read in lane.reads(quota, now_s)]

    def take_in(self, reads: Sequence[Read], texts: Sequence[Text]) -> None:
        counts: dict[tuple[UUID, int], int] = {}
        for text in texts:
            key = (text.lane_id, text.priority)
            counts[key] = counts.get(key, 0) + 1
            lane = self.lanes.get(text.lane_id)
            if lane is not None and not lane.leaving:
                lane.texts.add(text)
        for read in reads:
            lane = self.lanes.get(read.cursor.lane_id)
            if lane is not None:
                key = (read.cursor.lane_id, read.cursor.priority)
                lane.was_read(read, counts.get(key, 0))

    # Choosing

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until something may start; None if nothing waits."""
        wakes = [at_s for lane in self.lanes.values() if (at_s := lane.wake_s(now_s)) is not None]
        return max(min(wakes) - now_s, self.pace.wait_s(now_s)) if wakes else None

    def choose(self, room: int, now_s: float, unsettled: Collection[Text]) -> list[Start]:
        """Segments for the window and the pace of now, shared out fairly.

        Texts that are ``unsettled`` (an outcome that is not yet committed takes back a start)
        wait for a turn: what their rows say has started is about to change.
        """
        budget = int(min(room, self.pace.room(now_s), MAX_STARTS))
        lanes = [lane for lane in self.lanes.values() if lane.may_start]
        if budget < 1 or not lanes:
            return []
        wishes: dict[Text, int] = {}

        def take(lane: Lane, most: int) -> int:
            wish = lane.next_start(most, now_s)
            if wish is None:
                return 0
            wishes[wish.text] = wishes.get(wish.text, 0) | wish.mask
            wish.text.started |= wish.mask
            return wish.mask.bit_count()

        self.pace.take(self._turns.pick(lanes, budget, take), now_s)
        # They count as started only once that is committed.
        for text, mask in wishes.items():
            text.started &= ~mask
        for text in [text for text in wishes if text in unsettled]:
            del wishes[text]
            self.put_back(text, now_s)
        return [Start(text, mask) for text, mask in wishes.items()]

    def put_back(self, text: Text, now_s: float) -> None:
        """A start did not happen: the text is next again."""
        lane = self.lanes.get(text.lane_id)
        if lane is not None and lane.texts.knows(text.message_id):
            lane.put_back(text, now_s)

    def take_started(self, started: Started, now_s: float) -> list[Submit]:
        """Bring memory in line with a commit of starts; returns what is to be written."""
        for text in started.gone:
            self._finish(text)
        for text in started.again:
            self.put_back(text, now_s)
        submits: list[Submit] = []
        for wish in started.granted:
            text = wish.text
            text.started |= wish.mask
            submits.extend(
                Submit(
                    key=Attempt(text, segment),
                    source=text.sender,
                    destination=text.mobile,
                    payload=text.parts[segment],
                    data_coding=text.data_coding,
                    has_udh=text.segments > 1,
                    reference=text.reference(segment),
                )
                for segment in range(text.segments)
                if wish.mask >> segment & 1
            )
        return submits

    # Outcomes

    def settle(self, outcomes: Sequence[tuple[Attempt, SubmitOutcome]], now_s: float) -> None:
        """Bring memory in line with outcomes that are committed."""
        touched: dict[Text, float] = {}
        for attempt, outcome in outcomes:
            text = attempt.text
            verdict = outcome.verdict
            if verdict is Verdict.ACCEPTED:
                self.counters.accepted += 1
                text.answered |= attempt.bit
                lane = self.lanes.get(text.lane_id)
                if lane is not None:
                    lane.pace.accepted(1, now_s)
                touched.setdefault(text, now_s)
            elif verdict is Verdict.REFUSED or outcome.late:
                self.counters.refused += 1
                self._finish(text)
            elif verdict is Verdict.UNKNOWN and not self.resends_unknown:
                self.counters.held += 1
                self._finish(text)
            else:
                text.started &= ~attempt.bit
                touched[text] = max(touched.get(text, now_s), self._again_s(text, outcome, now_s))
        for text, at_s in touched.items():
            self._go_on(text, at_s)

    def _again_s(self, text: Text, outcome: SubmitOutcome, now_s: float) -> float:
        """When a segment that was not taken is to be started again."""
        if outcome.verdict is Verdict.THROTTLED:
            self.counters.throttled += 1
            wait_s = text.back_off_s(is_throttled=True)
            lane = self.lanes.get(text.lane_id)
            # One that is throttled whatever the pace says nothing of the pace.
            if lane is not None and not wait_s:
                lane.pace.throttled(now_s)
            return now_s + wait_s
        if outcome.error_code:
            self.counters.retried += 1
            return now_s + text.back_off_s(is_throttled=False)
        return now_s  # it never left

    def _go_on(self, text: Text, at_s: float) -> None:
        lane = self.lanes.get(text.lane_id)
        if text.is_done or lane is None:
            self._finish(text)
        elif lane.leaving:
            # What is left of it is for whoever has the lane next.
            if not text.is_in_flight:
                self._finish(text)
        elif not text.is_in_flight or text.open_segments:
            lane.texts.retry(text, at_s)

    def _finish(self, text: Text) -> None:
        lane = self.lanes.get(text.lane_id)
        if lane is None:
            text.is_finished = True
            return
        lane.texts.finish(text)
        if lane.leaving and not len(lane.texts):
            self._leave(text.lane_id)
