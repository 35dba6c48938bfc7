"""viesti/domain/messages: canceling texts and jobs, pausing and resuming, and sendAt."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import PRICE_MICROS, Rig
from viesti.carriers.base import Verdict
from viesti.domain.accounts.service import top_up
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages import control
from viesti.domain.messages.cancel import cancel_message
from viesti.domain.messages.control import cancel_job, pause_job, resume_job
from viesti.domain.messages.credit import release_credited
from viesti.domain.messages.expansion import find_work, work_on
from viesti.domain.messages.expiry import expire_waiting
from viesti.domain.messages.jobs import Job, job_counts, list_jobs
from viesti.domain.messages.models import SendRequest
from viesti.domain.messages.schedule import read_send_at
from viesti.kit.clock import utc_now
from viesti.kit.errors import Conflict, Invalid, NotFound

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def bulk(rig: Rig, count: int, send_at: datetime | None = None, text: str = "Hello") -> UUID:
    numbers = [f"+1347555{number:04d}" for number in range(count)]
    request = SendRequest(
        contacts=[ContactInput(mobile=n) for n in numbers],
        template=text,
        send_at=send_at.isoformat() if send_at else None,
    )
    return UUID(rig._send(request).data["jobId"])


def cancel(rig: Rig, message_id: UUID | str) -> None:
    with rig.pool.connection() as conn:
        cancel_message(conn, rig.account_id, str(message_id))


def turn(rig: Rig, act: object, job_id: UUID) -> None:
    with rig.pool.connection() as conn:
        act(conn, rig.account_id, job_id, utc_now())  # type: ignore[operator]
    while True:
        with rig.pool.connection() as conn:
            found = find_work(conn, utc_now())
        if not found:
            return
        with rig.pool.connection() as conn:
            assert work_on(conn, *found[0], utc_now()).done


def job(rig: Rig, job_id: UUID) -> Job:
    with rig.pool.connection() as conn:
        return job_counts(conn, rig.account_id, job_id)


def leave(rig: Rig) -> int:
    """Have the carrier take what is due; how many texts that were."""
    texts = rig.read(0) + rig.read(1)
    for text in texts:
        assert rig.start(text)
        rig.answer([(text, 0, Verdict.ACCEPTED, str(text.message_id))])
    return len(texts)


# One text


def test_a_waiting_text_is_canceled_and_its_price_comes_back_once(rig: Rig) -> None:
    message = rig.send_one()
    cancel(rig, message)
    assert rig.status(message) == ("canceled", None)
    assert rig.balance() == (10_000_000, 0)
    assert rig.read() == []
    assert rig.events()[-1] == "message-status"
    cancel(rig, message)
    assert rig.balance() == (10_000_000, 0)
    assert rig.rows("SELECT price_micros FROM messages") == [(0,)]
    rig.check_books()


def test_a_suspended_text_is_canceled_and_no_top_up_sends_it(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    rig = Rig(pool).set_up(balance_micros=0)
    message = rig.send_one()
    cancel(rig, message)
    assert rig.status(message) == ("canceled", None)
    with pool.connection() as conn:
        top_up(conn, rig.account_id, 1_000_000, now=utc_now())
        assert release_credited(conn, rig.account_id, utc_now()).messages == 0
    assert rig.balance() == (1_000_000, 0)
    rig.check_books()


def test_a_text_that_has_begun_to_leave_is_not_canceled(rig: Rig) -> None:
    message = rig.send_one()
    (text,) = rig.read()
    assert rig.start(text)
    with pytest.raises(Conflict) as refused:
        cancel(rig, message)
    assert refused.value.code == "MSG-100"
    rig.answer([(text, 0, Verdict.ACCEPTED, "id")])
    with pytest.raises(Conflict):
        cancel(rig, message)
    assert rig.status(message) == ("sent", None)
    rig.check_books()


def test_a_text_that_a_dispatcher_read_before_it_was_canceled_does_not_start(rig: Rig) -> None:
    message = rig.send_one()
    (text,) = rig.read()
    cancel(rig, message)
    assert not rig.start(text)
    assert rig.status(message) == ("canceled", None)


@pytest.mark.parametrize("message", ["x", "01954f2a-1c00-7000-8000-0000000000ff"])
def test_what_does_not_exist_is_not_canceled(rig: Rig, message: str) -> None:
    with pytest.raises(NotFound):
        cancel(rig, message)


def test_of_cancellations_and_a_start_at_once_one_happens(rig: Rig) -> None:
    for round_ in range(8):
        message = rig.send_one(f"Text {round_}")
        (text,) = rig.read()
        barrier = threading.Barrier(3)
        outcomes: list[str] = []

        def take_back(
            message: UUID = message,
            barrier: threading.Barrier = barrier,
            outcomes: list[str] = outcomes,
        ) -> None:
            barrier.wait()
            try:
                cancel(rig, message)
                outcomes.append("canceled")
            except Conflict:
                outcomes.append("late")

        threads = [threading.Thread(target=take_back) for _ in range(2)]
        for thread in threads:
            thread.start()
        barrier.wait()
        started = rig.start(text)
        for thread in threads:
            thread.join()
        assert set(outcomes) == ({"late"} if started else {"canceled"})
        if started:
            rig.answer([(text, 0, Verdict.ACCEPTED, f"id-{round_}")])
        rig.check_books()


# Jobs


def test_a_canceled_job_cancels_what_has_not_begun_to_leave(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "AT_ONCE", 2)
    job_id = bulk(rig, 7)
    texts = rig.read(1)
    assert rig.start(texts[0])
    rig.answer([(texts[0], 0, Verdict.ACCEPTED, "id-0")])
    assert rig.start(texts[1])
    turn(rig, cancel_job, job_id)
    found = job(rig, job_id)
    assert found.status == "canceled"
    assert found.by_status == {"sent": 1, "queued": 1, "canceled": 5}
    rig.answer([(texts[1], 0, Verdict.ACCEPTED, "id-1")])
    assert rig.balance() == (10_000_000 - 2 * PRICE_MICROS, 0)
    turn(rig, cancel_job, job_id)
    rig.check_books()
    with pytest.raises(Conflict):
        turn(rig, resume_job, job_id)


def test_a_paused_job_starts_nothing_and_goes_on_where_it_stopped(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "AT_ONCE", 2)
    job_id = bulk(rig, 5)
    read_before = rig.read(1)
    turn(rig, pause_job, job_id)
    assert job(rig, job_id).status == "paused"
    assert not any(rig.start(text) for text in read_before)
    assert rig.read(1) == []
    assert rig.balance() == (10_000_000 - 5 * PRICE_MICROS, 5 * PRICE_MICROS)
    with rig.pool.connection() as conn:
        expire_waiting(conn, utc_now() + timedelta(days=365))
    rig.check_books()
    turn(rig, pause_job, job_id)
    turn(rig, resume_job, job_id)
    assert job(rig, job_id).status == "running"
    assert leave(rig) == 5
    assert job(rig, job_id).by_status == {"sent": 5}
    rig.check_books()


def test_an_opt_out_and_a_cancellation_reach_paused_texts(rig: Rig) -> None:
    job_id = bulk(rig, 3)
    turn(rig, pause_job, job_id)
    rig.text("STOP", source="+13475550001")
    assert job(rig, job_id).by_status == {"queued": 2, "error": 1}
    turn(rig, cancel_job, job_id)
    assert job(rig, job_id).by_status == {"canceled": 2, "error": 1}
    rig.check_books()


def test_credit_does_not_resume_a_paused_job(pool: ConnectionPool[psycopg.Connection]) -> None:
    rig = Rig(pool).set_up(balance_micros=PRICE_MICROS)
    job_id = bulk(rig, 3)
    turn(rig, pause_job, job_id)
    with pool.connection() as conn:
        top_up(conn, rig.account_id, 1_000_000, now=utc_now())
        assert release_credited(conn, rig.account_id, utc_now()).messages == 0
    turn(rig, resume_job, job_id)
    assert job(rig, job_id).by_status == {"queued": 1, "suspended": 2}
    with pool.connection() as conn:
        assert release_credited(conn, rig.account_id, utc_now()).messages == 2
    assert leave(rig) == 3
    rig.check_books()


@pytest.mark.parametrize(("act", "left"), [(pause_job, "queued"), (cancel_job, "canceled")])
def test_credit_at_the_same_moment_frees_no_text_of_a_job_that_stops(
    pool: ConnectionPool[psycopg.Connection], act: Any, left: str
) -> None:
    rig = Rig(pool).set_up(balance_micros=PRICE_MICROS)
    job_id = bulk(rig, 3)
    with pool.connection() as conn:
        top_up(conn, rig.account_id, 1_000_000, now=utc_now())
    stopping = threading.Thread(target=turn, args=(rig, act, job_id))
    with pool.connection() as conn:
        assert release_credited(conn, rig.account_id, utc_now()).messages == 2
        stopping.start()
        _wait_for_a_lock(rig)
    stopping.join()
    assert job(rig, job_id).by_status == {left: 3}
    assert leave(rig) == 0
    rig.check_books()


def _wait_for_a_lock(rig: Rig) -> None:
    deadline_s = time.monotonic() + 20
    while not rig.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_job_of_another_account_does_not_exist(
    rig: Rig, pool: ConnectionPool[psycopg.Connection]
) -> None:
    job_id = bulk(rig, 2)
    other = Rig(pool).set_up("+12015550100")
    for act in (pause_job, resume_job, cancel_job):
        with pytest.raises(NotFound):
            turn(other, act, job_id)


def test_the_list_tells_which_jobs_still_wait(rig: Rig) -> None:
    first = bulk(rig, 3, text="One")
    second = bulk(rig, 2, text="Two")
    turn(rig, cancel_job, first)
    third = rig.send("Three")
    with rig.pool.connection() as conn:
        page = list_jobs(conn, rig.account_id, 0, 25)
    assert [found.id for found in page.jobs] == [UUID(third.data["jobId"]), second, first]
    assert page.waits == {UUID(third.data["jobId"]), second}
    leave(rig)
    with rig.pool.connection() as conn:
        page = list_jobs(conn, rig.account_id, 1, 1)
    assert ([found.id for found in page.jobs], page.waits, page.total_count) == ([second], set(), 3)


# A later time


def test_a_text_for_later_waits_for_its_time_and_then_goes(rig: Rig) -> None:
    at = utc_now() + timedelta(hours=2)
    job_id = bulk(rig, 2, send_at=at)
    assert job(rig, job_id).by_status == {"scheduled": 2}
    assert rig.read(1) == []
    assert rig.balance()[1] == 2 * PRICE_MICROS
    rig.run("UPDATE dispatch_queue SET not_before = now()")
    assert leave(rig) == 2
    rig.check_books()


def test_a_paused_text_for_later_keeps_its_time(rig: Rig) -> None:
    at = utc_now() + timedelta(hours=2)
    job_id = bulk(rig, 1, send_at=at)
    turn(rig, pause_job, job_id)
    turn(rig, resume_job, job_id)
    assert rig.rows("SELECT not_before FROM dispatch_queue") == [(at,)]


def test_a_text_for_later_without_credit_waits_until_after_its_time(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    rig = Rig(pool).set_up(balance_micros=0)
    at = utc_now() + timedelta(days=30)
    job_id = bulk(rig, 1, send_at=at)
    with pool.connection() as conn:
        expire_waiting(conn, at + timedelta(hours=71))
    assert job(rig, job_id).by_status == {"suspended": 1}
    with pool.connection() as conn:
        expire_waiting(conn, at + timedelta(hours=73))
    assert job(rig, job_id).by_status == {"error": 1}


def test_quiet_hours_hold_what_would_leave_at_night(rig: Rig) -> None:
    rig.run("UPDATE accounts SET quiet_hours = true")
    night = (utc_now() + timedelta(days=2)).replace(hour=7, minute=0)  # 2 or 3 in New York
    bulk(rig, 2, send_at=night)
    rows = rig.rows("SELECT DISTINCT send_at > %s FROM messages", night)
    assert rows == [(True,)]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("", None),
        ("2026-11-24T11:56:00Z", None),  # a clock that is behind
        ("2026-11-24T14:00:00.000Z", NOON + timedelta(hours=2)),
        ("2026-11-24T09:00:00-05:00", NOON + timedelta(hours=2)),
        ("20261124T140000Z", NOON + timedelta(hours=2)),
    ],
)
def test_send_at_is_read(text: str | None, moment: datetime | None) -> None:
    assert read_send_at(text, NOON) == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T11:54:00Z",
        "2027-11-26T12:00:00Z",
        "2026-11-24T14:00:00",
        "2026-11-24",
        "tomorrow",
        "0001-01-01T00:00:00+23:00",
        "9999-12-31T23:59:59-23:00",
        "1790000000",
        "\u0662026-11-24T14:00:00Z",
    ],
)
def test_a_send_at_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_send_at(text, NOON)
