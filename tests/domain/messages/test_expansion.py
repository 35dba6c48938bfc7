"""viesti/domain/messages/expansion: filters that match more than one call takes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import PRICE_MICROS, Rig
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages import expansion, matches, recipients
from viesti.domain.messages.control import pause_begun_jobs, resume_job
from viesti.domain.messages.expansion import JobRequest, create_job, find_work, work_on
from viesti.domain.messages.jobs import Job, job_counts
from viesti.domain.messages.models import AttributeFilter, FilterInput, SendAnswer, SendRequest
from viesti.kit.clock import utc_now
from viesti.kit.errors import NotFound
from viesti.kit.ids import bound_at, new_id

ALL = FilterInput(tags=["all"])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five recipients are many, and a piece reads three."""
    monkeypatch.setattr(recipients, "MAX_RECIPIENTS", 5)
    monkeypatch.setattr(expansion, "CHUNK", 3)


def add_contacts(rig: Rig, count: int, start: int = 0, tags: tuple[str, ...] = ("all",)) -> None:
    now = utc_now()
    with rig.pool.connection() as conn:
        for n in range(start, start + count):
            conn.execute(
                "INSERT INTO contacts (account_id, id, mobile, country, tags, attributes,"
                " created_at, updated_at) VALUES (%s, %s, %s, 'US', %s, %s, %s, %s)",
                (
                    rig.account_id,
                    new_id(),
                    f"+1347555{n:04}",
                    list(tags),
                    f'{{"n": {n}}}',
                    now,
                    now,
                ),
            )


def send(rig: Rig, now: datetime | None = None, **more: Any) -> SendAnswer:
    more.setdefault("filters", ALL)
    return rig._send(SendRequest(template="Hello {{n}}", **more), now)


def piece(rig: Rig, job_id: UUID, now: datetime | None = None) -> bool:
    with rig.pool.connection() as conn:
        return work_on(conn, rig.account_id, job_id, now or utc_now()).done


def work(rig: Rig, now: datetime | None = None) -> int:
    """Work until nothing is left; how many pieces that took."""
    pieces = 0
    while True:
        with rig.pool.connection() as conn:
            found = find_work(conn, now or utc_now())
        if not found:
            return pieces
        for account_id, job_id in found:
            with rig.pool.connection() as conn:
                assert work_on(conn, account_id, job_id, now or utc_now()).done
            pieces += 1


def job_of(rig: Rig, answer: SendAnswer) -> Job:
    with rig.pool.connection() as conn:
        return job_counts(conn, rig.account_id, UUID(answer.data["jobId"]))


def texts_per_contact(rig: Rig, answer: SendAnswer) -> set[int]:
    rows = rig.rows(
        "SELECT count(*) FROM messages WHERE job_id = %s GROUP BY contact_id",
        answer.data["jobId"],
    )
    return {row[0] for row in rows}


def test_a_filter_that_matches_few_is_answered_in_full(rig: Rig) -> None:
    add_contacts(rig, 5)
    answer = send(rig)
    assert (answer.data["requested"], len(answer.data["messages"])) == (5, 5)
    assert not answer.has_job
    assert work(rig) == 0


def test_a_filter_that_matches_many_becomes_a_job_that_texts_each_once(rig: Rig) -> None:
    add_contacts(rig, 8)
    answer = send(rig)
    assert answer.has_job
    assert {k: v for k, v in answer.data.items() if k != "jobId"} == {
        "requested": 0,
        "valid": 0,
        "invalid": [],
        "queued": 0,
        "estimatedPrice": 0,
        "messages": [],
    }
    assert job_of(rig, answer).status == "running"
    assert work(rig) == 3
    job = job_of(rig, answer)
    assert (job.requested, job.valid, job.invalid) == (8, 8, 0)
    assert job.price_micros == 8 * PRICE_MICROS
    assert job.by_status == {"queued": 8}
    assert texts_per_contact(rig, answer) == {1}
    assert len(set(rig.texts(outgoing=True))) == 8
    assert len(rig.read(priority=1)) == 8
    rig.check_books()


def test_a_whole_number_of_pieces_ends_too(rig: Rig) -> None:
    add_contacts(rig, 6)
    answer = send(rig)
    work(rig)
    assert job_of(rig, answer).requested == 6
    assert job_of(rig, answer).expanded


