"""A carrier's desk in a dispatcher: turns of gather, commit, write; used by the loop.

One turn: what the carrier answered and which segments may start now go into one commit; only
then are the started segments written. What arrived (receipts, inbound texts) is committed by
``inbound`` and only then acknowledged. One desk serves one carrier, its leased binds and lanes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from viesti.carriers.base import Submit, SubmitOutcome, Verdict
from viesti.db.placement import placement
from viesti.db.pool import retry_deadlocks
from viesti.db.waker import Waker
from viesti.dispatch.attempt import Start, Started, start
from viesti.dispatch.bind import Bind
from viesti.dispatch.carriers import CarrierRow
from viesti.dispatch.claim import Read, read_due
from viesti.dispatch.fair import FairTurns
from viesti.dispatch.lane import Lane
from viesti.dispatch.leases import BindLease, LaneLease
from viesti.dispatch.outcome import Attempt, commit_outcomes
from viesti.dispatch.pace import Bucket
from viesti.dispatch.receive import Receiver, TakeArrivals
from viesti.dispatch.settings import (
    GATHER_S,
    MAX_STARTS,
    MIN_READ_AHEAD,
    POLL_S,
    READ_AHEAD,
    READ_AHEAD_ALL,
)
from viesti.dispatch.texts import RETRY_FIRST_S, RETRY_MOST_S, Text
from viesti.domain.messages.parked import hold_abandoned
from viesti.domain.messages.progress import Step, advance
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import utc_now

log = structlog.get_logger()
R = TypeVar("R")

_TROUBLE_FIRST_S = 0.1
_TROUBLE_MOST_S = 2.0


@dataclass(slots=True)
class Counters:
    """What this desk did since it opened; for the logs and the metrics."""

    submitted: int = 0
    accepted: int = 0
    refused: int = 0
    throttled: int = 0
    held: int = 0
    turns: int = 0


@dataclass(slots=True)
class _Committed:
    started: Started = field(default_factory=Started)
    has_events: bool = False


class Desk:
    def __init__(
        self,
        carrier: CarrierRow,
        pool: ConnectionPool[psycopg.Connection],
        me: UUID,
        waker: Waker,
        take_arrivals: TakeArrivals,
        may_write: Callable[[], bool],
    ) -> None:
        self.carrier = carrier
        self.binds: dict[int, Bind] = {}
        self.lanes: dict[UUID, Lane] = {}
        self.counters = Counters()
        self._pool = pool
        self._me = me
        self._waker = waker
        self._may_write = may_write
        self._pace = Bucket(carrier.rate_per_s)
        self._turns = FairTurns[Lane](lambda lane: lane.lease.account_id)
        self._due = asyncio.Event()
        self._draining = False
        self._leaving_binds: dict[int, asyncio.Task[None]] = {}
        self._closed = False
        self._loop = asyncio.get_running_loop()
        # One thread: a desk's transactions follow each other, which is what keeps its rows'
        # updates in order.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"desk {carrier.name}")
        self._outcomes: list[tuple[Attempt, SubmitOutcome]] = []
        self._receiver = Receiver(carrier, self.binds, pool, waker, take_arrivals)
        self._task = self._loop.create_task(self._run())

    # What the loop tells the desk

    def wake(self) -> None:
        self._due.set()
        self._receiver.wake()

    def configure(self, carrier: CarrierRow) -> None:
        """Take over changed settings that need no new bind."""
        self.carrier = carrier
        if carrier.rate_per_s != self._pace.rate_per_s:
            self._pace = Bucket(carrier.rate_per_s)
        self.wake()

    def add_bind(self, lease: BindLease) -> None:
        if lease.slot not in self.binds:
            self.binds[lease.slot] = Bind(lease, self.carrier.smpp, self.wake)

    def drop_bind(self, slot: int) -> None:
        """The lease is gone: another dispatcher connects instead."""
        bind = self.binds.get(slot)
        if bind is not None and slot not in self._leaving_binds:
            self._leaving_binds[slot] = self._loop.create_task(self._leave(slot, bind))

    async def _leave(self, slot: int, bind: Bind) -> None:
        await bind.close(0.0)
        self._outcomes.extend(
            (outcome.key, outcome) for outcome in bind.outcomes if isinstance(outcome.key, Attempt)
        )
        del self.binds[slot]
        del self._leaving_binds[slot]
        self._due.set()

    def add_lane(self, lease: LaneLease) -> None:
        lane = self.lanes.get(lease.lane_id)
        if lane is None:
            self.lanes[lease.lane_id] = Lane(lease)
        else:
            lane.leaving = False
            lane.rewind()
        self.wake()

    def hint(self, lanes: Sequence[UUID]) -> None:
        """These lanes (all, if none is named) may have new texts."""
        for lane_id in lanes or list(self.lanes):
            lane = self.lanes.get(lane_id)
            if lane is not None:
                lane.hint()
        self._due.set()

    def busy_lanes(self) -> list[UUID]:
        return [lane_id for lane_id, lane in self.lanes.items() if len(lane.texts)]

    def drop_lanes(self, lanes: Sequence[UUID]) -> None:
        """These leases are gone: nothing of them is started any more."""
        for lane_id in lanes:
            lane = self.lanes.get(lane_id)
            if lane is not None:
                lane.leaving = True
                if not lane.texts.drop_unstarted():
                    del self.lanes[lane_id]

    @property
    def unanswered(self) -> int:
        return sum(bind.client.unanswered for bind in self.binds.values())

    async def close(self, drain_s: float) -> None:
        """Start nothing more, wait for answers, commit them, unbind."""
        self._draining = True
        await asyncio.gather(*(bind.close(drain_s) for bind in self.binds.values()))
        self._closed = True
        self.wake()
        await asyncio.gather(self._task, self._receiver.close())
        self._threads.shutdown()

    async def take_over(self, leases: Sequence[LaneLease]) -> None:
        """Hold what somebody else had under way on these lanes, then serve them."""
        await self._in_thread(lambda: self._hold_abandoned(leases))
        for lease in leases:
            self.add_lane(lease)

    # Turns

    async def _run(self) -> None:
        trouble_s = _TROUBLE_FIRST_S
        while not (self._closed and not self._outcomes and not self._has_outcomes()):
            await self._pause()
            try:
                if not await self._turn():
                    # Whatever kept it from starting anything does so for a moment longer.
                    await asyncio.sleep(GATHER_S)
                trouble_s = _TROUBLE_FIRST_S
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("turn_failed", carrier=self.carrier.name, error=type(error).__name__)
                await asyncio.sleep(trouble_s)
                trouble_s = min(trouble_s * 2, _TROUBLE_MOST_S)
                self._due.set()

    async def _pause(self) -> None:
        """Until something happened, or may start, or is to be looked for."""
        now_s = self._loop.time()
        wait_s = POLL_S
        if not self._draining and self._room() >= 1:
            for lane in self.lanes.values():
                wake_s = lane.wake_s(now_s)
                if wake_s is not None:
                    wait_s = min(wait_s, max(wake_s - now_s, self._pace.wait_s(now_s)))
        if wait_s > 0.0005:
            try:
                async with asyncio.timeout(wait_s):
                    await self._due.wait()
            except TimeoutError:
                pass
            else:
                # Answers come in clusters: a commit for many costs little more than for one.
                await asyncio.sleep(GATHER_S)
        self._due.clear()

    async def _turn(self) -> bool:
        """False if there was nothing to do."""
        self.counters.turns += 1
        self._outcomes.extend(self._gather())
        await self._read()
        wishes = self._choose()
        if not self._outcomes and not wishes:
            return False
        outcomes = list(self._outcomes)
        try:
            committed = await self._in_thread(lambda: self._commit(outcomes, wishes))
        except (psycopg.Error, PoolTimeout):
            # Not known to be committed: the outcomes are applied again, which counts once, and
            # the starts are tried again, which their rows settle.
            for wish in wishes:
                self._lane_put_back(wish.text)
            raise
        del self._outcomes[: len(outcomes)]
        self._apply(outcomes)
        self._apply_started(committed.started)
        if committed.has_events:
            self._waker.wake(WEBHOOKS_CHANNEL)
        return True

    def _has_outcomes(self) -> bool:
        return any(bind.outcomes for bind in self.binds.values())

    def _gather(self) -> list[tuple[Attempt, SubmitOutcome]]:
        found: list[tuple[Attempt, SubmitOutcome]] = []
        for bind in self.binds.values():
            gathered, bind.outcomes = bind.outcomes, []
            for outcome in gathered:
                if isinstance(outcome.key, Attempt):
                    found.append((outcome.key, outcome))
        return found

    async def _read(self) -> None:
        """Keep enough texts at hand."""
        if self._draining:
            return
        now_s = self._loop.time()
        quota = max(MIN_READ_AHEAD, min(READ_AHEAD, READ_AHEAD_ALL // max(1, len(self.lanes))))
        reads = [
            read
            for lane in self.lanes.values()
            if lane.texts.waiting < quota // 2 and lane.wants_reading(now_s)
            for read in lane.reads(quota)
        ]
        for group in placement({read.cursor.account_id for read in reads}):
            part = [read for read in reads if read.cursor.account_id in group]
            texts = await self._in_thread(partial(self._read_due, part))
            counts: dict[tuple[UUID, int], int] = {}
            for text in texts:
                key = (text.lane_id, text.priority)
                counts[key] = counts.get(key, 0) + 1
                if text.lane_id in self.lanes:
                    self.lanes[text.lane_id].texts.add(text)
            for lane_id in {read.cursor.lane_id for read in part}:
                if lane_id in self.lanes:
                    self.lanes[lane_id].has_more = any(
                        counts.get((lane_id, read.cursor.priority), 0) >= read.quota
                        for read in part
                        if read.cursor.lane_id == lane_id
                    )

    def _room(self) -> int:
        return sum(bind.client.room for bind in self.binds.values())

    def _choose(self) -> list[Start]:
        """Segments for the window and the pace of now, shared out fairly."""
        if self._draining or not self._may_write():
            return []
        now_s = self._loop.time()
        budget = int(min(self._room(), self._pace.room(now_s), MAX_STARTS))
        wishes: dict[UUID, Start] = {}

        def take(lane: Lane, most: int) -> int:
            wish = lane.next_start(most, now_s)
            if wish is None:
                return 0
            known = wishes.get(wish.text.message_id)
            mask = wish.mask | (known.mask if known else 0)
            wishes[wish.text.message_id] = Start(wish.text, mask)
            wish.text.started |= wish.mask
            return wish.mask.bit_count()

        if budget >= 1 and self.lanes:
            spent = self._turns.pick(self.lanes.values(), budget, take)
            self._pace.take(spent, now_s)
        for wish in wishes.values():
            wish.text.started &= ~wish.mask
        return list(wishes.values())

    def _apply(self, outcomes: Sequence[tuple[Attempt, SubmitOutcome]]) -> None:
        """Bring memory in line with what was committed."""
        now_s = self._loop.time()
        for attempt, outcome in outcomes:
            text = attempt.text
            lane = self.lanes.get(text.lane_id)
            verdict = outcome.verdict
            if verdict is Verdict.ACCEPTED:
                self.counters.accepted += 1
                text.answered |= attempt.bit
                if lane:
                    lane.pace.accepted(1, now_s)
            elif verdict is Verdict.REFUSED or outcome.late:
                self.counters.refused += 1
                self._finish(text)
            elif verdict is Verdict.UNKNOWN and not self.carrier.resend_unknown:
                self.counters.held += 1
                self._finish(text)
            else:
                self._again(attempt, outcome, lane, now_s)
            if text.is_done:
                self._finish(text)

    def _again(
        self, attempt: Attempt, outcome: SubmitOutcome, lane: Lane | None, now_s: float
    ) -> None:
        text = attempt.text
        text.started &= ~attempt.bit
        at_s = now_s
        if outcome.verdict is Verdict.THROTTLED:
            self.counters.throttled += 1
            if lane:
                lane.pace.throttled(now_s)
        elif outcome.error_code:
            at_s = now_s + min(RETRY_FIRST_S * 2.0 ** min(text.retries, 10), RETRY_MOST_S)
            text.retries += 1
        if lane is None or lane.leaving:
            self._finish(text)
        else:
            lane.texts.retry(text, at_s)

    def _finish(self, text: Text) -> None:
        lane = self.lanes.get(text.lane_id)
        if lane is not None:
            lane.texts.finish(text)
            if lane.leaving and not len(lane.texts):
                del self.lanes[text.lane_id]

    def _apply_started(self, started: Started) -> None:
        for text in started.gone:
            self._finish(text)
        for text in started.again:
            self._lane_put_back(text)
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
        if submits:
            self._write(submits)

    def _write(self, submits: list[Submit]) -> None:
        """One write per bind, as far as each one's window reaches."""
        position = 0
        # A process that slept past its leases writes nothing: what it started is taken back
        # if it is still its own, and held by whoever took the lane if it is not.
        if self._may_write():
            for bind in self.binds.values():
                room = bind.client.room
                if room > 0 and position < len(submits):
                    bind.client.submit(submits[position : position + room])
                    position += room
        unsent = submits[position:]
        self.counters.submitted += len(submits) - len(unsent)
        self._outcomes.extend(
            (submit.key, SubmitOutcome(submit.key, Verdict.RETRY))
            for submit in unsent
            if isinstance(submit.key, Attempt)
        )
        if unsent:
            self._due.set()

    def _lane_put_back(self, text: Text) -> None:
        lane = self.lanes.get(text.lane_id)
        if lane is not None:
            lane.put_back(text, self._loop.time())

    # Transactions, in the desk's thread

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await self._loop.run_in_executor(self._threads, retry_deadlocks(work))

    def _read_due(self, reads: Sequence[Read]) -> list[Text]:
        with self._pool.connection() as conn:
            return read_due(conn, reads, utc_now())

    def _commit(
        self, outcomes: Sequence[tuple[Attempt, SubmitOutcome]], wishes: Sequence[Start]
    ) -> _Committed:
        total = _Committed()
        accounts = {attempt.text.account_id for attempt, _ in outcomes}
        accounts |= {wish.text.account_id for wish in wishes}
        for group in placement(accounts):
            with self._pool.connection() as conn:
                now = utc_now()
                steps = commit_outcomes(
                    conn,
                    self.carrier.id,
                    [pair for pair in outcomes if pair[0].text.account_id in group],
                    resend_unknown=self.carrier.resend_unknown,
                    receipts=self.carrier.receipts,
                    now=now,
                )
                started = start(
                    conn, [w for w in wishes if w.text.account_id in group], self._me, now
                )
                advanced = advance(conn, [*steps, *started.steps])
            total.has_events |= advanced.has_events
            total.started.granted += started.granted
            total.started.again += started.again
            total.started.gone += started.gone
        return total

    def _hold_abandoned(self, leases: Sequence[LaneLease]) -> None:
        for lease in leases:
            with self._pool.connection() as conn:
                steps: list[Step] = hold_abandoned(
                    conn, lease.account_id, lease.lane_id, self._me, utc_now()
                )
                advanced = advance(conn, steps)
            if steps:
                log.warning("held", lane_id=str(lease.lane_id), messages=len(steps))
            if advanced.has_events:
                self._waker.wake(WEBHOOKS_CHANNEL)
