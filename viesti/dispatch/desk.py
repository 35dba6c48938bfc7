"""A carrier's desk in a dispatcher: turns of gather, commit, write; used by the loop.

One turn: what the carrier answered and which segments may start now go into one commit; only
then are the started segments written. What arrived (receipts, inbound texts) is committed by
``inbound`` and only then acknowledged. One desk serves one carrier, its leased binds and lanes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from viesti.carriers.base import Submit, SubmitOutcome, Verdict
from viesti.db.placement import placement
from viesti.db.waker import Waker
from viesti.dispatch.attempt import Start
from viesti.dispatch.bind import Bind
from viesti.dispatch.books import Abandoned, Books
from viesti.dispatch.carriers import CarrierRow
from viesti.dispatch.lane import Lane
from viesti.dispatch.leases import BindLease, LaneLease
from viesti.dispatch.outcome import Attempt
from viesti.dispatch.receive import Receiver, TakeArrivals
from viesti.dispatch.settings import (
    GATHER_S,
    LAST_COMMIT_S,
    LEAVE_DRAIN_S,
    MAX_STARTS,
    POLL_S,
    RECHECK_S,
)
from viesti.dispatch.supply import Counters, Supply
from viesti.dispatch.texts import Text
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.ids import new_id

log = structlog.get_logger()

_TROUBLE_FIRST_S = 0.1
_TROUBLE_MOST_S = 2.0


class Desk:
    def __init__(
        self,
        carrier: CarrierRow,
        pool: ConnectionPool[psycopg.Connection],
        waker: Waker,
        take_arrivals: TakeArrivals,
        *,
        may_write: Callable[[], bool],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.carrier = carrier
        self.binds: dict[int, Bind] = {}
        self.left_binds: list[BindLease] = []  # closed: their leases are to be given back
        self.supply = Supply(0.0, resends_unknown=carrier.resend_unknown)
        self._waker = waker
        self._may_write = may_write
        self._on_failure = on_failure
        self._due = asyncio.Event()
        self._draining = False
        self._closed = False
        self._leaving_binds: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        # Its own name in the rows that it starts: whatever an earlier desk of this very process
        # left under way is abandoned too.
        self._books = Books(carrier, pool, new_id())
        self._outcomes: list[tuple[Attempt, SubmitOutcome]] = []
        # A batch whose commit is in doubt: it is tried again as it was, so that it counts once.
        self._doubtful: list[tuple[Attempt, SubmitOutcome]] = []
        # Changes of the lanes wait for the moment between two commits.
        self._new_lanes: dict[UUID, LaneLease] = {}
        self._leaving_lanes: set[UUID] = set()
        self._rechecks: list[tuple[float, LaneLease]] = []
        self._receiver = Receiver(carrier, self.binds, pool, waker, take_arrivals, on_failure)
        self._task = self._loop.create_task(self._run())
        self._share_rate()

    # What the loop tells the desk

    def wake(self) -> None:
        self._due.set()
        self._receiver.wake()

    def configure(self, carrier: CarrierRow) -> None:
        """Take over changed settings that need no new bind."""
        self.carrier = self._books.carrier = self._receiver.carrier = carrier
        self.supply.resends_unknown = carrier.resend_unknown
        self._share_rate()
        self.wake()

    def add_bind(self, lease: BindLease) -> None:
        if lease.slot not in self.binds:
            self.binds[lease.slot] = Bind(lease, self.carrier.smpp, self.wake, self._on_failure)
            self._share_rate()

    def drop_bind(self, slot: int) -> None:
        """Another dispatcher connects instead: start nothing more there, wait for answers."""
        bind = self.binds.get(slot)
        if bind is not None and slot not in self._leaving_binds:
            self._leaving_binds[slot] = self._loop.create_task(self._leave(slot, bind))

    async def _leave(self, slot: int, bind: Bind) -> None:
        await bind.close(LEAVE_DRAIN_S)
        self._outcomes += self._gather_from(bind)
        del self.binds[slot]
        del self._leaving_binds[slot]
        self.left_binds.append(bind.lease)
        self._share_rate()
        self._due.set()

    def _share_rate(self) -> None:
        """The rate goes by slots, so that all dispatchers together stay within it."""
        carrier = self.carrier
        self.supply.pace.rate_per_s = carrier.rate_per_s * len(self.binds) / carrier.max_binds

    def add_lanes(self, leases: Sequence[LaneLease]) -> None:
        """Serve these lanes, once what somebody else had under way on them is held."""
        for lease in leases:
            self._new_lanes[lease.lane_id] = lease
            self._leaving_lanes.discard(lease.lane_id)
            self.supply.stay(lease.lane_id)
        self.wake()

    def knows_lane(self, lane_id: UUID) -> bool:
        """Whether the lane is served here, about to be, or about to be given back."""
        return lane_id in self._new_lanes or self.supply.knows(lane_id)

    def staying_lanes(self) -> list[Lane]:
        """The lanes that are served and not about to be left, those with fewest texts first."""
        staying = [
            lane
            for lane_id, lane in self.supply.lanes.items()
            if not lane.leaving and lane_id not in self._leaving_lanes
        ]
        return sorted(staying, key=lambda lane: len(lane.texts))

    def leave_lanes(self, lanes: Collection[UUID]) -> None:
        """Start nothing more of these lanes; ``take_left_lanes`` says when all is answered."""
        for lane_id in lanes:
            self._new_lanes.pop(lane_id, None)
        self._rechecks = [entry for entry in self._rechecks if entry[1].lane_id not in lanes]
        self._leaving_lanes.update(lanes)
        self._due.set()

    def take_left_lanes(self) -> list[UUID]:
        """Lanes that nothing is under way of any more."""
        left, self.supply.left = self.supply.left, []
        return left

    def hint(self, lanes: Sequence[UUID]) -> None:
        """These lanes (all, if none is named) may have new texts."""
        self.supply.hint(lanes)
        self._due.set()

    @property
    def counters(self) -> Counters:
        return self.supply.counters

    @property
    def arrived(self) -> tuple[int, int]:
        """Receipts and inbound PDUs that were taken since it opened."""
        return self._receiver.receipts, self._receiver.texts

    @property
    def unanswered(self) -> int:
        return sum(bind.client.unanswered for bind in self.binds.values())

    async def close(self, drain_s: float) -> None:
        """Start nothing more, wait for answers, commit them, unbind."""
        self._draining = True
        binds = list(self.binds.values())
        await asyncio.gather(*(bind.close(drain_s) for bind in binds))
        self._closed = True
        self.wake()
        done, pending = await asyncio.wait(
            [self._task, self._loop.create_task(self._receiver.close())], timeout=LAST_COMMIT_S
        )
        for task in pending:
            task.cancel()
        if pending:
            # The database is away. Whoever takes the lanes next holds what this leaves open.
            log.error(
                "outcomes_not_committed",
                carrier=self.carrier.name,
                outcomes=len(self._outcomes) + len(self._doubtful),
            )
        await asyncio.gather(*done, *pending, return_exceptions=True)
        self._books.close()
        self.left_binds += [bind.lease for bind in binds]

    # Turns

    async def _run(self) -> None:
        try:
            await self._serve()
        except Exception as error:  # noqa: BLE001 (whatever it is, the process must not go on)
            self._on_failure(error)

    async def _serve(self) -> None:
        trouble_s = _TROUBLE_FIRST_S
        while not (self._closed and self._is_settled()):
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

    def _is_settled(self) -> bool:
        gathered = any(bind.outcomes for bind in self.binds.values())
        return not (self._outcomes or self._doubtful or gathered)

    async def _pause(self) -> None:
        """Until something happened, or may start, or is to be looked for."""
        wait_s = POLL_S
        if self._may_start() and self._room() >= 1:
            start_s = self.supply.wait_s(self._loop.time())
            if start_s is not None:
                wait_s = min(wait_s, start_s)
        if wait_s > 0.0005:
            try:
                async with asyncio.timeout(wait_s):
                    await self._due.wait()
            except TimeoutError:
                pass
            else:
                # Answers come in clusters: a commit for many costs little more than for one.
                if sum(len(bind.outcomes) for bind in self.binds.values()) < MAX_STARTS:
                    await asyncio.sleep(GATHER_S)
        self._due.clear()

    def _may_start(self) -> bool:
        return not self._draining and self._may_write()

    def _room(self) -> int:
        return sum(bind.client.room for bind in self.binds.values())

    async def _turn(self) -> bool:
        """False if there was nothing to do."""
        self.counters.turns += 1
        for bind in self.binds.values():
            self._outcomes += self._gather_from(bind)
        self.supply.leave(self._leaving_lanes)
        self._leaving_lanes.clear()
        if self._doubtful:
            await self._commit([])
            return True
        if not self._draining:
            await self._take_over()
            await self._read()
        wishes: list[Start] = []
        if self._may_start():
            unsettled = {a.text for a, o in self._outcomes if o.verdict is not Verdict.ACCEPTED}
            wishes = self.supply.choose(self._room(), self._loop.time(), unsettled)
        if not self._outcomes and not wishes:
            return False
        self._doubtful, self._outcomes = self._outcomes, []
        await self._commit(wishes)
        return True

    async def _commit(self, wishes: list[Start]) -> None:
        try:
            committed = await self._books.commit(self._doubtful, wishes)
        except (psycopg.Error, PoolTimeout):
            # Perhaps they did start: their rows say so when they are tried again.
            for wish in wishes:
                self.supply.put_back(wish.text, self._loop.time())
            raise
        outcomes, self._doubtful = self._doubtful, []
        now_s = self._loop.time()
        self.supply.settle(outcomes, now_s)
        submits = self.supply.take_started(committed.started, now_s)
        if submits:
            self._write(submits)
        if committed.has_events:
            self._waker.wake(WEBHOOKS_CHANNEL)

    @staticmethod
    def _gather_from(bind: Bind) -> list[tuple[Attempt, SubmitOutcome]]:
        gathered, bind.outcomes = bind.outcomes, []
        return [(o.key, o) for o in gathered if isinstance(o.key, Attempt)]

    async def _take_over(self) -> None:
        """Between two commits, so that what is in flight here is known exactly."""
        now_s = self._loop.time()
        new = list(self._new_lanes.values())
        due = [entry for entry in self._rechecks if entry[0] <= now_s]
        if not new and not due:
            return
        abandoned = [Abandoned(lease, self.supply.in_flight(lease.lane_id)) for lease in new]
        abandoned += [Abandoned(lease, None) for _, lease in due]
        if await self._books.settle_abandoned(abandoned):
            self._waker.wake(WEBHOOKS_CHANNEL)
        self._rechecks = [entry for entry in self._rechecks if entry not in due]
        for lease in new:
            # Unless it was lost again meanwhile.
            if self._new_lanes.pop(lease.lane_id, None) is not None:
                self.supply.add_lane(lease)
                self._rechecks.append((now_s + RECHECK_S, lease))

    async def _read(self) -> None:
        """Keep enough texts at hand."""
        reads = self.supply.reads(self._loop.time())
        for group in placement({read.cursor.account_id for read in reads}):
            part = [read for read in reads if read.cursor.account_id in group]
            texts: list[Text] = await self._books.read(part)
            self.supply.take_in(part, texts)

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
        for submit in unsent:
            if isinstance(submit.key, Attempt):
                outcome = SubmitOutcome(submit.key, Verdict.RETRY)
                self._outcomes.append((submit.key, outcome))
        if unsent:
            self._due.set()