def test_filters_that_are_slow_to_look_up_become_a_job(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_contacts(rig, 4)
    monkeypatch.setattr(matches, "STRETCH", 2)

    def slow(conn: psycopg.Connection, *_: Any) -> list[UUID]:
        conn.execute("SELECT pg_sleep(5)")
        return []

    with monkeypatch.context() as patched:
        patched.setattr(recipients, "find_matches", slow)
        answer = send(rig)
    assert answer.has_job
    work(rig)
    assert job_of(rig, answer).requested == 4


def test_whom_the_call_names_beside_the_filters_gets_one_text_at_once(rig: Rig) -> None:
    add_contacts(rig, 8)
    answer = send(rig, contacts=[ContactInput(mobile="+13475550007")])
    assert (answer.data["requested"], answer.data["queued"]) == (1, 1)
    assert len(answer.data["messages"]) == 1
    work(rig)
    assert job_of(rig, answer).requested == 8
    assert texts_per_contact(rig, answer) == {1}
    rig.check_books()


def test_who_becomes_a_contact_later_is_not_meant(rig: Rig) -> None:
    add_contacts(rig, 8)
    # A moment ago, so that whom the test adds now comes later.
    answer = send(rig, utc_now() - timedelta(milliseconds=2))
    rig.run("UPDATE jobs SET contact_bound = %s", new_id())
    piece(rig, UUID(answer.data["jobId"]))
    add_contacts(rig, 4, start=100)
    work(rig)
    assert job_of(rig, answer).requested == 8


def test_a_contact_from_a_host_whose_clock_is_ahead_is_meant(rig: Rig) -> None:
    add_contacts(rig, 8)
    ahead = bound_at(utc_now() + timedelta(seconds=5))
    rig.run("UPDATE contacts SET id = %s WHERE mobile = '+13475550000'", ahead)
    answer = send(rig)
    work(rig)
    assert job_of(rig, answer).requested == 8


def test_who_opts_out_meanwhile_gets_no_text(rig: Rig) -> None:
    add_contacts(rig, 8)
    answer = send(rig)
    rig.text("STOP", source="+13475550006")
    work(rig)
    job = job_of(rig, answer)
    assert (job.requested, job.valid, job.invalid) == (8, 7, 1)
    assert (job.submitted, job.failed) == (7, 1)
    rig.check_books()


def test_a_chunk_that_fails_leaves_no_trace_and_is_done_again(rig: Rig) -> None:
    add_contacts(rig, 8)
    answer = send(rig)
    job_id = UUID(answer.data["jobId"])
    assert piece(rig, job_id)
    with rig.pool.connection() as conn:
        assert work_on(conn, rig.account_id, job_id, utc_now()).done
        conn.rollback()
    assert job_of(rig, answer).requested == 3
    work(rig)
    assert job_of(rig, answer).requested == 8
    assert texts_per_contact(rig, answer) == {1}


def test_a_contact_that_appears_between_two_looks_doubles_nobody(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matches, "STRETCH", 3)

    def store(place: int) -> None:
        rig.run(
            "INSERT INTO contacts (account_id, id, mobile, tags, created_at, updated_at)"
            " VALUES (%s, %s, %s, '{all}', now(), now())",
            rig.account_id,
            UUID(int=place),
            f"+1347555{place:04}",
        )

    class Slow:
        """A connection on which somebody else's contact is committed before the second look."""

        def __init__(self, conn: psycopg.Connection) -> None:
            self.conn = conn
            self.looks = 0

        def execute(self, *given: Any, **more: Any) -> Any:
            self.looks += 1
            if self.looks == 2:
                store(30)
            return self.conn.execute(*given, **more)

    for place in (10, 20, 40, 50, 60):
        store(place)
    with rig.pool.connection() as conn:
        slow: Any = Slow(conn)
        stretch = matches.next_stretch(slow, rig.account_id, ALL, None, matches.LAST, 5)
    assert stretch.ids == [UUID(int=place) for place in (10, 20, 40)]
    assert stretch.reached == UUID(int=40)


def test_one_account_with_many_jobs_leaves_room_for_the_others(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expansion, "MOST_JOBS", 3)
    monkeypatch.setattr(expansion, "MOST_JOBS_OF_ACCOUNT", 2)
    other, now = new_id(), utc_now()
    with rig.pool.connection() as conn:
        for n, account in enumerate((*[rig.account_id] * 4, other)):
            request = JobRequest("Hello", ALL, send_at=now + timedelta(seconds=n))
            create_job(conn, account, request, now)
        found = find_work(conn, now + timedelta(seconds=9))
    assert [account for account, _ in found] == [rig.account_id, rig.account_id, other]


def test_two_processes_never_work_on_one_job_at_once(rig: Rig) -> None:
    add_contacts(rig, 8)
    job_id = UUID(send(rig).data["jobId"])
    with rig.pool.connection() as conn:
        assert work_on(conn, rig.account_id, job_id, utc_now()).done
        assert not piece(rig, job_id)
    assert piece(rig, job_id)


def test_without_credit_the_rest_is_suspended_as_in_one_call(
    pool: ConnectionPool[psycopg.Connection],
) -> None:
    rig = Rig(pool).set_up(balance_micros=4 * PRICE_MICROS)
    add_contacts(rig, 8)
    answer = send(rig)
    work(rig)
    assert job_of(rig, answer).by_status == {"queued": 4, "suspended": 4}
    assert rig.balance() == (0, 4 * PRICE_MICROS)
    rig.check_books()


def test_a_later_filter_is_looked_up_when_its_time_comes(rig: Rig) -> None:
    now = utc_now()
    answer = send(rig, now, send_at=(now + timedelta(hours=1)).isoformat())
    assert answer.data["requested"] == 0
    assert work(rig, now) == 0
    assert job_of(rig, answer).status == "scheduled"
    add_contacts(rig, 4)
    assert work(rig, now + timedelta(hours=2)) == 2
    assert job_of(rig, answer).by_status == {"queued": 4}


def test_few_matches_among_many_contacts_are_found_piece_by_piece(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_contacts(rig, 9)
    clause = AttributeFilter(name="n", comparator=">", value=6)
    answer = send(rig, filters=FilterInput(attributes=[clause]), contacts=[])
    assert (answer.has_job, answer.data["requested"]) == (False, 2)
    rig.run("DELETE FROM recent_texts")
    monkeypatch.setattr(matches, "STRETCH", 2)
    monkeypatch.setattr(recipients, "MAX_RECIPIENTS", 1)
    answer = send(rig, filters=FilterInput(attributes=[clause]))
    assert work(rig) == 5
    assert job_of(rig, answer).requested == 2


@pytest.mark.parametrize("state", ["open", "resuming"])
def test_a_restored_backup_goes_on_with_no_job_by_itself(rig: Rig, state: str) -> None:
    add_contacts(rig, 8)
    begun = send(rig)
    later = send(rig, send_at=(utc_now() + timedelta(hours=1)).isoformat())
    piece(rig, UUID(begun.data["jobId"]))
    rig.run("UPDATE jobs SET state = %s WHERE id = %s", state, begun.data["jobId"])
    with rig.pool.connection() as conn:
        assert pause_begun_jobs(conn, utc_now()) == 1
    assert work(rig) == 0
    assert (job_of(rig, begun).status, job_of(rig, later).status) == ("paused", "scheduled")
    with rig.pool.connection() as conn:
        resume_job(conn, rig.account_id, UUID(begun.data["jobId"]), utc_now())
    work(rig)
    assert job_of(rig, begun).requested == 8


def test_a_disabled_account_sends_nothing(rig: Rig) -> None:
    add_contacts(rig, 8)
    answer = send(rig)
    rig.run("UPDATE accounts SET disabled_at = now()")
    with pytest.raises(NotFound):
        work(rig)
    assert job_of(rig, answer).by_status == {}


def test_attributes_narrow_a_job_too(rig: Rig) -> None:
    add_contacts(rig, 20)
    clause = AttributeFilter(name="n", comparator=">=", value=12)
    answer = send(rig, filters=FilterInput(attributes=[clause]))
    assert answer.has_job
    work(rig)
    assert job_of(rig, answer).requested == 8


@pytest.mark.parametrize(
    ("strategy", "open_", "closed", "valid"),
    [
        ("reuse", 8, 0, 8),
        ("new", 8, 5, 8),
        ("existing", 5, 0, 5),
    ],
)
def test_a_job_heeds_the_strategy(
    rig: Rig, strategy: str, open_: int, closed: int, valid: int
) -> None:
    add_contacts(rig, 5)
    send(rig)
    add_contacts(rig, 3, start=5)
    request = SendRequest(template="Again", filters=ALL, conversation_strategy=strategy)
    answer = rig._send(request)
    work(rig)
    counts = rig.rows(
        "SELECT count(*) FILTER (WHERE closed_at IS NULL), count(closed_at) FROM conversations"
    )
    assert counts == [(open_, closed)]
    assert (job_of(rig, answer).requested, job_of(rig, answer).valid) == (8, valid)
