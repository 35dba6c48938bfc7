"""Campaigns on a running platform: scenarios 7 and 13 of the product's acceptance list."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Generator
from typing import Any

import psutil
import psycopg
import pytest

from tests.flows.conftest import Platform, start_platform
from tests.flows.fire import NetworkLog
from tests.flows.rig import Account, Receiver, until
from viesti.db.embedded import Layout

PEOPLE = 5_000


@pytest.fixture
def two_workers() -> Generator[Platform]:
    """A platform of its own, with two work processes."""
    yield from start_platform(rate_limit_per_s=0, workers=2)


def kill_workers(platform: Platform) -> int:
    """SIGKILL every work process; how many there were."""
    killed = 0
    for child in psutil.Process(platform.process.pid).children():
        line = child.cmdline()
        if line and line[-1] == "work":
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
    return killed


def create(account: Account, **fields: Any) -> str:
    body = {"template": "Hi {{firstName}}", "filters": {"tags": ["all"]}, **fields}
    answer = account.call("POST", "campaigns", body)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["id"]


def act(account: Account, campaign: str, what: str) -> dict[str, Any]:
    answer = account.call("POST", f"campaigns/{campaign}/{what}")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def add_people(account: Account, count: int, first: int) -> list[str]:
    """Contacts whose numbers no other test on the platform uses."""
    numbers = [f"+1347{first + n}" for n in range(count)]
    body = [{"mobile": number, "firstName": "Ada", "tags": ["all"]} for number in numbers]
    answer = account.call("POST", "contacts", body)
    assert answer.status_code == 201, answer.text
    return numbers


@pytest.mark.kill
def test_each_recipient_gets_one_text_though_the_workers_are_killed_halfway(
    two_workers: Platform,
) -> None:
    platform = two_workers
    account = platform.account("--balance", "100000")
    numbers = add_people(account, PEOPLE, 5_560_000)
    campaign = create(account)
    log = NetworkLog(platform)
    dsn = Layout(platform.settings.data_dir.absolute()).dsn()
    job = act(account, campaign, "execute")["lastJob"]["id"]
    with psycopg.connect(dsn, autocommit=True) as conn:

        def halfway() -> bool:
            row = conn.execute("SELECT requested FROM jobs WHERE id = %s", (job,)).fetchone()
            return bool(row and row[0])

        until(halfway, "a first chunk")
        assert kill_workers(platform) == 2

        def complete() -> dict[str, Any] | None:
            log.read()
            last = account.get(f"campaigns/{campaign}")["lastJob"]
            return last if last["status"] == "complete" else None

        last = until(complete, "the end of the run", 120)
        rows = conn.execute("SELECT mobile FROM messages WHERE job_id = %s", (job,)).fetchall()
    assert sorted(row[0] for row in rows) == numbers
    assert last["submitted"] + last["failures"] == PEOPLE
    log.read()
    submitted = Counter(text.handset for text in log.taken.values())
    ours = {number: submitted[number] for number in numbers}
    assert set(ours.values()) == {1}
    (run,) = account.get(f"campaigns/{campaign}/runs")
    assert run["status"] == "complete"


def test_a_pause_stops_the_submits_within_seconds_and_a_resume_goes_on(
    platform: Platform,
) -> None:
    account = platform.account("--balance", "100000")
    numbers = add_people(account, PEOPLE, 5_570_000)
    campaign = create(account)
    act(account, campaign, "execute")
    log = NetworkLog(platform)

    def arrived() -> list[str]:
        log.read()
        return sorted(set(log.arrived) & set(numbers))

    until(lambda: len(arrived()) > 10, "first submits")
    assert act(account, campaign, "pause")["paused"]
    time.sleep(3)
    before = arrived()
    time.sleep(1.5)
    assert arrived() == before
    act(account, campaign, "resume")

    def complete() -> bool:
        log.read()
        return account.get(f"campaigns/{campaign}")["lastJob"]["status"] == "complete"

    until(complete, "the end of the run", 120)
    assert arrived() == numbers


def test_who_opts_out_before_a_queued_text_leaves_gets_none(
    platform: Platform, receiver: Receiver
) -> None:
    account = platform.account()
    staying, leaving = add_people(account, 2, 5_580_000)
    campaign = create(account)
    act(account, campaign, "execute")
    until(lambda: account.get(f"campaigns/{campaign}")["lastJob"]["submitted"] == 2, "a run")
    again = create(
        account,
        template="Once more, {{firstName}}",
        reporting={"when": "OnCompletion", "destination": receiver.url},
    )
    # Both are queued while they are held back; then one of them opts out.
    act(account, again, "execute")
    act(account, again, "pause")
    platform.handsets.reply(leaving, account.sender, "STOP")
    until(lambda: "blocked" in account.get(f"contacts?mobile={leaving[1:]}")[0], "an opt-out")
    act(account, again, "resume")
    until(
        lambda: account.get(f"campaigns/{again}")["lastJob"]["status"] == "complete",
        "the end of the run",
    )
    job = account.get(f"campaigns/{again}")["lastJob"]
    assert (job["submitted"], job["failures"]) == (1, 1)
    assert "Once more, Ada" in platform.handsets.texts(staying)
    assert "Once more, Ada" not in platform.handsets.texts(leaving)
    texts = account.get(f"messages?jobId={job['id']}")
    assert {t["error"]["code"] for t in texts if t["status"] == "error"} == {"CONT-010"}
    (report,) = until(lambda: receiver.of("campaign-report"), "the run's report")
    assert (report["run"]["submitted"], report["run"]["failures"]) == (1, 1)
