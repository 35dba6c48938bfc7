"""Reports of runs: posted once when the run has ended, signed, tried again, given up visibly."""

from __future__ import annotations

import os
from collections.abc import Generator
from datetime import timedelta

import pytest

from tests.domain.campaigns.rig import CampaignRig
from tests.flows.rig import Receiver
from viesti.carriers.base import Verdict
from viesti.domain.campaigns.models import Campaign
from viesti.domain.campaigns.reports import AT_ONCE, WAITS, secret_purpose
from viesti.domain.webhook_endpoints.models import secret_text
from viesti.kit.secrets import PlatformKey
from viesti.webhooks.reports import Reporter

HOUR = timedelta(hours=1)


@pytest.fixture
def key() -> PlatformKey:
    return PlatformKey([os.urandom(32)])


@pytest.fixture
def reporter(rig: CampaignRig, key: PlatformKey) -> Reporter:
    return Reporter(rig.pool, key, allow_private=True, timeout_s=5)


@pytest.fixture
def receiver(rig: CampaignRig, key: PlatformKey) -> Generator[Receiver]:
    endpoint = Receiver()
    endpoint.secret = secret_text(key.derive(secret_purpose(rig.account_id)))
    yield endpoint
    endpoint.close()


def finish(rig: CampaignRig, campaign: Campaign) -> None:
    """Run ``campaign`` to its end."""
    rig.execute(campaign)
    rig.work()
    for n, text in enumerate(rig.read(priority=1)):
        assert rig.start(text)
        rig.answer([(text, 0, Verdict.ACCEPTED, f"id{n}")])
    rig.work(rig.now + timedelta(minutes=1))


def test_a_report_says_what_became_of_the_run(
    rig: CampaignRig, reporter: Reporter, receiver: Receiver
) -> None:
    rig.people(3)
    campaign = rig.create(reporting={"when": "OnCompletion", "destination": receiver.url})
    finish(rig, campaign)
    assert reporter.run_due(rig.now) == 1
    assert reporter.run_due(rig.now + HOUR) == 0
    (body,) = receiver.events
    assert body["eventType"] == "campaign-report"
    assert body["payload"]["campaign"]["id"] == str(campaign.id)
    told = body["payload"]["run"]
    assert (told["status"], told["submitted"], told["failures"]) == ("complete", 3, 0)
    (run,) = rig.runs_of(campaign)
    assert (run.report_state, receiver.ids) == ("sent", [str(run.id)])


def test_a_delayed_report_waits(rig: CampaignRig, reporter: Reporter, receiver: Receiver) -> None:
    rig.people(1)
    reporting = {"when": "Delayed", "delay": "2", "unit": "hours", "destination": receiver.url}
    finish(rig, rig.create(reporting=reporting))
    assert reporter.run_due(rig.now + HOUR) == 0
    assert reporter.run_due(rig.now + 2 * HOUR) == 1
    assert len(receiver.events) == 1


def test_a_report_that_nobody_takes_is_tried_again_and_given_up_visibly(
    rig: CampaignRig, reporter: Reporter, receiver: Receiver
) -> None:
    rig.people(1)
    receiver.close()
    campaign = rig.create(reporting={"when": "OnCompletion", "destination": receiver.url})
    finish(rig, campaign)
    for _ in range(len(WAITS) + 1):
        assert rig.runs_of(campaign)[0].report_state == "due"
        rig.now += 12 * HOUR
        assert reporter.run_due(rig.now) == 1
    assert reporter.run_due(rig.now + 12 * HOUR) == 0
    assert rig.runs_of(campaign)[0].report_state == "failed"


def test_a_report_of_a_campaign_that_is_gone_is_dropped_and_delays_no_other(
    rig: CampaignRig, reporter: Reporter, receiver: Receiver
) -> None:
    rig.people(1)
    reporting = {"when": "OnCompletion", "destination": receiver.url}
    gone = [rig.create(reporting=reporting) for _ in range(AT_ONCE)]
    kept = rig.create(reporting=reporting)
    for campaign in (*gone, kept):
        rig.execute(campaign)
        rig.act("cancel", campaign)
        rig.work(rig.now + timedelta(minutes=1))
    for campaign in gone:
        rig.run("DELETE FROM campaigns WHERE id = %s", campaign.id)
    assert reporter.run_due(rig.now) == 0
    assert reporter.run_due(rig.now) == 1
    assert [body["payload"]["campaign"]["id"] for body in receiver.events] == [str(kept.id)]


def test_a_report_never_reaches_the_inside_though_it_was_ordered_before_that_was_forbidden(
    rig: CampaignRig, key: PlatformKey, receiver: Receiver
) -> None:
    rig.people(1)
    reporter = Reporter(rig.pool, key, allow_private=False, timeout_s=5)
    campaign = rig.create(reporting={"when": "OnCompletion", "destination": receiver.url})
    finish(rig, campaign)
    for _ in range(len(WAITS) + 1):
        rig.now += 12 * HOUR
        assert reporter.run_due(rig.now) == 1
    assert rig.runs_of(campaign)[0].report_state == "failed"
    assert receiver.events == []
