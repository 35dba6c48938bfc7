"""A filter's job under fire: the ``work`` role is killed while it expands the job."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.flows.rig import until
from tests.messaging_rig import PRICE_MICROS, Rig
from viesti.domain.messages.models import FilterInput, SendRequest
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings, to_environment
from viesti.kit.ids import new_id

CONTACTS = 24_000
Spawn = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn(settings: Settings) -> Generator[Spawn]:
    running: list[subprocess.Popen[bytes]] = []

    def work() -> subprocess.Popen[bytes]:
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "viesti", "work"],
                env={**os.environ, **to_environment(settings)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return running[-1]

    yield work
    for process in running:
        process.kill()
        process.wait()


def add_contacts(rig: Rig) -> None:
    now = utc_now()
    with rig.pool.connection() as conn, conn.cursor() as cursor:
        columns = "account_id, id, mobile, country, tags, created_at, updated_at"
        with cursor.copy(f"COPY contacts ({columns}) FROM STDIN".encode()) as copy:
            for n in range(CONTACTS):
                mobile = f"+1212{2_000_000 + n}"
                copy.write_row((rig.account_id, new_id(), mobile, "US", ["all"], now, now))


@pytest.mark.kill
@pytest.mark.slow
def test_each_contact_gets_one_text_however_often_the_workers_are_killed(
    pool: ConnectionPool[psycopg.Connection], spawn: Spawn
) -> None:
    rig = Rig(pool).set_up(balance_micros=CONTACTS * PRICE_MICROS)
    rig.run("DELETE FROM webhooks")
    add_contacts(rig)
    request = SendRequest(template="Hello {{mobile}}", filters=FilterInput(tags=["all"]))
    assert rig._send(request).has_job

    def texts() -> int:
        return rig.rows("SELECT count(*) FROM messages")[0][0]

    workers = [spawn(), spawn()]
    for part in (1, 2):
        until(lambda part=part: texts() > part * CONTACTS / 4, "a part of the texts", 60)
        # Whichever is at it, and the other one.
        for worker in workers:
            worker.kill()
            worker.wait()
        assert texts() < CONTACTS
        workers = [spawn(), spawn()]
    until(lambda: rig.rows("SELECT 1 FROM jobs WHERE expanded"), "the end of the job", 60)
    per_contact = rig.rows(
        "SELECT DISTINCT n FROM (SELECT count(*) AS n FROM messages GROUP BY contact_id) AS c"
    )
    assert per_contact == [(1,)]
    assert texts() == CONTACTS
    job = rig.rows("SELECT requested, valid, invalid, queued, price_micros FROM jobs")
    assert job == [(CONTACTS, CONTACTS, 0, CONTACTS, CONTACTS * PRICE_MICROS)]
    assert rig.balance() == (0, CONTACTS * PRICE_MICROS)
    rig.check_books()
