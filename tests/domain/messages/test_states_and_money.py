"""Invariants 5 and 8: states only go forward, and each price is settled exactly once.

Hypothesis tells a text of one to three segments a random story: starts, answers, refusals,
silence, late answers, receipts before and after them, again and again, a STOP, time running
out, credit that is not there.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg_pool import ConnectionPool

from tests.messaging_rig import PRICE_MICROS, Rig
from viesti.carriers.base import ReceiptState, Verdict
from viesti.dispatch.texts import Text
from viesti.domain.accounts.service import top_up
from viesti.domain.messages.expiry import expire_waiting
from viesti.domain.messages.parked import release_suspended
from viesti.domain.messages.progress import Step, advance
from viesti.domain.messages.states import Status, may_become
from viesti.inbound.sweeps import rematch_early
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

SEGMENT = st.integers(0, 2)
RECEIPTS = st.sampled_from(
    [
        ReceiptState.DELIVERED,
        ReceiptState.DELIVERED,
        ReceiptState.UNDELIVERABLE,
        ReceiptState.EXPIRED,
        ReceiptState.REJECTED,
        ReceiptState.ENROUTE,
        ReceiptState.UNKNOWN,
    ]
)
ACTS = st.one_of(
    st.tuples(st.just("start"), st.integers(1, 7)),
    st.tuples(st.just("accept"), SEGMENT),
    st.tuples(st.just("refuse"), SEGMENT),
    st.tuples(st.just("throttle"), SEGMENT),
    st.tuples(st.just("lose"), SEGMENT),
    st.tuples(st.just("receipt"), SEGMENT, RECEIPTS),
    st.tuples(st.just("receipt"), SEGMENT, RECEIPTS),
    st.tuples(st.just("batch"), st.lists(st.sampled_from("arlt"), min_size=3, max_size=3)),
    st.tuples(st.just("stop")),
    st.tuples(st.just("expire")),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("top_up")),
    st.tuples(st.just("rematch")),
)
TOLD = (
    "messages",
    "dispatch_queue",
    "parked_messages",
    "message_segments",
    "recent_texts",
    "conversations",
    "contacts",
    "opt_outs",
    "ledger",
    "jobs",
    "events",
    "webhook_deliveries",
)
VERDICTS = {
    "a": Verdict.ACCEPTED,
    "r": Verdict.REFUSED,
    "l": Verdict.UNKNOWN,
    "t": Verdict.THROTTLED,
}


class Story:
    """One text in the hands of a dispatcher, and what is told of it."""

    def __init__(self, rig: Rig, segments: int, number: int) -> None:
        self.rig = rig
        self.mobile = f"+1347{5550000 + number}"
        self.name = new_id().hex
        text = f"{number} " + "x" * (0 if segments == 1 else 153 * segments - 20)
        self.id = rig.send_one(text, self.mobile)
        self.text: Text | None = None
        self.seen = [Status(rig.status(self.id)[0])]
        self.ended_price: int | None = None

    def tell(self, act: tuple[object, ...]) -> None:
        name, *rest = act
        getattr(self, f"_{name}")(*rest)
        self.check()

    def check(self) -> None:
        status = Status(self.rig.status(self.id)[0])
        before = self.seen[-1]
        # Several legal steps may lie between two looks.
        assert status is before or reachable(before, status), f"{before} -> {status}"
        self.seen.append(status)
        self.rig.check_books()

    def _start(self, mask: int) -> None:
        if self.text is None:
            found = [text for text in self.rig.read() if text.message_id == self.id]
            if not found:
                return
            self.text = found[0]
        mask &= self.text.all_bits & ~self.text.started
        if mask and not self.rig.start(self.text, mask):
            self.text = None

    def _open(self, segment: int) -> bool:
        text = self.text
        return text is not None and bool(text.started & ~text.answered & 1 << segment)

    def _outcome(self, segment: int, verdict: Verdict) -> None:
        # An answer after its silence is reported late, as a carrier's session does.
        if self._open(segment) and self.text is not None:
            word = self._id(segment) if verdict is Verdict.ACCEPTED else "MSG-023"
            self.rig.answer([(self.text, segment, verdict, word)])

    def _id(self, segment: int) -> str:
        return f"{self.name}z{segment}"

    def _accept(self, segment: int) -> None:
        self._outcome(segment, Verdict.ACCEPTED)

    def _refuse(self, segment: int) -> None:
        self._outcome(segment, Verdict.REFUSED)

    def _throttle(self, segment: int) -> None:
        self._outcome(segment, Verdict.THROTTLED)

    def _lose(self, segment: int) -> None:
        self._outcome(segment, Verdict.UNKNOWN)

    def _batch(self, letters: list[str]) -> None:
        """All open segments are answered in one batch, each its own way."""
        outcomes = [
            (self.text, n, VERDICTS[letter], self._id(n) if letter == "a" else "MSG-023")
            for n, letter in enumerate(letters)
            if self._open(n) and self.text is not None
        ]
        if outcomes:
            self.rig.answer(outcomes)  # type: ignore[arg-type]

    def _receipt(self, segment: int, state: ReceiptState) -> None:
        self.rig.receipt(self._id(segment), state, source=self.mobile)

    def _stop(self) -> None:
        self.rig.text("STOP", source=self.mobile)
        self.rig.run("DELETE FROM opt_outs")

    def _expire(self) -> None:
        with self.rig.pool.connection() as conn:
            expire_waiting(conn, utc_now() + timedelta(days=4))

    def _cancel(self) -> None:
        """As a person's cancel would: what has not started is taken back."""
        with self.rig.pool.connection() as conn:
            gone = conn.execute(
                "DELETE FROM dispatch_queue WHERE message_id = %s AND started = 0", (self.id,)
            ).rowcount
            gone += conn.execute(
                "DELETE FROM parked_messages WHERE message_id = %s AND reason = 'no_credit'",
                (self.id,),
            ).rowcount
            if gone:
                advance(conn, [Step(self.rig.account_id, self.id, becomes=Status.CANCELED)])

    def _top_up(self) -> None:
        with self.rig.pool.connection() as conn:
            top_up(conn, self.rig.account_id, PRICE_MICROS, now=utc_now())
            steps, _ = release_suspended(conn, self.rig.account_id, utc_now())
            advance(conn, steps)

    def _rematch(self) -> None:
        with self.rig.pool.connection() as conn:
            rematch_early(conn, utc_now() + timedelta(seconds=2))


