"""Runs: started once, paused and resumed without loss, canceled with the money given back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.domain.campaigns.rig import LATE, CampaignRig
from tests.flows.rig import until
from tests.messaging_rig import PRICE_MICROS
from viesti.carriers.base import Verdict
from viesti.domain.campaigns.launch import launch
from viesti.domain.campaigns.models import Campaign, RunState
from viesti.domain.campaigns.service import delete_campaign
from viesti.domain.campaigns.views import last_job_view, status_of
from viesti.domain.campaigns.work import pass_over
from viesti.housekeeping.retention import forget_campaigns
from viesti.kit.errors import ViestiError

NEW_YORK = "America/New_York"
MINUTE = timedelta(minutes=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def every_morning(rig: CampaignRig, **more: object) -> Campaign:
    return rig.create(
        trigger={"code": "S"}, schedule={"timezone": NEW_YORK, "cron": "0 9 * * *"}, **more
    )


def test_a_run_texts_everybody_whom_the_filter_matches_once(rig: CampaignRig) -> None:
    numbers = rig.people(30)
    rig.people(2, tag="other", first=100)
    campaign = rig.create(filters={"tags": ["all"]})
    rig.execute(campaign)
    rig.work()
    assert sorted(rig.sent_to()) == sorted(numbers)
    rig.work(rig.now + MINUTE)
    (run,) = rig.runs_of(campaign)
    job = last_job_view(run)
    assert (job["submitted"], job["failures"], run.requested) == (30, 0, 30)
    assert rig.texts(outgoing=True)[0] == "Hi Name0"


def test_each_morning_has_one_run_whatever_the_clocks_do(rig: CampaignRig) -> None:
    rig.now = utc(2026, 10, 30, 20)
    rig.people(1)
    campaign = every_morning(rig)
    assert campaign.next_run_at == utc(2026, 10, 31, 13)
    moment = utc(2026, 10, 31, 12, 59)
    while moment < utc(2026, 11, 2, 13):
        rig.work(moment)
        moment += 20 * MINUTE
    assert [run.due_at for run in rig.runs_of(campaign)] == [
        utc(2026, 10, 31, 13),
        utc(2026, 11, 1, 14),
    ]


def test_many_processes_that_find_a_campaign_due_start_it_once(rig: CampaignRig) -> None:
    rig.now = utc(2026, 5, 1, 0)
    rig.people(1)
    campaign = every_morning(rig)
    due = utc(2026, 5, 1, 13)

    def look(_: int) -> bool:
        with rig.pool.connection() as conn:
            return launch(conn, rig.account_id, campaign.id, due, LATE)

    with ThreadPoolExecutor(6) as threads:
        started = list(threads.map(look, range(24)))
    assert started.count(True) == 1
    assert len(rig.runs_of(campaign)) == 1


def test_a_killed_start_leaves_nothing_and_is_made_again(rig: CampaignRig) -> None:
    rig.now = utc(2026, 5, 1, 0)
    rig.people(1)
    campaign = every_morning(rig)
    due = utc(2026, 5, 1, 13)
    with rig.pool.connection() as conn:
        assert launch(conn, rig.account_id, campaign.id, due, LATE)
        conn.rollback()  # as the database does when the process is gone
    assert rig.runs_of(campaign) == []
    rig.work(due)
    assert len(rig.runs_of(campaign)) == 1
    assert len(rig.sent_to()) == 1


def test_a_time_missed_by_less_than_an_hour_is_made_up_for_once(rig: CampaignRig) -> None:
    rig.now = utc(2026, 5, 1, 0)
    rig.people(1)
    campaign = every_morning(rig)
    rig.work(utc(2026, 5, 1, 13, 59))
    rig.work(utc(2026, 5, 1, 14, 30))
    (run,) = rig.runs_of(campaign)
    assert (run.due_at, run.missed) == (utc(2026, 5, 1, 13), 0)
    assert rig.sent_to() != []


def test_a_time_missed_by_an_hour_is_shown_as_missed(rig: CampaignRig) -> None:
    rig.now = utc(2026, 5, 1, 0)
    rig.people(1)
    campaign = every_morning(rig)
    rig.work(utc(2026, 5, 3, 14))
    (run,) = rig.runs_of(campaign)
    assert (run.state, run.missed, run.due_at) == (RunState.MISSED, 3, utc(2026, 5, 1, 13))
    assert rig.fetch(campaign).next_run_at == utc(2026, 5, 4, 13)
    assert rig.sent_to() == []


def test_a_single_run_comes_once_and_leaves_no_next_time(rig: CampaignRig) -> None:
    rig.now = utc(2026, 5, 1, 0)
    rig.people(2)
    campaign = rig.create(
        trigger={"code": "S"},
        schedule={"frequency": "OD", "timezone": NEW_YORK},
        nextExecution="2026-05-01T09:00:00",
    )
    assert campaign.next_run_at == utc(2026, 5, 1, 13)
    rig.work(utc(2026, 5, 1, 12, 59))
    assert rig.sent_to() == []
    rig.work(utc(2026, 5, 1, 13))
    rig.work(utc(2026, 5, 2, 13))
    assert len(rig.sent_to()) == 2
    assert rig.fetch(campaign).next_run_at is None


def test_a_second_run_by_hand_waits_for_the_first(rig: CampaignRig) -> None:
    rig.people(1)
    campaign = rig.create()
    rig.execute(campaign)
    with pytest.raises(ViestiError) as refused:
        rig.execute(campaign)
    assert refused.value.code == "CAMP-005"


def test_a_pause_holds_texts_that_are_queued_and_a_resume_lets_them_go(rig: CampaignRig) -> None:
    rig.people(5)
    campaign = rig.create()
    rig.execute(campaign)
    rig.work()
    waiting = rig.read(priority=1)
    assert len(waiting) == 5
    assert rig.start(waiting[0])  # one is on the wire already
    rig.act("pause", campaign)
    assert rig.read(priority=1) == [] or {t.message_id for t in rig.read(priority=1)} == {
        waiting[0].message_id
    }
    # What a dispatcher holds in its memory may not start either.
    assert not rig.start(waiting[1])
    assert status_of(rig.runs_of(campaign)[0]) == "paused"
    rig.answer([(waiting[0], 0, Verdict.ACCEPTED, "a")])
    rig.act("resume", campaign)
    rig.work()
    again = rig.read(priority=1)
    assert {t.message_id for t in again} == {t.message_id for t in waiting[1:]}
    for n, text in enumerate(again):
        assert rig.start(text)
        rig.answer([(text, 0, Verdict.ACCEPTED, f"b{n}")])
    rig.now += MINUTE
    rig.work()
    (run,) = rig.runs_of(campaign)
    assert (run.state, run.counts) == (RunState.COMPLETE, {"sent": 5})
    rig.check_books()


def test_a_paused_schedule_starts_nothing_until_it_is_resumed(rig: CampaignRig) -> None:
    rig.now = utc(2026, 5, 1, 0)
    rig.people(1)
    campaign = every_morning(rig)
    rig.act("pause", campaign)
    rig.work(utc(2026, 5, 1, 13))
    assert rig.runs_of(campaign) == []
    rig.now = utc(2026, 5, 1, 13, 30)
    rig.act("resume", campaign)
    rig.work()
    assert [run.due_at for run in rig.runs_of(campaign)] == [utc(2026, 5, 1, 13)]


def test_a_cancel_ends_what_waits_and_releases_its_price_once(rig: CampaignRig) -> None:
    rig.people(4)
    available, _ = rig.balance()
    campaign = rig.create()
    rig.execute(campaign)
    rig.work()
    gone = rig.read(priority=1)[0]
    assert rig.start(gone)
    rig.answer([(gone, 0, Verdict.ACCEPTED, "a")])
    rig.act("pause", campaign)
    rig.act("cancel", campaign)
    rig.work()
    assert rig.statuses() == {"sent": 1, "canceled": 3}
    assert rig.balance() == (available - PRICE_MICROS, 0)
    rig.check_books()
    (run,) = rig.runs_of(campaign)
    assert run.state is RunState.CANCELED
    job = last_job_view(run)
    assert (job["submitted"], job["failures"]) == (1, 3)
    with pytest.raises(ViestiError) as refused:
        rig.act("cancel", campaign)
    assert refused.value.code == "CAMP-005"
    rig.now += MINUTE
    rig.execute(campaign)


def test_a_stop_before_a_queued_text_leaves_ends_it_even_while_paused(rig: CampaignRig) -> None:
    (number, _other) = rig.people(2)
    campaign = rig.create()
    rig.execute(campaign)
    rig.work()
    rig.act("pause", campaign)
    rig.text("STOP", source=number)
    rig.act("resume", campaign)
    rig.work()
    assert [text.mobile for text in rig.read(priority=1)] == [_other]
    codes = rig.rows(
        "SELECT error_code, price_micros FROM messages WHERE account_id = %s AND mobile = %s"
        " AND outgoing AND kind = 'text'",
        rig.account_id,
        number,
    )
    assert codes == [("CONT-010", 0)]
    rig.check_books()


def test_a_run_that_cannot_start_is_shown_with_its_code(rig: CampaignRig) -> None:
    rig.now = utc(2026, 5, 1, 0)
    campaign = every_morning(rig, template="")
    rig.work(utc(2026, 5, 1, 13))
    (run,) = rig.runs_of(campaign)
    assert (run.state, run.error_code) == (RunState.FAILED, "CAMP-004")
    assert rig.fetch(campaign).next_run_at == utc(2026, 5, 2, 13)


@pytest.mark.parametrize("group", ["nobody's", "01954f2a-1c00-7000-8000-0000000000ff"])
def test_a_group_that_is_none_starts_no_run_that_would_never_end(
    rig: CampaignRig, group: str
) -> None:
    rig.now = utc(2026, 5, 1, 0)
    rig.people(1)
    wrong = {"phoneNumberFilter": {"group": {"id": group}}}
    with pytest.raises(ViestiError) as refused:
        rig.execute(rig.create(**wrong))
    assert refused.value.code == "GRP-001"
    campaign = every_morning(rig, **wrong)
    rig.work(utc(2026, 5, 1, 13))
    (run,) = rig.runs_of(campaign)
    assert (run.state, run.error_code) == (RunState.FAILED, "GRP-001")
    file = rig.create(trigger={"code": "FU"}, filters={}, **wrong)
    with pytest.raises(ViestiError) as refused:
        rig.upload(file, "mobile\n+13475550001\n")
    assert refused.value.code == "GRP-001"
    rig.update(campaign, phoneNumberFilter={"group": {"id": str(rig.account_id)}})
    rig.work(utc(2026, 5, 2, 13))
    assert len(rig.sent_to()) == 1


def test_a_first_time_in_a_gap_comes_at_its_end_as_every_later_one(rig: CampaignRig) -> None:
    rig.now = utc(2026, 3, 7, 12)
    campaign = rig.create(
        trigger={"code": "S"},
        schedule={"frequency": "OD", "timezone": NEW_YORK},
        nextExecution="2026-03-08T02:10:00",
    )
    assert campaign.next_run_at == utc(2026, 3, 8, 7)


def test_a_cancel_of_several_runs_waits_for_no_job_while_it_holds_the_balance(
    rig: CampaignRig,
) -> None:
    # Who makes the texts of a job locks the job first and the balance last.
    rig.now = utc(2026, 5, 1, 0)
    rig.people(3)
    campaign = every_morning(rig)
    rig.work(utc(2026, 5, 1, 13))
    rig.work(utc(2026, 5, 2, 13))
    second = rig.runs_of(campaign)[1]
    with rig.pool.connection() as maker, ThreadPoolExecutor(1) as thread:
        maker.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (second.job_id,))
        canceling = thread.submit(rig.act, "cancel", campaign)
        until(lambda: rig.rows("SELECT 1 FROM pg_locks WHERE NOT granted"), "a wait for the job")
        maker.execute("SELECT 1 FROM balances FOR UPDATE NOWAIT")
        maker.commit()
        canceling.result()
    rig.work()
    assert rig.statuses() == {"canceled": 6}
    rig.check_books()


def test_a_restored_backup_makes_up_for_no_time_and_reads_no_file_by_itself(
    rig: CampaignRig,
) -> None:
    # The texts of both may have left after the backup was made.
    rig.now = utc(2026, 5, 1, 0)
    rig.people(1)
    campaign = every_morning(rig)
    file = rig.create(trigger={"code": "FU"}, filters={}, template="Hi")
    rig.upload(file, "mobile\n+13475550001\n")
    rig.now = utc(2026, 5, 1, 13, 20)
    with rig.pool.connection() as conn:
        pass_over(conn, rig.now)
    rig.work()
    assert rig.sent_to() == []
    (run,) = rig.runs_of(campaign)
    assert (run.state, rig.fetch(campaign).next_run_at) == (RunState.MISSED, utc(2026, 5, 2, 13))
    assert status_of(rig.runs_of(file)[0]) == "paused"
    rig.act("resume", file)
    rig.work(utc(2026, 5, 2, 13))
    assert len(rig.sent_to()) == 2


def test_filters_that_cannot_be_read_any_more_fail_the_run_and_no_other(rig: CampaignRig) -> None:
    rig.now = utc(2026, 5, 1, 0)
    rig.people(1)
    bad, good = every_morning(rig), every_morning(rig)
    clause = '{"attributes": [{"attribute": "x", "comparator": "~", "value": "1"}]}'
    rig.run("UPDATE campaigns SET filters = %s::jsonb WHERE id = %s", clause, bad.id)
    rig.work(utc(2026, 5, 1, 13))
    (failed,) = rig.runs_of(bad)
    assert (failed.state, failed.error_code, failed.job_id) == (RunState.FAILED, "GEN-400", None)
    (run,) = rig.runs_of(good)
    assert run.job_id is not None


def test_editing_a_text_moves_no_time_and_editing_the_schedule_does(rig: CampaignRig) -> None:
    rig.now = utc(2026, 3, 7, 12)
    campaign = rig.create(
        trigger={"code": "S"},
        schedule={"frequency": "D", "timezone": NEW_YORK},
        nextExecution="2026-03-07T02:30:00-05:00",
    )
    # The gap of 8 March shifts one run; putting back what was read keeps half past two.
    assert campaign.next_run_at == utc(2026, 3, 8, 7)
    again = rig.update(campaign, nextExecution="2026-03-08T07:00:00.000Z", template="New")
    assert again.next_run_at == campaign.next_run_at
    rig.people(1)
    rig.work(utc(2026, 3, 8, 7))
    assert rig.fetch(campaign).next_run_at == utc(2026, 3, 9, 6, 30)
    moved = rig.update(campaign, schedule={"cron": "0 12 * * *"})
    assert moved.next_run_at == utc(2026, 3, 8, 16)
    manual = rig.update(campaign, trigger={"code": "M"})
    assert manual.next_run_at is None


def test_deleted_campaigns_and_old_runs_go_in_time(rig: CampaignRig) -> None:
    rig.people(1)
    kept, gone = rig.create(), rig.create(template="Bye {{firstName}}")
    for campaign in (kept, gone):
        rig.execute(campaign)
    rig.work()
    with rig.pool.connection() as conn:
        delete_campaign(conn, rig.account_id, str(gone.id), rig.now)
    rig.work(rig.now + timedelta(minutes=1))
    rig.run("UPDATE campaign_runs SET look_at = NULL")

    def left(age: timedelta) -> tuple[int, int]:
        with rig.pool.connection() as conn:
            forget_campaigns(conn, rig.now + age)
        ((campaigns, runs),) = rig.rows(
            "SELECT (SELECT count(*) FROM campaigns), (SELECT count(*) FROM campaign_runs)"
        )
        return campaigns, runs

    assert left(timedelta(days=29)) == (2, 2)
    assert left(timedelta(days=31)) == (1, 1)
    assert left(timedelta(days=364)) == (1, 1)
    assert left(timedelta(days=366)) == (1, 0)
    assert rig.statuses() == {"queued": 1, "canceled": 1}
