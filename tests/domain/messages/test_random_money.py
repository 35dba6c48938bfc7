"""Balances and ledger add up whatever happens side by side, in whatever order.

Four threads send, cancel, pause, resume, top up, and have a carrier take, refuse, confirm and
forget texts, all at random. At the end everything is finished, and every cent is where it must
be: spent on a text that the carrier took, or available.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import PRICE_MICROS, Rig
from viesti.carriers.base import ReceiptState, Verdict
from viesti.db.pool import retry_deadlocks
from viesti.domain.accounts.service import top_up
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages.cancel import cancel_message
from viesti.domain.messages.control import SWEEPS, cancel_job, pause_job, resume_job
from viesti.domain.messages.credit import release_credited
from viesti.domain.messages.expansion import find_work, work_on
from viesti.domain.messages.models import FilterInput, SendRequest
from viesti.kit.clock import utc_now
from viesti.kit.errors import ViestiError
from viesti.kit.ids import new_id

THREADS = 4
STEPS = 40
OPENING = 60 * PRICE_MICROS


class Hands:
    """One thread's doings, by its own dice; ``others`` names what all of them may touch."""

    def __init__(self, rig: Rig, seed: int, jobs: list[UUID]) -> None:
        self.rig = rig
        self.dice = random.Random(seed)
        self.jobs = jobs
        self.added = 0

    def step(self) -> None:
        acts: list[Callable[[], None]] = [
            self.send,
            self.send,
            self.send,
            self.cancel_text,
            self.turn_job,
            self.add_money,
            self.leave,
            self.leave,
            self.confirm,
            self.work,
        ]
        act = self.dice.choice(acts)
        # What may not be (any more) is refused; it must leave no trace in the books.
        with suppress(ViestiError):
            act()

    def send(self) -> None:
        many = self.dice.choice([1, 1, 3, 8])
        numbers = [f"+1347555{self.dice.randrange(40):04}" for _ in range(many)]
        request = SendRequest(
            contacts=[ContactInput(mobile=number) for number in set(numbers)],
            template="x" * self.dice.choice([20, 20, 400]) + str(self.dice.random()),
            conversation_strategy=self.dice.choice(["reuse", "new"]),
            filters=self.dice.choice([None, None, FilterInput(mobile="555000")]),
            send_at=None,
        )
        self.jobs.append(UUID(retry_deadlocks(self.rig._send)(request).data["jobId"]))

    def cancel_text(self) -> None:
        rows = self.rig.rows("SELECT id FROM messages WHERE account_id = %s", self.rig.account_id)
        if rows:
            message = str(self.dice.choice(rows)[0])
            self.commit(lambda conn: cancel_message(conn, self.rig.account_id, message))

    def turn_job(self) -> None:
        if self.jobs:
            job = self.dice.choice(self.jobs)
            act = self.dice.choice([pause_job, resume_job, resume_job, cancel_job])
            self.commit(lambda conn: act(conn, self.rig.account_id, job, utc_now()))

    def add_money(self) -> None:
        amount = self.dice.randrange(1, 20) * PRICE_MICROS

        def work(conn: psycopg.Connection) -> None:
            top_up(conn, self.rig.account_id, amount, now=utc_now())
            release_credited(conn, self.rig.account_id, utc_now())

        self.commit(work)
        self.added += amount

    def leave(self) -> None:
        texts = self.rig.read(0) + self.rig.read(1)
        for text in self.dice.sample(texts, min(len(texts), 4)):
            if not self.start(text):
                continue
            verdicts = [Verdict.ACCEPTED] * 6 + [Verdict.REFUSED, Verdict.RETRY, Verdict.UNKNOWN]
            outcomes = [
                (
                    text,
                    segment,
                    verdict,
                    str(new_id()) if verdict is Verdict.ACCEPTED else "MSG-023",
                )
                for segment in range(text.segments)
                for verdict in [self.dice.choice(verdicts)]
            ]
            retry_deadlocks(self.rig.answer)(outcomes)

    def start(self, text: object) -> bool:
        return retry_deadlocks(self.rig.start)(text)  # type: ignore[arg-type]

    def confirm(self) -> None:
        rows = self.rig.rows("SELECT carrier_message_id, mobile FROM message_segments")
        for carrier_id, mobile in self.dice.sample(rows, min(len(rows), 4)):
            state = self.dice.choice([ReceiptState.DELIVERED, ReceiptState.UNDELIVERABLE])
            self.rig.receipt(carrier_id, state, source=mobile)

    def work(self) -> None:
        for key in self.commit(lambda conn: find_work(conn, utc_now())):
            self.commit(lambda conn, key=key: work_on(conn, *key, utc_now()))

    def commit(self, work: Callable[[psycopg.Connection], object]) -> object:
        @retry_deadlocks
        def transaction() -> object:
            with self.rig.pool.connection() as conn:
                return work(conn)

        return transaction()


@pytest.mark.parametrize("seed", range(3))
def test_every_cent_is_spent_once_or_comes_back(
    pool: ConnectionPool[psycopg.Connection], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("viesti.domain.messages.recipients.MAX_RECIPIENTS", 10)
    monkeypatch.setattr("viesti.domain.messages.expansion.CHUNK", 4)
    monkeypatch.setattr("viesti.domain.messages.control.AT_ONCE", 3)
    rig = Rig(pool).set_up(balance_micros=OPENING)
    jobs: list[UUID] = []
    hands = [Hands(rig, seed * 100 + n, jobs) for n in range(THREADS)]
    failed: list[BaseException] = []

    def run(hand: Hands) -> None:
        try:
            for _ in range(STEPS):
                hand.step()
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=run, args=(hand,)) for hand in hands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    rig.check_books()
    assert min(rig.balance()) >= 0

    # Cancel what can be, until nothing moves: then nothing but held texts is reserved.
    last = hands[0]
    for job in jobs:
        with suppress(ViestiError):
            last.commit(lambda conn, job=job: cancel_job(conn, rig.account_id, job, utc_now()))
    while rig.rows("SELECT 1 FROM jobs WHERE state = ANY(%s)", list(SWEEPS)):
        last.work()
    rig.check_books()
    added = sum(hand.added for hand in hands)
    spent = rig.rows(
        "SELECT COALESCE(sum(price_micros), 0) FROM messages WHERE outgoing"
        " AND sent_segments >= segments"
    )[0][0]
    reserved = rig.balance()[1]
    assert rig.balance()[0] == OPENING + added - spent - reserved
    # An attempt that was cut short may hold its text; everything else is at an end.
    assert (
        reserved
        == rig.rows(
            "SELECT COALESCE(sum(price_micros), 0) FROM messages WHERE outgoing"
            " AND status IN ('queued', 'held') AND sent_segments < segments"
        )[0][0]
    )
    states = dict(rig.rows("SELECT status, count(*) FROM messages GROUP BY status"))
    assert set(states) <= {"queued", "held", "sent", "delivered", "error", "canceled"}
    doubled = rig.rows("SELECT job_id, contact_id FROM messages GROUP BY 1, 2 HAVING count(*) > 1")
    assert doubled == []
