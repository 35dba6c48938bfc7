"""Invariant 5: however parallel, no balance goes below zero and each price is settled once."""

from __future__ import annotations

import copy
import dataclasses
import queue
import threading

import psycopg

from tests.invariants.books import find_wrongs
from tests.messaging_rig import PRICE_MICROS, Rig
from viesti.carriers.base import Verdict
from viesti.dispatch.texts import Text
from viesti.domain.accounts.service import top_up
from viesti.domain.messages.parked import release_suspended
from viesti.domain.messages.progress import advance
from viesti.kit.clock import utc_now
from viesti.kit.ids import new_id

SENDERS, EACH = 6, 20
FUNDED, TOPPED_UP = 80, 10  # texts


def test_the_ledger_is_the_balance_while_everybody_sends_answers_and_repeats(
    rig: Rig, dsn: str
) -> None:
    rig.run("UPDATE balances SET available_micros = %s", FUNDED * PRICE_MICROS)
    rig.run("UPDATE ledger SET amount_micros = %s", FUNDED * PRICE_MICROS)
    done = threading.Event()
    errors: list[BaseException] = []
    wrongs: list[str] = []
    looks = 0
    # Every answer and every receipt is told by both hands, at about the same moment.
    answers: list[queue.Queue[Text]] = [queue.Queue(), queue.Queue()]
    settled = [0, 0]

    def send(number: int) -> None:
        for n in range(EACH):
            rig.send_one(f"Text {n}", f"+1347555{number:02d}{n:02d}")

    def start() -> None:
        starter = dataclasses.replace(rig, me=new_id())
        while not done.is_set():
            for text in starter.read():
                if starter.start(text):
                    for hand in answers:
                        hand.put(copy.copy(text))

    def answer(hand: int) -> None:
        while not done.is_set():
            try:
                text = answers[hand].get(timeout=0.05)
            except queue.Empty:
                continue
            word = f"id-{text.message_id}"
            rig.answer([(text, 0, Verdict.ACCEPTED, word)])
            rig.receipt(word, source=text.mobile)
            settled[hand] += 1

    def give_credit() -> None:
        for _ in range(TOPPED_UP):
            with rig.pool.connection() as conn:
                top_up(conn, rig.account_id, PRICE_MICROS, now=utc_now())
                steps, _ = release_suspended(conn, rig.account_id, utc_now())
                advance(conn, steps)

    def audit() -> None:
        nonlocal looks
        with psycopg.connect(dsn, autocommit=True) as conn:
            while not done.is_set():
                wrongs.extend(find_wrongs(conn))
                looks += 1

    def guarded(work: object, *args: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*args)  # type: ignore[operator]
            except BaseException as error:  # noqa: BLE001
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    background = [guarded(start), guarded(answer, 0), guarded(answer, 1), guarded(audit)]
    for thread in [guarded(send, n) for n in range(SENDERS)]:
        thread.join()
    give_credit()
    wait = threading.Event()
    for _ in range(400):
        if errors or settled == [FUNDED + TOPPED_UP] * 2:
            break
        wait.wait(0.05)
    done.set()
    for thread in background:
        thread.join()

    assert errors == []
    assert wrongs == []
    assert looks > 5
    assert dict(rig.rows("SELECT status, count(*) FROM messages GROUP BY 1")) == {
        "delivered": FUNDED + TOPPED_UP,
        "suspended": SENDERS * EACH - FUNDED - TOPPED_UP,
    }
    assert rig.balance() == (0, 0)
    # Told twice, charged once; and one event of each kind.
    assert rig.rows("SELECT -sum(amount_micros)::bigint FROM ledger WHERE kind = 'sent'") == [
        ((FUNDED + TOPPED_UP) * PRICE_MICROS,)
    ]
    assert rig.events().count("message-sent") == FUNDED + TOPPED_UP
