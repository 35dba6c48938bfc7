"""``viesti jobs``: how far a sending call has come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.messaging_rig import Rig
from viesti.carriers.base import Verdict
from viesti.commands import jobs
from viesti.commands.jobs import Follower
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages import recipients
from viesti.domain.messages.control import cancel_job
from viesti.domain.messages.expansion import work_on
from viesti.domain.messages.models import FilterInput, SendRequest
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.errors import NotFound
from viesti.kit.ids import new_id

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def rig(pool: ConnectionPool[psycopg.Connection]) -> Rig:
    return Rig(pool).set_up()


@pytest.fixture
def start(settings: Settings) -> Start:
    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "viesti", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **to_environment(settings)},
        )

    return start


def bulk(rig: Rig, count: int) -> UUID:
    numbers = [f"+1347555{number:04d}" for number in range(count)]
    request = SendRequest(contacts=[ContactInput(mobile=n) for n in numbers], template="Hello")
    return UUID(rig._send(request).data["jobId"])


def submit_all(rig: Rig) -> int:
    """Have the carrier take what is due."""
    texts = rig.read(0) + rig.read(1)
    for number, text in enumerate(texts):
        assert rig.start(text)
        rig.answer([(text, 0, Verdict.ACCEPTED, f"id-{number}")])
    return len(texts)


def confirm_all(rig: Rig) -> None:
    for carrier_id, mobile in rig.rows("SELECT carrier_message_id, mobile FROM message_segments"):
        rig.receipt(carrier_id, source=mobile)


def one_object(process: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert stdout.count("\n") == 1
    return json.loads(stdout)


def test_a_job_is_found_without_naming_its_account(rig: Rig, start: Start) -> None:
    job = bulk(rig, 3)
    shown = one_object(start("jobs", "show", str(job), "--json"))
    assert (shown["id"], shown["queued"], shown["held"], shown["status"]) == (
        str(job),
        3,
        0,
        "running",
    )
    account = ("--account", str(rig.account_id))
    assert one_object(start("jobs", "show", str(job), *account, "--json")) == shown


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("jobs", "show", "nothing"), "GEN-400"),
        (("jobs", "watch", "01954f2a-0000-7000-8000-000000000001"), "JOB-001"),
    ],
)
def test_a_job_that_does_not_exist_is_refused(
    rig: Rig, start: Start, words: tuple[str, ...], code: str
) -> None:
    _, stderr = (process := start(*words, "--json")).communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(stderr)["error"]["code"] == code


def test_another_accounts_job_is_not_found(rig: Rig, conn: psycopg.Connection) -> None:
    job = bulk(rig, 1)
    with pytest.raises(NotFound):
        Follower(conn, new_id(), job).look()


def test_a_job_is_paused_resumed_and_canceled(rig: Rig, start: Start) -> None:
    job = bulk(rig, 5)
    assert one_object(start("jobs", "pause", str(job), "--json"))["status"] == "paused"
    assert rig.read(1) == []
    resumed = one_object(start("jobs", "resume", str(job), "--json"))
    assert (resumed["status"], len(rig.read(1))) == ("running", 5)
    canceled = one_object(start("jobs", "cancel", str(job), "--json"))
    assert (canceled["status"], canceled["failed"]) == ("canceled", 5)
    _, stderr = (again := start("jobs", "resume", str(job), "--json")).communicate(timeout=60)
    assert again.returncode == 1
    assert json.loads(stderr)["error"]["code"] == "JOB-002"


def test_a_watch_ends_when_every_receipt_is_in(rig: Rig, start: Start) -> None:
    job = bulk(rig, 3)
    watch = start("jobs", "watch", str(job))
    assert watch.stdout is not None
    assert watch.stdout.readline() == "waiting 3   sent 0   delivered 0   failed 0\n"
    assert submit_all(rig) == 3
    assert watch.stdout.readline().startswith("waiting ")
    confirm_all(rig)
    stdout, stderr = watch.communicate(timeout=60)
    assert stdout.splitlines()[-1] == "waiting 0   sent 0   delivered 3   failed 0"
    assert watch.returncode == 0
    assert stderr == ""


def test_a_watch_does_not_wait_for_receipts_that_never_come(
    rig: Rig, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bulk(rig, 2)
    follow = Follower(conn, rig.account_id, job)
    monkeypatch.setattr(jobs, "QUIET_S", 0.0)
    assert not follow.is_over(follow.look())  # nothing changes, yet texts wait to leave
    submit_all(rig)
    look = follow.look()
    assert (look.waiting, look.ended, look.total) == (0, 0, 2)
    assert follow.is_over(look)
    monkeypatch.setattr(jobs, "QUIET_S", 60.0)
    assert not follow.is_over(look)


def test_a_watch_goes_on_while_recipients_are_still_read(
    rig: Rig, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.send("First", "+13475550000")  # a contact
    monkeypatch.setattr(recipients, "MAX_RECIPIENTS", 0)
    filters = FilterInput(mobile="3475550000")
    answer = rig._send(SendRequest(template="Hello", filters=filters))
    job = UUID(answer.data["jobId"])
    watch = start("jobs", "watch", str(job))
    assert watch.stdout is not None
    assert watch.stdout.readline() == "waiting 0   sent 0   delivered 0   failed 0   more to come\n"
    with rig.pool.connection() as conn:
        assert work_on(conn, rig.account_id, job, utc_now()).done
    assert watch.stdout.readline() == "waiting 1   sent 0   delivered 0   failed 0\n"
    with rig.pool.connection() as conn:
        cancel_job(conn, rig.account_id, job, utc_now())
    stdout, stderr = watch.communicate(timeout=60)
    assert stdout.splitlines()[-1] == "waiting 0   sent 0   delivered 0   failed 1   canceled"
    assert watch.returncode == 0
    assert stderr == ""


def test_a_look_says_how_fast_it_goes(rig: Rig, conn: psycopg.Connection) -> None:
    job = bulk(rig, 4)
    follow = Follower(conn, rig.account_id, job)
    assert follow.look().left_per_s == 0
    submit_all(rig)
    confirm_all(rig)
    look = follow.look()
    assert look.left_per_s > 0
    assert look.delivered_per_s == look.left_per_s
    assert look.ended == 4