def reachable(start: Status, end: Status) -> bool:
    found = {start}
    while True:
        more = {after for now in found for after in Status if may_become(now, after)} | found
        if more == found:
            return end in found
        found = more


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    segments=st.integers(1, 3),
    acts=st.lists(ACTS, min_size=1, max_size=12),
    has_credit=st.sampled_from([True, True, True, False]),
    habit=st.sampled_from(["each", "each", "first", "last"]),
    number=st.integers(100, 9_999),
)
def test_any_order_of_events_settles_once_and_only_goes_forward(
    rig: Rig,
    segments: int,
    acts: list[tuple[object, ...]],
    has_credit: bool,
    habit: str,
    number: int,
) -> None:
    rig.receipts = habit
    reset(rig, 1_000_000 if has_credit else PRICE_MICROS // 2)
    story = Story(rig, segments, number)
    story.check()
    for act in acts:
        story.tell(act)
    # When everything is over, nothing is reserved.
    story.tell(("expire",))
    story.tell(("stop",))
    for message in rig.rows(
        "SELECT id FROM messages WHERE outgoing AND status IN ('queued', 'scheduled', 'held')"
    ):
        end(rig, message[0])
    assert rig.balance()[1] == 0
    rig.check_books()


def reset(rig: Rig, available: int) -> None:
    """A fresh account in the same database: nothing is left of the story before."""
    for table in TOLD:
        rig.run(f"DELETE FROM {table}")
    rig.run("UPDATE balances SET available_micros = %s, reserved_micros = 0", available)
    rig.run(
        "INSERT INTO ledger (account_id, id, kind, amount_micros, created_at)"
        " VALUES (%s, %s, 'opening', %s, now())",
        rig.account_id,
        new_id(),
        available,
    )


def end(rig: Rig, message_id: UUID) -> None:
    """The carrier refuses whatever is still under way."""
    with rig.pool.connection() as conn:
        for table in ("dispatch_queue", "parked_messages"):
            conn.execute(f"DELETE FROM {table} WHERE message_id = %s".encode(), (message_id,))
        advance(conn, [Step(rig.account_id, message_id, error_code="MSG-023")])


def test_the_stories_cover_every_state(pool: ConnectionPool[psycopg.Connection]) -> None:
    """Guards the test above: a story that never gets anywhere proves nothing."""
    rig = Rig(pool).set_up()
    delivered, failed, held = (Story(rig, 2, number) for number in (200, 201, 202))
    for act in (("start", 3), ("batch", ["a", "a", "a"]), ("receipt", 0, ReceiptState.DELIVERED)):
        delivered.tell(act)
    delivered.tell(("receipt", 1, ReceiptState.DELIVERED))
    for act in (("start", 3), ("receipt", 1, ReceiptState.EXPIRED), ("batch", ["a", "a", "a"])):
        failed.tell(act)
    for act in (("start", 3), ("batch", ["a", "l", "l"])):
        held.tell(act)
    assert delivered.seen[-1] is Status.DELIVERED
    assert failed.seen[-1] is Status.ERROR
    assert held.seen[-1] is Status.HELD
    held.tell(("accept", 1))
    assert held.seen[-1] is Status.SENT
